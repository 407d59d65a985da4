"""What the end-to-end tests share: running lua-inspect, gdb, and Lua programs to be dumped."""

import json
import os
import resource
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "build" / "lua-inspect"
PLUGIN = ROOT / "plugin" / "gdb" / "lua_leaks.py"
MARK = "=====mark====="


def clean_environment(**extra):
    """The user's settings do not decide what a test sees."""
    drop = ("LUA_INSPECT_LIBRARY", "NO_COLOR", "LUA_PATH", "LUA_INIT")
    env = {name: value for name, value in os.environ.items() if name not in drop}
    env.update(extra)
    return env


everywhere = None  # conftest's: has the debuggers say what the shell says


def inspect(*arguments, **options):
    """Runs lua-inspect; the result has text in stdout and stderr."""
    result = inspect_in_shell(*arguments, **options)
    if everywhere and not options:
        everywhere.check(arguments, result, clean_environment())
    return result


def inspect_in_shell(*arguments, **options):
    options.setdefault("env", clean_environment())
    return subprocess.run(
        [str(PROGRAM), *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        timeout=120,
        **options,
    )


def document(core, *arguments):
    """The JSON document of a command, with its status checked."""
    result = inspect(core, *arguments, "--json")
    assert result.returncode in (0, 1), result.stderr
    return json.loads(result.stdout)


def gdb(*commands, start=(), env=None, timeout=120):
    """Runs gdb in batch mode with the plugin loaded."""
    line = ["gdb", "-nx", "-q", "-batch"]
    for command in (f"source {PLUGIN}", *commands):
        line += ["-ex", command]
    line += map(str, start)
    return subprocess.run(
        line,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        timeout=timeout,
        env=env or clean_environment(),
    )


def gdb_output(command, start, **options):
    """What one command prints on gdb's standard output, without gdb's own words."""
    result = gdb(f"echo {MARK}\\n", command, f"echo {MARK}", start=start, **options)
    assert "Traceback" not in result.stdout + result.stderr
    return result.stdout.split(MARK + "\n", 1)[1].rsplit(MARK, 1)[0]


def gcore(process, core):
    log = subprocess.run(
        ["gdb", "-nx", "-batch", "-p", str(process.pid), "-ex", f"gcore {core}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        env=clean_environment(),
    ).stdout
    if not core.exists():
        process.kill()
        process.wait()
        pytest.skip("gcore is not possible here: " + log.strip().split("\n")[-1])


class Server:
    """A Lua program that waits at READY, and then says what really survives."""

    def __init__(self, script, folder, *command):
        limit = resource.getrlimit(resource.RLIMIT_CORE)[1]
        self.process = subprocess.Popen(
            [*(command or ["lua5.4"]), str(script)],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            env=clean_environment(),
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (limit, limit)),
        )
        assert self.process.stdout.readline().startswith("READY")

    def answer(self):
        """Lets it go on; returns what it prints."""
        return self.process.communicate("\n", timeout=60)[0]

    def abort(self, core, pattern_of_cores="core*"):
        pattern = Path("/proc/sys/kernel/core_pattern").read_text().strip()
        if "|" in pattern or "/" in pattern:
            self.process.kill()
            pytest.skip(f"the kernel sends cores elsewhere: core_pattern is {pattern}")
        self.process.send_signal(6)
        self.process.communicate(timeout=60)
        written = list(core.parent.glob(pattern_of_cores))
        if not written:
            pytest.skip("the kernel wrote no core; is the hard limit of `ulimit -c` 0?")
        written[0].rename(core)


def verdicts(answer):
    """The verdict on each description, from what a program of cores/ printed after each collection."""
    sections = {}
    for line in answer.splitlines():
        if line.startswith("  "):
            sections[label].add(line[2:])
        else:
            label = line.split()[0]
            sections[label] = set()
    return {
        name: "never"
        if name in sections.get("NEVER", ())
        else "leaked"
        if name in sections["AFTER2"]
        else "finalizer"
        if name in sections["AFTER1"]
        else "garbage"
        for name in sections["BEFORE"]
    }
