"""Debuggers attached to a process of this machine, or to a remote one: the shell's answer about the
same memory, never a stale one."""

import json
import os
import re
import shutil
import signal
import subprocess
import time

import pytest
from debuggers import DEBUGGERS
from live import served, working
from support import clean_environment, gcore, inspect
from terminal import Terminal

COMMANDS = [
    "lua-states",
    "lua-bt --locals",
    "lua-bt --native",
    "lua-heap",
    "lua-strings",
    "lua-paths held[7]",
]


def attach(debugger, pid):
    return f"attach {pid}" if debugger.name == "gdb" else f"process attach -p {pid}"


def connect(debugger, place):
    return f"target remote {place}" if debugger.name == "gdb" else f"gdb-remote {place}"


def server_of(debugger):
    return "gdbserver" if debugger.name == "gdb" else "lldb-server"


QUIET = {"gdb": ["set height 0", "set sysroot /"], "lldb": []}

# On its way to its next line the program comes by here.
STEP = {
    "gdb": ["break read", "continue", "delete"],
    "lldb": ["breakpoint set -n read", "process continue", "breakpoint delete -f"],
}


def without_head(page):
    """All but the first lines, which name the target."""
    return page.split("\n\n", 1)[1]


def objects(page):
    return int(re.search(r"([\d,]+) objects", page)[1].replace(",", ""))


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    with working(tmp_path_factory.mktemp("work")) as work:
        yield work


@pytest.fixture(scope="module")
def expected(work, tmp_path_factory):
    """What the shell says about a core of it."""
    core = tmp_path_factory.mktemp("expected") / "work.core"
    gcore(work.process, core)
    return [
        inspect(core, *command[len("lua-") :].split()).stdout for command in COMMANDS
    ]


def test_attached(debugger, work, expected):
    lines = [attach(debugger, work.pid), *COMMANDS]
    pages = debugger.outputs(lines)[1:]
    for page, core_page in zip(pages, expected):
        assert page.startswith(f"process {work.pid} ")
        assert without_head(page) == without_head(core_page)


def test_attached_debuggers_agree(work):
    pages = []
    for debugger in DEBUGGERS.values():
        lines = [attach(debugger, work.pid), "lua-bt --json", "lua-heap --json"]
        documents = [json.loads(page) for page in debugger.outputs(lines)[1:]]
        for document in documents:
            assert document["target"]["kind"] == "process"
            assert document["target"]["pid"] == work.pid
            document["target"]["time"] = None
        pages.append(documents)
    assert pages[0] == pages[1]


def test_remote(debugger, work, expected):
    with served(work.pid, server_of(debugger)) as (place, _):
        # lldb ends what it is connected to, unless told otherwise
        lines = [connect(debugger, place), *COMMANDS, "detach"]
        pages = debugger.outputs(lines)[1:-1]
    for page, core_page in zip(pages, expected):
        assert page.startswith(f"remote process {work.pid} ")
        assert without_head(page) == without_head(core_page)


def test_extended_remote(work, expected):
    debugger = DEBUGGERS["gdb"]
    with served(work.pid, "gdbserver") as (place, _):
        lines = [f"target extended-remote {place}", COMMANDS[0]]
        page = debugger.outputs(lines)[1]
    assert without_head(page) == without_head(expected[0])


def check_not_stale(debugger, work, begin):
    """After the process has run, the answer is about what it is now."""
    python = debugger.python
    lines = [
        begin,
        "lua-states",
        python("import lua_inspect; s = lua_inspect.current()"),
        python("print('before', len(s.objects))"),
        # a line for it to read, when it runs
        python(
            f"f = open('/proc/{work.pid}/fd/0', 'w'); _ = f.write('x' + chr(10)); f.close()"
        ),
        *STEP[debugger.name],
        python("print('then', len(s.objects))"),
        "lua-states",
        python("print('after', len(lua_inspect.current().objects))"),
        "detach",
    ]
    result = debugger.run(*lines)
    before, after = [
        int(found.replace(",", ""))
        for found in re.findall(r"([\d,]+) objects, ", result.stdout)
    ]
    assert after > before + 1000
    assert f"before {before}\n" in result.stdout
    assert f"after {after}\n" in result.stdout
    assert "then" not in re.sub(r"print\('then.*", "", result.stdout + result.stderr)
    assert "has run, or was changed, since it was read" in result.stdout + result.stderr


def test_attached_and_continued(debugger, tmp_path):
    with working(tmp_path) as work:
        check_not_stale(debugger, work, attach(debugger, work.pid))


def test_remote_and_continued(debugger, tmp_path):
    with working(tmp_path) as work:
        with served(work.pid, server_of(debugger)) as (place, _):
            check_not_stale(debugger, work, connect(debugger, place))


def test_started_by_the_debugger(tmp_path):
    script = tmp_path / "ends.lua"
    script.write_text("kept = {}\nfor i = 1, 500 do kept[i] = {} end\nio.read()\n")
    begin = {
        "gdb": [
            "set breakpoint pending on",
            f"set args {script}",
            "break lua_gc",
            "run",
        ],
        "lldb": ["breakpoint set -n lua_gc", f"process launch -- {script}"],
    }
    for debugger in DEBUGGERS.values():
        lines = [*begin[debugger.name], "lua-states", "kill"]
        result = debugger.run(*lines, exe="/usr/bin/lua5.4")
        found = re.search(r"^process \d+   Lua 5.4", result.stdout, re.MULTILINE)
        assert found, result


WRITE = {
    "gdb": "set var *(char*){place:#x} = 'Z'",
    "lldb": "memory write {place:#x} 0x5a",
}


def test_memory_that_the_user_writes(debugger, tmp_path):
    with working(tmp_path) as work:
        begin = attach(debugger, work.pid)
        page = debugger.outputs([begin, "lua-print held[7][2]"])[1]
        assert '"text number 6"' in page
        address = int(re.search(r"^(0x[0-9a-f]+)", page, re.MULTILINE)[1], 16)
        write = WRITE[debugger.name].format(place=address + 24)
        lines = [begin, "lua-print held[7][2]", write, "lua-print held[7][2]"]
        _, before, _, after = debugger.outputs(lines)
    assert '"text number 6"' in before and '"Zext number 6"' in after


def test_process_that_runs(debugger, work):
    run = {
        "gdb": ["set non-stop on", attach(debugger, work.pid), "continue -a &"],
        "lldb": [
            attach(debugger, work.pid),
            "script lldb.debugger.SetAsync(True)",
            "process continue",
            "script import time; time.sleep(0.5)",
        ],
    }
    stop = ["script lldb.debugger.SetAsync(False)", "process interrupt", "detach"]
    end = {"gdb": [], "lldb": stop}
    result = debugger.run(*run[debugger.name], "lua-states", *end[debugger.name])
    assert "objects" not in result.stdout and "Traceback" not in result.stderr
    said = result.stderr[result.stderr.index("lua-inspect: ") :]
    assert "running" in said and "hint: stop " in said


def test_program_that_was_replaced_while_it_ran(debugger, tmp_path):
    """As packages do it: the file that the process runs has no name any more."""
    program = tmp_path / "lua"
    shutil.copy("/usr/bin/lua5.4", program)
    with working(tmp_path, 1000, str(program)) as work:
        program.unlink()
        shutil.copy("/usr/bin/true", program)
        lines = [attach(debugger, work.pid), "lua-states --json"]
        page = debugger.outputs(lines)[1]
    assert json.loads(page)["vms"][0]["release"].startswith("5.4.")


def test_remote_that_does_not_tell_its_memory(debugger, work):
    """lldb knows no regions behind gdb's server; gdb reads them from a file there."""
    forbid = {"gdb": ["set remote hostio-open-packet off"], "lldb": []}
    lines = [*forbid[debugger.name], "lua-states", "detach"]
    with served(work.pid, "gdbserver") as (place, _):
        result = debugger.run(connect(debugger, place), *lines)
    assert "the remote target does not tell which memory it has" in result.stderr
    assert "hint: " in result.stderr and "Traceback" not in result.stderr


def test_connection_that_is_lost(debugger, tmp_path):
    with working(tmp_path) as work:
        with served(work.pid, server_of(debugger)) as (place, server):
            kill = debugger.shell(f"kill -KILL {server.pid}")
            result = debugger.run(connect(debugger, place), kill, "lua-states")
    assert "objects" not in result.stdout and "Traceback" not in result.stderr
    assert "lua-inspect: " in result.stderr and "hint: " in result.stderr


# Reads what the process has as [heap] in the debugger's own way.
PLAIN = {
    "gdb": "[gdb.selected_inferior().read_memory(a, 1 << 20) for a in range({}, {}, 1 << 20)]",
    "lldb": "[lldb.process.ReadMemory(a, 1 << 20, lldb.SBError()) for a in range({}, {}, 1 << 20)]",
}


def heap_of(pid):
    with open(f"/proc/{pid}/maps") as maps:
        line = next(line for line in maps if line.endswith("[heap]\n"))
    start, end = (int(part, 16) for part in line.split()[0].split("-"))
    return start, end - (1 << 20)


def test_fifty_megabytes_over_a_connection(debugger, tmp_path):
    """In less than ten seconds; on a busy machine in little more than the bytes alone take."""
    clock = debugger.python("import time; print('clock', time.monotonic())")
    with working(tmp_path, 280_000) as work:
        plain = "_ = " + PLAIN[debugger.name].format(*heap_of(work.pid))
        with served(work.pid, server_of(debugger)) as (place, _):
            lines = [connect(debugger, place), clock, debugger.python(plain), clock]
            page = debugger.run(*lines, "lua-states", clock, "detach").stdout
    assert float(re.search(r"objects, ([\d.]+) MB", page)[1]) > 45
    times = [float(time) for time in re.findall(r"^clock ([\d.]+)", page, re.MULTILINE)]
    alone, took = times[1] - times[0], times[2] - times[1]
    print(f"{debugger.name}: the heap alone {alone:.1f} s, lua-states {took:.1f} s")
    assert took < max(10, 2 * alone + 5)


def test_waiting_can_be_interrupted(debugger, tmp_path):
    """Said what is waited for; what was read before Ctrl-C is not read again."""
    with working(tmp_path, {"gdb": 600_000, "lldb": 1_200_000}[debugger.name]) as work:
        with served(work.pid, server_of(debugger)) as (place, _):
            terminal = Terminal(debugger)
            for line in QUIET[debugger.name]:
                terminal.type(line + "\n")
            terminal.type(connect(debugger, place) + "\n")
            if debugger.name == "lldb":  # which takes the next line before it is there
                terminal.wait_for("stop reason", seconds=60)
            terminal.type("print 6 * 7\n")
            terminal.wait_for(" 42")
            terminal.wait_for(debugger.prompt)
            terminal.type("lua-states\n")
            seen = terminal.wait_for("MB/s", seconds=60)
            assert re.search(
                r"reading \d+ MB from the remote target, [\d.]+ MB/s$", seen
            )
            first = terminal.wait_for("left")
            terminal.type("\x03")
            terminal.wait_for(debugger.prompt, seconds=5)
            terminal.type("lua-states\n")
            again = terminal.wait_for("residual bytes", seconds=60)
            terminal.close()
    (share,) = [int(share) for share in re.findall(r" (\d+) %", first)]
    shares = [int(share) for share in re.findall(r"MB/s +(\d+) %", again)]
    assert all(later > share for later in shares)


def test_sysroot_of_another_machine(debugger, tmp_path):
    """The files of a core from elsewhere are found below the sysroot, and nowhere else."""
    other = tmp_path / "other" / "bin"
    other.mkdir(parents=True)
    shutil.copy("/usr/bin/lua5.4", other / "lua5.4")
    process = subprocess.Popen(
        [other / "lua5.4", "-e", "print 'READY' io.stdout:flush() io.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        env=clean_environment(),
    )
    assert process.stdout.readline() == "READY\n"
    core, root = tmp_path / "other.core", tmp_path / "root"
    gcore(process, core)
    process.kill()
    process.communicate()
    moved = root / str(other)[1:]
    moved.parent.mkdir(parents=True)
    os.rename(other, moved)
    load = debugger.load(core)
    set_root = {
        "gdb": f"set sysroot {root}",
        "lldb": f"platform select --sysroot {root} remote-linux",
    }[debugger.name]
    without = json.loads(debugger.outputs([load, "lua-states --json"])[1])
    below = json.loads(debugger.outputs([set_root, load, "lua-states --json"])[2])
    assert without["vms"][0]["release"] is None
    assert below["vms"][0]["release"].startswith("5.4.")
