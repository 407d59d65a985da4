"""`bt` tells what debug.traceback and debug.getlocal told in the program, for every form of call.

traceback.lua calls itself in one form, prints the tracebacks and variables of its threads and waits.
The dump then shows the same calls; only the innermost Lua function has gone on to the line where it
reads.
"""

import json
import re
import shutil
import subprocess

import pytest

from dumped import dumped
from minicore import write_core
from support import ROOT, clean_environment, document, inspect

SCRIPT = ROOT / "tests" / "e2e" / "traceback.lua"
SKIPPED = re.compile(r"^\.\.\.\t\(skipping \d+ levels\)$|^\.\.\.$")
LINE = re.compile(r":\d+: in ")


class Said:
    """What the program printed of one thread."""

    def __init__(self, address):
        self.address = address
        self.error = None
        self.lines = []
        self.locals = {}  # level -> rows of number, name, type, text, address

    def add_local(self, line):
        level, number, *rest = line.split("\t")
        self.locals.setdefault(int(level), []).append((int(number), *rest))


def run(command, form, core):
    """Runs one form and dumps it; returns what it said of each thread, the running one first."""
    said = []
    with subprocess.Popen(
        [*command, SCRIPT.name, form],
        cwd=SCRIPT.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=clean_environment(),
    ) as process:
        try:
            for line in process.stdout:
                line = line.rstrip("\n")
                if line == "READY":
                    write_core(process.pid, core)
                    return said
                if line.startswith("BEGIN thread: "):
                    said.append(Said(line.split()[-1]))
                elif line.startswith("ERROR "):
                    said[-1].error = line[len("ERROR ") :]
                elif line.startswith("LOCAL\t"):
                    said[-1].add_local(line[len("LOCAL\t") :])
                elif said and line.startswith("\t"):
                    said[-1].lines.append(line[1:])
            raise AssertionError(f"{form}: it died: {process.stderr.read()}")
        finally:
            process.kill()


def forms(command):
    listed = subprocess.run(
        [*command, str(SCRIPT)],
        stdout=subprocess.PIPE,
        encoding="utf-8",
        check=True,
        env=clean_environment(),
    )
    return listed.stdout.splitlines()


def lines_of(stack):
    """A stack in the words of debug.traceback."""
    lines = []
    for frame in stack["frames"]:
        lines.append(frame["text"])
        if frame["tail_call"]:
            lines.append("(...tail calls...)")
    return lines


def same(told, found):
    """Whether the lines are the same; Lua leaves out the middle of a long traceback."""
    gaps = [i for i, line in enumerate(told) if SKIPPED.match(line)]
    if not gaps:
        return told == found
    head, tail = told[: gaps[0]], told[gaps[0] + 1 :]
    return found[: len(head)] == head and found[len(found) - len(tail) :] == tail


def same_value(told, found):
    """A value as the program told it: type, text, address."""
    kind, text, address = told
    if kind in ("table", "function", "userdata", "thread"):
        place = found["address"]
        if (
            not place
        ):  # a C function without upvalues and a light userdata are no objects
            return kind in ("function", "userdata")
        # Lua gives a userdata the address of its block, which lies behind the header
        header = int(address, 16) - int(place, 16)
        return 0 < header <= 64 if kind == "userdata" else header == 0
    if kind == "string":
        return found["value"] == text or len(text) > 60
    return found["value"] == text and found["type"] == (
        "number" if kind in ("integer", "float") else kind
    )


def wrong_locals(thread, stack):
    """Names and values of variables, against debug.getlocal."""
    frames = {frame["level"]: frame for frame in stack["frames"]}
    for level, rows in thread.locals.items():
        found = frames[level]["locals"]
        assert frames[level]["more_locals"] == 0 or len(found) == 40
        told = {"vararg": {}, "local": {}, "temporary": {}}
        for number, name, *value in rows:
            kind = "temporary" if "temporary)" in name else "local"
            kind = "vararg" if number < 0 else kind
            told[kind][abs(number)] = name, value
        shown = {(local["kind"], local["number"]) for local in found}
        for kind in ("vararg", "local"):
            for number, (name, _) in told[kind].items():
                if (kind, number) not in shown and len(found) < 40:
                    yield f"level {level}: {kind} {number} {name} is missing"
        for local in found:
            name, value = told[local["kind"]].get(local["number"], (None, None))
            if name is None:
                yield f"level {level}: {local} is none"
            elif local["kind"] == "local" and name != local["name"]:
                yield f"level {level}: {local} is {name}"
            elif not same_value(value, local):
                yield f"level {level}: {local} is {value}"


def differences(command, form, folder):
    """What is wrong with one form, as a list of sentences."""
    core = folder / f"{form.replace(' ', '-')}.core"
    running, *others = run(command, form, core)
    answer = document(core, "bt", "--all", "--locals", "--frames", 20000, "--limit", 99)
    core.unlink()
    stacks = {stack["address"]: stack for stack in answer["stacks"]}
    wrong = []

    def compare(what, told, found):
        if not same(told, found):
            wrong.append(
                "\n    ".join([f"{form}, {what}: said", *told, "found", *found])
            )

    stack = stacks.get(running.address)
    if not stack or stack["status"] != "running" or stack is not answer["stacks"][0]:
        return [f"{form}: {running.address} does not run"]
    # the traceback begins with report and stop, the dump with the read and stop, two lines on
    told, found = running.lines[1:], lines_of(stack)[1:]
    compare("running", told[1:], found[1:])
    if LINE.sub(":?: in ", told[0]) != LINE.sub(":?: in ", found[0]):
        wrong.append(f"{form}: said {told[0]}, found {found[0]}")
    wrong += (f"{form}: {each}" for each in wrong_locals(running, stack))
    for thread in others:
        stack = stacks.get(thread.address)
        if stack is None:
            if thread.lines:
                wrong.append(f"{form}: {thread.address} is missing")
            continue
        compare(stack["status"], thread.lines, lines_of(stack))
        wrong += (f"{form}: {each}" for each in wrong_locals(thread, stack))
        if (thread.error is not None) != (stack["status"] == "error"):
            wrong.append(f"{form}: {stack['status']}, but the error is {thread.error}")
        if thread.error and not thread.error.startswith("table: "):
            if stack["error"] != thread.error:
                wrong.append(
                    f"{form}: error {stack['error']}, but really {thread.error}"
                )
    return wrong


def check_forms(command, folder):
    wrong, names = [], forms(command)
    assert len(names) > 60
    for form in names:
        wrong += differences(command, form, folder)
    assert not wrong, f"{len(wrong)} differences\n" + "\n".join(wrong)


def test_names_are_those_of_lua(tmp_path):
    if not shutil.which("lua5.4"):
        pytest.skip("lua5.4 is not installed")
    check_forms(["lua5.4"], tmp_path)


SIMPLE = """
local third, whole, text = 0.1 + 0.2, 2^53, ("x"):rep(59) .. "\\u{E9}" .. ("y"):rep(100)
print "READY" io.flush() io.read()
print(third, whole, text)
"""


def test_values_are_written_as_print_does(tmp_path):
    """The shortest digits that read back; no character divided where a string is cut."""
    script = tmp_path / "simple.lua"
    script.write_text(SIMPLE)
    core = dumped(tmp_path, "lua5.4", script)
    frames = document(core, "bt", "--locals")["stacks"][0]["frames"]
    values = [v for f in frames for v in f["locals"] if v["kind"] == "local"]
    assert {each["name"]: each["value"] for each in values} == {
        "third": "0.30000000000000004",
        "whole": "9007199254740992.0",
        "text": '"' + "x" * 59 + '"...  -- 161 bytes',
    }


def test_names_under_other_releases(release, tmp_path):
    check_forms(release.command, tmp_path)


MANY = """
local kept = {}
local function wait(n) if n > 0 then local x = wait(n - 1) return x end coroutine.yield() end
local function add(thread) coroutine.resume(thread) kept[#kept + 1] = thread end
for i = 1, 50 do add(coroutine.create(function() wait(i % 2) end)) end
for i = 1, 3 do add(coroutine.create(function() error("same") end)) end
for i = 1, 3 do add(coroutine.create(function() error("error " .. i) end)) end
for i = 1, 2 do kept[#kept + 1] = coroutine.create(print) end
print "READY" io.flush() io.read()
"""


def test_same_stacks_are_shown_once(tmp_path):
    """Folded is who has the same calls, state and error; --unfolded and --locals show all."""
    script = tmp_path / "many.lua"
    script.write_text(MANY)
    core = dumped(tmp_path, "lua5.4", script)

    def stacks(*options):
        found = document(core, "bt", "--all", "--limit", 999, *options)["stacks"]
        return [each for each in found if not each["is_main"]]

    single = {each["address"]: each for each in stacks("--unfolded")}
    assert len(single) == 58
    assert all(each["alike"] == [] for each in single.values())
    assert [each["address"] for each in stacks("--locals")] == list(single)
    folded = stacks()
    assert sorted(len(each["alike"]) for each in folded) == [0, 0, 0, 1, 2, 24, 24]
    names = [name for each in folded for name in (each["address"], *each["alike"])]
    assert sorted(names) == sorted(single)
    for stack in folded:
        for name in stack["alike"]:
            for key in ("status", "main", "error", "frames"):
                told = single[name][key]
                if key == "frames":  # closures are objects of their own
                    told = [frame["text"] for frame in told]
                    assert told == [frame["text"] for frame in stack["frames"]]
                else:
                    assert told == stack[key]
    page = inspect(core, "bt", "--all").stdout
    assert page.count("       24 more like this: 0x") == 2
    assert "       1 more like this: 0x" in page


def test_hints_say_a_number(tmp_path):
    """What a hint says can be typed."""
    script = tmp_path / "many.lua"
    script.write_text(MANY)
    core = dumped(tmp_path, "lua5.4", script)
    page = inspect(core, "bt", "--all", "--limit", 3, "--frames", 2).stdout
    limit = re.search(r"more stacks: --limit (\d+)", page)[1]
    frames = re.search(r"more frames?: --frames (\d+)", page)[1]
    page = inspect(core, "bt", "--all", "--limit", limit, "--frames", frames).stdout
    assert "more stack" not in page and page.count("more frame") < 2
