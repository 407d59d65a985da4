"""`bt --native`: C frames and Lua calls in one order, on programs that hang where it is known.

C frames are compared with gdb's, program counter by program counter. The order is made without
symbols; Debian's debug symbols then say whether every Lua function is where luaV_execute is.
"""

import json
import os
import re
import shutil
import struct
import subprocess
import time

import pytest

from debian_lua import Suites, Unavailable
from minicore import write_core
from support import ROOT, clean_environment, document, gcore, inspect

SCRIPT = ROOT / "tests" / "e2e" / "hung.lua"
FORMS = "loop find read tail execute alloc gc sort gsub handler".split()
HANGS = [(form, "all") for form in FORMS] + [("loop", "plain"), ("read", "plain")]
PROCESSES = [(form, "copy") for form in ("loop", "find", "read", "gc")]
PROCESSES += [("read", "stop"), ("loop", "fork")]


def line_that_hangs(form):
    lines = SCRIPT.read_text().splitlines()
    return next(
        number
        for number, line in enumerate(lines, 1)
        if line.endswith(f"-- {form}: the line that hangs")
    )


class Hung:
    """A process that hangs."""

    def __init__(self, form, inside, *lua):
        lua = lua or ["lua5.4"]
        if not shutil.which(lua[0]):
            pytest.skip(f"{lua[0]} is not installed")
        self.process = subprocess.Popen(
            [*lua, SCRIPT.name, form, inside],
            cwd=SCRIPT.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            env=clean_environment(),
        )
        assert self.process.stdout.readline() == "READY\n"
        time.sleep(0.1)  # until it is where it hangs

    def __enter__(self):
        return self.process

    def __exit__(self, *_):
        self.process.stdin.close()  # what os.execute runs ends by that
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture(scope="module")
def hung_core(tmp_path_factory):
    folder, made = tmp_path_factory.mktemp("hung"), {}

    def make(form, inside):
        core = folder / f"{form}-{inside}.core"
        if core not in made:
            with Hung(form, inside) as process:
                gcore(process, core)
            made[core] = True
        return core

    return make


GDB_FRAMES = """python
frame = gdb.newest_frame()
while frame:
    if frame.type() not in (gdb.INLINE_FRAME, gdb.TAILCALL_FRAME): print("PC", hex(frame.pc()))
    frame = frame.older()
"""


def gdb_frames(core, folder):
    """The program counters of gdb's own traceback."""
    script = folder / "frames.gdb"
    script.write_text(GDB_FRAMES)
    line = [
        "gdb",
        "-nx",
        "-batch",
        "-ex",
        "set backtrace past-main on",
        "-x",
        script,
        shutil.which("lua5.4"),
        core,
    ]
    said = subprocess.run(
        list(map(str, line)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
        env=clean_environment(),
    ).stdout
    return re.findall(r"^PC (0x[0-9a-f]+)$", said, re.MULTILINE)


def calls_of(thread, address):
    """The Lua calls of one thread, in the order of the merged rows."""
    calls = [row["call"] for row in thread["rows"] if row["call"]]
    return [call["text"] for call in calls if call["thread"] == address]


def misplaced(thread):
    """What Debian's symbols say against the order."""
    for row in thread["rows"]:
        frame, call = row["frame"], row["call"]
        symbol = frame and frame["symbol"] or ""
        interprets = symbol.startswith("luaV_execute")
        if frame and call and call["what"] != "C" and not interprets:
            yield f"{call['text']} runs in {symbol}"
        if frame and not call and interprets:
            yield "a luaV_execute runs nothing"
        if (
            frame
            and call
            and call["what"] == "C"
            and re.match(r"lua_|lua[CDGTV]_", symbol)
        ):
            yield f"{call['text']} is {symbol}"


@pytest.mark.parametrize("form, inside", HANGS)
def test_hung(hung_core, tmp_path, form, inside):
    core = hung_core(form, inside)
    answer = document(core, "bt", "--native")
    (thread,) = answer["native"]
    assert thread["doubt"] is None and thread["end"] is None
    frames = [row["frame"]["pc"] for row in thread["rows"] if row["frame"]]
    assert frames == gdb_frames(core, tmp_path)
    assert not list(misplaced(thread))
    # every call is there, in its order, and the innermost Lua function hangs where it says
    for stack in document(core, "bt", "--all")["stacks"]:
        if stack["status"] in ("running", "normal"):
            found = calls_of(thread, stack["address"])
            assert found == [frame["text"] for frame in stack["frames"]]
    calls = [row["call"] for row in thread["rows"] if row["call"]]
    first = next(call for call in calls if call["line"])
    assert (first["source"], first["line"]) == (SCRIPT.name, line_that_hangs(form))
    lost = [call["text"] for call in calls if call["continuation"]]
    assert len(lost) == (2 if inside == "all" else 0), "pcall and its caller"


def test_inside_malloc(tmp_path):
    """Stopped by a breakpoint on malloc: its frames come first, then the line that allocates."""
    core = tmp_path / "malloc.core"
    with Hung("alloc", "nested") as process:
        commands = ["break malloc", "continue", f"gcore {core}", "detach"]
        line = ["gdb", "-nx", "-batch", "-p", str(process.pid)]
        for command in commands:
            line += ["-ex", command]
        subprocess.run(
            line, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=60
        )
        if not core.exists():
            pytest.skip("gdb cannot stop a process here")
    (thread,) = document(core, "bt", "--native")["native"]
    assert thread["doubt"] is None
    first = thread["rows"][0]
    assert first["call"] is None and first["frame"]["symbol"].endswith("malloc")
    assert os.path.basename(first["frame"]["module"]).startswith("libc")
    calls = [row["call"] for row in thread["rows"] if row["call"]]
    assert calls[0]["line"] == line_that_hangs("alloc")
    assert not list(misplaced(thread))


def test_on_the_page(hung_core):
    page = inspect(hung_core("read", "all"), "bt", "--native").stdout
    read = page.index("\n       read ")
    function = page.index("[C]: in function 'io.read'")
    line = page.index(f"hung.lua:{line_that_hangs('read')}: in ")
    assert read < function < line < page.index("main thread")
    assert re.search(
        r"\[C\]: in function 'io.read' +C function io_read, .*lua5.4", page
    )
    assert re.search(r"^       read +libc", page, re.MULTILINE)


@pytest.mark.parametrize("form, how", PROCESSES)
def test_process(form, how):
    with Hung(form, "all") as process:
        result = inspect(
            "-p", process.pid, f"--snapshot={how}", "bt", "--native", "--json"
        )
    if result.returncode == 2:
        pytest.skip(result.stdout)
    (thread,) = json.loads(result.stdout)["native"]
    assert thread["doubt"] is None and thread["end"] is None
    calls = [row["call"] for row in thread["rows"] if row["call"]]
    first = next(call for call in calls if call["line"])
    assert first["line"] == line_that_hangs(form)
    assert not list(misplaced(thread))


@pytest.mark.skipif(
    not os.environ.get("LUA_INSPECT_LONG"), reason="downloads: scripts/test --long"
)
@pytest.mark.parametrize("form", ["read", "loop"])
def test_32_bits(form, tmp_path):
    """i386: also through the kernel's own code, which a blocked thread is in."""
    try:
        release = Suites(ROOT / "build" / "suites", "i386").release("5.4.4")
    except Unavailable as error:
        pytest.skip(f"Lua for i386 cannot be had, or run: {error}")
    core = tmp_path / "i386.core"
    with Hung(form, "all", *release.command) as process:
        gcore(process, core)
    (thread,) = document(core, "bt", "--native")["native"]
    assert thread["doubt"] is None and thread["end"] is None
    calls = [row["call"] for row in thread["rows"] if row["call"]]
    first = next(call for call in calls if call["line"])
    found = first["line"] == line_that_hangs(form)
    assert found or first["approximate"]  # it has few registers, and keeps no copies
    assert len([row for row in thread["rows"] if row["frame"]]) > 30


def test_without_registers(tmp_path):
    """What the dump does not hold is not made up."""
    core = tmp_path / "bare.core"
    with Hung("read", "plain") as process:
        write_core(process.pid, core)
    answer = document(core, "bt", "--native")
    assert answer["native"] == []
    assert [frame["text"] for frame in answer["stacks"][0]["frames"]][:1] == [
        "[C]: in function 'io.read'"
    ]


def test_without_files(tmp_path):
    """Without the program's file no frame is guessed: C frames end, and the calls are there."""
    lua, core = tmp_path / "lua", tmp_path / "lua.core"
    shutil.copy(shutil.which("lua5.4") or pytest.skip("lua5.4 is not installed"), lua)
    with Hung("read", "plain", lua) as process:
        gcore(process, core)
        lua.unlink()
    (thread,) = document(core, "bt", "--native")["native"]
    modules = [row["frame"]["module"] for row in thread["rows"] if row["frame"]]
    assert modules[-1] == str(lua) and str(lua) not in modules[:-1]
    assert thread["end"].startswith("further C frames are not known: lua is not at")
    assert thread["doubt"]
    texts = [row["call"]["text"] for row in thread["rows"] if row["call"]]
    assert texts[0] == "[C]: in function 'io.read'"
    page = inspect(core, "bt", "--native").stdout
    assert "is not certain" in page and page.index("C frames\n") < page.index("io.read")


def with_less_of_the_stack(core, share):
    """The core's bytes, with so much of the native stack, from its deep end on."""
    content = bytearray(core)
    first, size, count = struct.unpack_from("<Q", core, 32) + struct.unpack_from(
        "<HH", core, 54
    )
    for at in range(first, first + size * count, size):
        _, _, _, start, _, length = struct.unpack_from("<IIQQQQ", core, at)
        if 0x7FF000000000 <= start < 1 << 47 and length > 1 << 16:
            struct.pack_into("<Q", content, at + 32, length * share // 64)
    return bytes(content)


def test_missing_stack(hung_core, tmp_path):
    """However little of the stack is there: what is told of it is told of the whole one as well."""
    core = hung_core("read", "all")
    (known,) = document(core, "bt", "--native")["native"]
    frames = [row["frame"]["pc"] for row in known["rows"] if row["frame"]]
    calls = [row["call"]["text"] for row in known["rows"] if row["call"]]
    counts = set()
    for share in range(65):
        cut = tmp_path / f"cut{share}.core"
        cut.write_bytes(with_less_of_the_stack(core.read_bytes(), share))
        answer = document(cut, "bt", "--native")
        (thread,) = answer["native"]
        found = [row["frame"]["pc"] for row in thread["rows"] if row["frame"]]
        told = [row["call"]["text"] for row in thread["rows"] if row["call"]]
        if not told:  # then nothing says on which native thread they run
            stacks = answer["stacks"]
            told = [frame["text"] for stack in stacks for frame in stack["frames"]]
        assert found and found == frames[: len(found)]
        assert len(found) == len(frames) or thread["end"]
        assert sorted(told) == sorted(calls)
        assert told == calls or thread["doubt"]
        counts.add(len(found))
        cut.unlink()
    assert len(counts) > 3 and len(frames) in counts


@pytest.mark.parametrize("share", range(1, 24, 4))
def test_cut_cores(hung_core, tmp_path, share):
    """gcore writes registers last: without them there are the calls alone."""
    whole = hung_core("loop", "all").read_bytes()
    cut = tmp_path / "cut.core"
    cut.write_bytes(whole[: len(whole) * share // 24])
    result = inspect(cut, "bt", "--native", "--json")
    assert result.returncode in (0, 2), result.stderr
    answer = json.loads(result.stdout)
    if result.returncode == 2:
        assert answer["error"]["message"] and answer["error"]["hint"]
    else:
        assert answer["native"] == [] and answer["stacks"]


def test_one_thread(hung_core):
    core = hung_core("read", "all")
    running = document(core, "bt")["stacks"][1]["address"]
    (thread,) = document(core, "bt", running, "--native")["native"]
    assert running in [each["address"] for each in thread["threads"]]
