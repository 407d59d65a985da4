"""Lua calls in gdb's own `bt`: those of `bt --native`, in its order, below the frames that run them."""

import re

import pytest
from support import document, gdb, gdb_output
from debuggers import DEBUGGERS
from test_bt_native import SCRIPT, Hung, hung_core, line_that_hangs  # noqa: F401

LUA = "/usr/bin/lua5.4"
LINE = re.compile(r"^ +(\S.*) \(\) at (\S+:\d+)$", re.MULTILINE)


def calls_of(core):
    """Lua functions as (name, place), and C functions by name, as `bt --native` has them."""
    (thread,) = document(core, "bt", "--native")["native"]
    calls = [row["call"] for row in thread["rows"] if row["call"]]
    lua = [
        (call["text"].split(": in ", 1)[1], f"{call['source']}:{call['line']}")
        for call in calls
        if call["what"] != "C"
    ]
    c = [
        call["name"]
        for call in calls
        if call["what"] == "C" and call["name"] and not call["continuation"]
    ]
    return lua, c


@pytest.mark.parametrize("form", ["loop", "read", "gc", "sort", "tail"])
def test_on_cores(hung_core, form):  # noqa: F811
    core = hung_core(form, "all")
    shown = gdb_output("bt", [LUA, core])
    lua, c = calls_of(core)
    assert lua and LINE.findall(shown) == lua
    assert re.findall(r" in \w+ \[([^\]]+)\] \(", shown) == c
    first = re.search(r"^#\d+ .*luaV_execute.*\n +.* at (\S+)$", shown, re.MULTILINE)
    assert first[1] == f"{SCRIPT.name}:{line_that_hangs(form)}"


def test_only_what_is_added_differs(hung_core):  # noqa: F811
    off = "disable frame-filter global lua"
    shown, hidden, few, _, bare = DEBUGGERS["gdb"].outputs(
        ["bt", "bt -hide", "bt 3", off, "bt"], core=hung_core("read", "all"), exe=LUA
    )
    unnamed = re.sub(r" \[[^\]]+\] \(", " (", shown)
    lines = [line for line in unnamed.splitlines() if line.startswith("#")]
    assert lines == bare.splitlines() and shown != bare
    assert not LINE.search(hidden) and " [io.read] (" in hidden
    assert shown.startswith(few.partition("(More")[0]) and few.count("\n#") == 2


def test_on_a_process_that_goes_on():
    """The traceback is that of where the process is now."""
    with Hung("loop", "plain") as process:
        result = gdb("bt", "stepi 200", "bt", "detach", start=["-p", process.pid, LUA])
    found = re.findall(rf" at ({SCRIPT.name}:\d+)$", result.stdout, re.MULTILINE)
    wanted = f"{SCRIPT.name}:{line_that_hangs('loop')}"
    if not found and "luaV_execute" not in result.stdout:
        pytest.skip("gdb cannot attach here")
    assert found.count(wanted) >= 2


def test_without_lua(foreign_core):
    shown = gdb_output("bt", ["-c", foreign_core])
    assert "#0" in shown and "lua" not in shown


def test_without_debug_info(hung_core):  # noqa: F811
    core = hung_core("read", "all")
    none = ["-iex", "set debug-file-directory /nonexistent"]
    shown = gdb_output("bt", [*none, LUA, core])
    assert "luaV_execute" not in shown and LINE.findall(shown) == calls_of(core)[0]
