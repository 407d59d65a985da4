"""gdb and lldb as the tests run them: the same commands, whatever they are typed into."""

import os
import shlex
import shutil
import subprocess
import tempfile

import pytest
from support import MARK, ROOT, clean_environment


class Debugger:
    """Runs commands in batch mode, with the plugin loaded."""

    name = prompt = ""
    program = ""

    def run(self, *commands, core=None, exe=None, env=None, timeout=120, plugins=1):
        """The result has text in stdout and stderr; an error does not end the commands."""
        if not shutil.which(self.program):
            pytest.skip(f"{self.program} is not installed")
        return subprocess.run(
            list(map(str, self.line(commands, core, exe, plugins))),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            timeout=timeout,
            env=env or clean_environment(),
        )

    def outputs(self, commands, **options):
        """What each command prints on standard output, without the debugger's own words."""
        marked = [self.mark()]
        for command in commands:
            marked += [command, self.mark()]
        result = self.run(*marked, **options)
        assert "Traceback" not in result.stdout + result.stderr
        pieces = result.stdout.split(MARK + "\n")
        assert len(pieces) == len(commands) + 2, result.stdout + result.stderr
        return pieces[1:-1]

    def output(self, command, **options):
        return self.outputs([command], **options)[0]


class Gdb(Debugger):
    name, prompt, program = "gdb", "(gdb) ", "gdb"
    plugin = ROOT / "plugin" / "gdb" / "lua_leaks.py"
    load_hint = "`core-file FILE`, or `attach PID` to a process"
    load_plugin = f"source {plugin}"

    def line(self, commands, core, exe, plugins):
        line = ["gdb", "-nx", "-q", "-batch"]
        for command in (*plugins * [self.load_plugin], *commands):
            line += ["-ex", command]
        return [*line, *(["-c", core] if core else []), *([exe] if exe else [])]

    def interactive(self, core):
        line = ["gdb", "-nx", "-q", "-ex", "set confirm off", "-ex", self.load_plugin]
        return [*line, *(["-c", str(core)] if core else [])]

    def serving(self, script):
        return [*self.line([], None, None, 1), "-x", script]

    def mark(self):
        return f"echo {MARK}\\n"

    def python(self, code):
        return f"python {code}"

    def shell(self, command):
        return f"shell {command}"

    def load(self, core):
        return f"core-file {core}"

    def select_thread(self, number):
        return f"thread {number}"


class Lldb(Debugger):
    name, prompt, program = "lldb", "(lldb) ", os.environ.get("LLDB", "lldb-16")
    plugin = ROOT / "plugin" / "lldb" / "lua_leaks.py"
    load_hint = "`target create --core FILE`, or `process attach -p PID` to a process"
    load_plugin = f"command script import {plugin}"

    def line(self, commands, core, exe, plugins):
        # Commands given as -o end at the first error; those of a file need not.
        with tempfile.NamedTemporaryFile("w", suffix=".lldb", delete=False) as file:
            lines = [
                *plugins * [self.load_plugin],
                *commands,
                f"script import os; os.unlink({file.name!r})",
            ]
            file.write("\n".join(lines) + "\n")
        line = [self.program, "-x", "-b"]
        line += ["-O", "settings set interpreter.echo-commands false"]
        line += ["-o", f"command source -e false -c false {file.name}"]
        return [*line, *(["-c", core] if core else []), *([exe] if exe else [])]

    def interactive(self, core):
        line = [self.program, "-x", "-o", self.load_plugin]
        return [*line, *(["-c", str(core)] if core else [])]

    def serving(self, script):
        line = [self.program, "-x", "-b", "-o", self.load_plugin]
        return [*line, "-o", f"command script import {script}"]

    def mark(self):
        return f"script print({MARK!r})"

    def python(self, code):
        return f"script {code}"

    def shell(self, command):
        return f"script import subprocess; _ = subprocess.run({command!r}, shell=True)"

    def load(self, core):
        return f"target create --core {shlex.quote(str(core))}"

    def select_thread(self, number):
        return f"thread select {number}"


DEBUGGERS = {"gdb": Gdb(), "lldb": Lldb()}
