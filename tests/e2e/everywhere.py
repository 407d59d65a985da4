"""Every command that a test runs on a core in the shell, run in gdb and lldb as well: same bytes.

One gdb and one lldb serve a whole test run (in_debugger.py), so that an answer costs little more
than the shell's. By default the first commands of each test are repeated, in long runs all but
those of tests that ask hundreds of cores.
"""

import functools
import json
import os
import re
import select
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

from debuggers import DEBUGGERS
from support import PROGRAM

SCRIPT = Path(__file__).with_name("in_debugger.py")
LONG = bool(os.environ.get("LUA_INSPECT_LONG"))
SAMPLE = 200 if LONG else 2  # commands of a test
PATIENCE = 600  # seconds


def quoted(word):
    """As the plugin's commands take it: the whole value in quotes, unless it is plain."""
    start = word.index("=") + 1 if word[:2] == "--" and "=" in word else 0
    option, value = word[:start], word[start:]
    if re.fullmatch(r"[\w./:@%+,*=-]+", value):
        return word
    escaped = re.sub(r"[\\']", r"\\\g<0>", value)
    return f"{option}'{escaped}'"


@functools.cache
def known_commands():
    said = subprocess.run([PROGRAM, "help"], stdout=subprocess.PIPE, encoding="utf-8")
    return re.findall(r"^  (?:lua-)?([a-z]+)", said.stdout, re.MULTILINE)


def typed(arguments):
    """The core and the line that a debugger is given for the shell's arguments; None if it cannot
    be typed there: the choice of a process, options of the shell, no command."""
    words = [str(argument) for argument in arguments]
    if (
        len(words) < 2
        or not os.path.isfile(words[0])
        or words[1] not in known_commands()
    ):
        return None
    if any("\n" in word for word in words):
        return None
    if "--redact" in words:  # its hashes are others each time
        return None
    if "--max-memory" in words:  # what was computed before needs no more memory
        return None
    return words[0], " ".join([f"lua-{words[1]}", *map(quoted, words[2:])])


class Served:
    """One debugger with the plugin, for many commands; restarted if it ends."""

    def __init__(self, debugger):
        self.debugger = debugger
        self.process = None
        self.core = None

    def start(self, environment):
        self.output, self.errors = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        theirs, ours = os.pipe(), os.pipe()
        self.process = subprocess.Popen(
            list(map(str, self.debugger.serving(SCRIPT))),
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=self.errors,
            pass_fds=(theirs[0], ours[1]),
            env={**environment, "REQUESTS": str(theirs[0]), "ANSWERS": str(ours[1])},
        )
        os.close(theirs[0])
        os.close(ours[1])
        self.requests = os.fdopen(theirs[1], "w", encoding="utf-8")
        self.answers = os.fdopen(ours[0], encoding="utf-8")
        self.core = None

    def run(self, core, line, environment):
        if self.process is None:
            self.start(environment)
        status = os.stat(core)
        version = core, status.st_mtime_ns, status.st_size, status.st_ino
        request = {"core": core, "reload": version != self.core, "line": line}
        self.core = version
        print(json.dumps(request), file=self.requests, flush=True)
        in_time, _, _ = select.select([self.answers], [], [], PATIENCE)
        if not in_time:
            self.process.kill()
        answer = self.answers.readline()
        if not answer:
            self.errors.seek(0)
            said = self.errors.read()[-2000:].decode("utf-8", "replace")
            self.end()
            raise AssertionError(f"{self.debugger.name} ended: {said}")
        answer = json.loads(answer)
        if "refused" in answer:
            self.core = None
        return answer

    def end(self):
        if self.process is not None:
            self.requests.close()
            self.answers.close()
            self.process.wait(timeout=60)
            self.output.close()
            self.errors.close()
            self.process = None


class Everywhere:
    def __init__(self):
        found = [each for each in DEBUGGERS.values() if shutil.which(each.program)]
        self.served = [Served(debugger) for debugger in found]
        self.left = 0  # commands of this test that are still to be repeated
        self.lock = threading.Lock()  # tests may ask from several threads

    def begin_test(self):
        self.left = SAMPLE

    def check(self, arguments, result, environment):
        """The debuggers say what the shell has said: output, and the account of an error."""
        line = typed(arguments)
        with self.lock:
            if line is not None and self.left:
                self.left -= 1
                self.compare(line, result, environment)

    def compare(self, line, result, environment):
        for served in self.served:
            answer = served.run(*line, environment)
            if "refused" in answer:
                continue  # what the debugger cannot load the plugin is not asked about
            name = served.debugger.name
            assert answer["output"] == result.stdout, f"{line[1]} in {name}"
            if result.returncode == 2:
                assert (
                    answer["error"].strip() == result.stderr.strip()
                ), f"{line[1]} in {name}"

    def end(self):
        for served in self.served:
            served.end()
