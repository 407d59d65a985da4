"""Layouts: from debug info, from a file, from a table; and what is said where none fits.

A Lua with fields inserted into Table and global_State and with another LUA_EXTRASPACE is built from
Debian's source package: with its debug info, with a layout file, and with neither.
"""

import json
import os
import re
import shutil
import subprocess
from random import Random

import pytest
from lua_source import LuaSource, Unavailable, run
from support import (
    ROOT,
    Server,
    document,
    gcore,
    inspect,
    inspect_in_shell,
    verdicts,
)

# In the middle of what is read, so that nothing fits by chance.
EXTRA_SPACE = (
    "luaconf.h",
    "#define LUA_EXTRASPACE\t\t(sizeof(void *))",
    "#define LUA_EXTRASPACE\t\t40",
)
PATCH = [
    EXTRA_SPACE,
    (
        "lobject.h",
        "  lu_byte flags;  /* 1<<p means tagmethod(p) is not present */\n"
        "  lu_byte lsizenode;",
        "  int readonly;\n"
        "  lu_byte flags;\n"
        "  struct { short owner; char name[11]; } host;\n"
        "  lu_byte lsizenode;",
    ),
    (
        "lstate.h",
        "  stringtable strt;  /* hash table for strings */",
        "  double host_time[3];\n  stringtable strt;",
    ),
    (
        "lstate.h",
        "  struct lua_State *twups;  /* list of threads with open upvalues */\n"
        "  lua_CFunction panic;",
        "  struct lua_State *twups;\n  char host_name[29];\n  lua_CFunction panic;",
    ),
]
DEBUG_PROGRAM = "/usr/bin/lua5.4"
LONG = os.environ.get("LUA_INSPECT_LONG")


class Dumped:
    """A program, a core of it, and what it said after the dump."""

    def __init__(self, program):
        self.program = program
        self.core = program.parent / "server.core"
        server = Server(ROOT / "cores" / "server.lua", program.parent, program)
        gcore(server.process, self.core)
        self.truth = verdicts(server.answer())


class Builds:
    def __init__(self, source):
        self.source = source
        self.folder = source.folder
        self.objects = source.compile("patched", PATCH)
        whole = source.link(self.objects, self.folder / "whole" / "lua")
        stripped = self.folder / "stripped" / "lua"
        stripped.parent.mkdir()
        self.debug_file = self.folder / "debug" / "lua.debug"
        self.debug_file.parent.mkdir()
        run("objcopy", "--only-keep-debug", whole, self.debug_file)
        link = f"--add-gnu-debuglink={self.debug_file}"
        run("objcopy", "--strip-all", link, whole, stripped)
        self.whole, self.stripped = Dumped(whole), Dumped(stripped)

    def build_id(self):
        notes = run("readelf", "-n", self.stripped.program)
        return re.search(r"Build ID: ([0-9a-f]+)", notes)[1]


@pytest.fixture(scope="session")
def lua_source(tmp_path_factory):
    try:
        return LuaSource(tmp_path_factory.mktemp("lua-source"))
    except Unavailable as error:
        pytest.skip(f"Debian's source package of Lua cannot be had: {error}")


@pytest.fixture(scope="session")
def builds(lua_source):
    return Builds(lua_source)


@pytest.fixture(scope="session")
def layout_file(builds):
    result = inspect("layout", builds.whole.program)
    assert result.returncode == 0, result.stderr
    path = builds.folder / "patched.layout"
    path.write_text(result.stdout)
    return path


def check_exact(dumped, layout, *options):
    answer = document(dumped.core, "leaks", *options)
    found = {entry["description"]: entry["verdict"] for entry in answer["entries"]}
    assert found == dumped.truth
    assert len(found) == 45
    assert answer["faults"] == []
    assert [vm["residual_bytes"] for vm in answer["vms"]] == [0]
    assert [vm["layout"] for vm in answer["vms"]] == [layout]


# ---- A patched Lua --------------------------------------------------------------------------------


def test_debug_info_is_all_that_a_patched_lua_needs(builds):
    check_exact(builds.whole, "dwarf")


def test_states_say_where_the_layout_comes_from(builds):
    result = inspect(builds.whole.core, "states", "-v")
    assert "(layout from debug info)" in result.stdout.splitlines()[0]
    assert "layout lua, 64-bit, from debug info:" in result.stdout
    assert "every byte is accounted for" in " ".join(result.stdout.split())


def test_stripped_with_a_layout_file(builds, layout_file):
    check_exact(builds.stripped, "probed", "--layout", layout_file)
    result = inspect(builds.stripped.core, "states", "-v", "--layout", layout_file)
    assert "(layout from a file)" in result.stdout.splitlines()[0]
    assert "layout patched.layout, 64-bit, given by --layout" in result.stdout


def test_stripped_without_anything(builds):
    result = inspect(builds.stripped.core, "leaks")
    assert result.returncode == 2 and result.stdout == ""
    said = " ".join(result.stderr.split())
    assert "no Lua 5.4 or 5.5 was found in server.core" in said
    assert re.search(r"tried: \d+ canned layouts; no debug info", said)
    assert "--layout FILE" in said and "`lua-inspect layout EXE`" in said


def test_a_layout_file_in_a_debugger(debugger, builds, layout_file):
    files = {"exe": builds.stripped.program, "core": builds.stripped.core}
    shown = debugger.output(f"lua-states --layout {layout_file}", **files)
    assert "(layout from a file)" in shown and "residual 0 B" in shown


# ---- Where debug info is found ----------------------------------------------------------------------


def linked_copy(builds, folder, place):
    """A stripped copy with the debug file at `place`, relative to its folder."""
    target = folder / place
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(builds.debug_file, target)
    shutil.copy(builds.stripped.program, folder / "lua")
    return folder / "lua"


@pytest.mark.parametrize("place", ["lua.debug", ".debug/lua.debug"])
def test_debug_file_by_debuglink(builds, tmp_path, place):
    program = linked_copy(builds, tmp_path, place)
    check_exact(builds.stripped, "dwarf", "--exe", program)


def test_debug_file_by_build_id(builds, tmp_path):
    name = builds.build_id()
    place = tmp_path / "usr/lib/debug/.build-id" / name[:2] / f"{name[2:]}.debug"
    place.parent.mkdir(parents=True)
    shutil.copy(builds.debug_file, place)
    check_exact(builds.stripped, "dwarf", "--sysroot", tmp_path)


def test_debug_file_of_another_build_is_not_taken(builds, lua_source, tmp_path):
    other = lua_source.link(builds.objects, tmp_path / "other", "-Wl,-z,norelro")
    program = linked_copy(builds, tmp_path, "lua.debug")
    run("objcopy", "--only-keep-debug", other, tmp_path / "lua.debug")
    result = inspect(builds.stripped.core, "states", "--exe", program)
    assert result.returncode == 2 and "no debug info" in result.stderr


def test_debuglink_without_build_id_goes_by_checksum(builds, lua_source, tmp_path):
    program = tmp_path / "lua"
    lua_source.link(builds.objects, program, "-Wl,--build-id=none")
    whole = inspect("layout", program).stdout
    assert whole.startswith("lua-inspect-layout 1\n")
    debug = tmp_path / "lua.debug"
    run("objcopy", "--only-keep-debug", program, debug)
    run("objcopy", "--strip-all", f"--add-gnu-debuglink={debug}", program)
    assert inspect("layout", program).stdout == whole
    content = bytearray(debug.read_bytes())
    content[-1] ^= 1
    debug.write_bytes(content)
    result = inspect("layout", program)
    assert result.returncode == 2
    assert "no separate debug file belongs to it" in result.stderr


def test_two_luas_in_one_program(builds, lua_source, layout_file, tmp_path):
    """The structures are those of the Lua whose lua_newstate it is, not the first of their name."""
    both = tmp_path / "both.o"
    run(
        "ld",
        "-r",
        "-o",
        both,
        *(path for path in lua_source.unchanged if path.name != "lua.o"),
    )
    run("objcopy", "--prefix-symbols=other_", both)
    for order in ([both, *builds.objects], [*builds.objects, both]):
        program = tmp_path / "lua"
        flag = "-Wl,--unresolved-symbols=ignore-all"
        lua_source.link(order, program, flag)
        assert inspect("layout", program).stdout == layout_file.read_text()


def test_debug_info_overrides_a_canned_layout_that_seems_to_fit(lua_source, tmp_path):
    """A field behind all that is known: the VM is found either way, the books balance only with
    debug info."""
    end = "  GCObject *gclist;\n} Table;"
    change = ("lobject.h", end, end.replace("}", "  int host[4];\n}"))
    objects = lua_source.compile("appended", [change])
    dumped = Dumped(lua_source.link(objects, tmp_path / "lua"))
    check_exact(dumped, "dwarf")
    dumped.program.unlink()  # a debugger goes on with what it has opened
    (vm,) = json.loads(inspect_in_shell(dumped.core, "states", "--json").stdout)["vms"]
    assert vm["layout"] == "canned" and vm["residual_bytes"] > 0


# ---- LUA_EXTRASPACE alone ---------------------------------------------------------------------------


def test_extra_space_is_found_without_debug_info(lua_source, tmp_path):
    state = lua_source.compile("spacious", [EXTRA_SPACE], only=["lstate.c"])
    others = [path for path in lua_source.unchanged if path.name != "lstate.o"]
    objects = state + others
    program = lua_source.link(objects, tmp_path / "lua", "-s")
    dumped = Dumped(program)
    check_exact(dumped, "probed")
    shown = " ".join(inspect(dumped.core, "states", "-v").stdout.split())
    assert "canned layout, adapted" in shown and "LUA_EXTRASPACE is 40" in shown


# ---- Debian's debug info ----------------------------------------------------------------------------


@pytest.fixture(scope="session")
def debian_layout():
    """What liblua5.4-0-dbg says; its types are in an alternate file made by dwz."""
    result = inspect("layout", DEBUG_PROGRAM, "--json")
    if result.returncode == 2:
        pytest.skip(
            f"liblua5.4-0-dbg is not installed: {result.stderr.splitlines()[0]}"
        )
    return json.loads(result.stdout)


def canned_row(name, pointer_size):
    """Fields, sizes and the traits that are numbers, of a row of canned.c."""
    text = (ROOT / "libinspect" / "layout" / "canned.c").read_text()
    for row in text.split("    .name = ")[1:]:
        if row.startswith(f'"{name}') and f".pointer_size = {pointer_size}" in row:
            fields = re.findall(r"\[([A-Za-z_]\w*)\] = \{(\d+), (\d+)\}", row)
            sizes = re.findall(r"\[SIZE_(\w+)\] = (\d+)", row)
            return (
                {field: (int(offset), int(size)) for field, offset, size in fields},
                {structure: int(size) for structure, size in sizes},
                {
                    name: int(n, 0)
                    for name, n in re.findall(r"\.(\w+) = (\w*\d)\b", row)
                },
            )
    raise AssertionError(f"no row {name}")


def test_canned_table_is_what_debians_debug_info_says(debian_layout):
    fields, sizes, traits = canned_row("5.4.3", 8)
    described = {
        row["field"].replace(".", "_", 1): (row["offset"], row["size"] or 255)
        for row in debian_layout["fields"]
    }
    assert described == fields
    assert {row["structure"]: row["size"] for row in debian_layout["sizes"]} == sizes
    said = dict(re.findall(r"(?m)^(\w+) (\d+)$", debian_layout["file"]))
    assert traits.items() <= {name: int(n) for name, n in said.items()}.items()
    assert len(fields) > 100 and len(sizes) > 10 and len(traits) > 5


def test_library_and_program_agree(debian_layout):
    library = inspect("layout", "/usr/lib/x86_64-linux-gnu/liblua5.4.so.0", "--json")
    if library.returncode == 2:
        pytest.skip("liblua5.4-0 is not installed")
    assert json.loads(library.stdout)["fields"] == debian_layout["fields"]


def test_debian_lua_is_read_by_its_debug_info(debian_layout, server_core):
    assert [vm["layout"] for vm in document(server_core.path, "states")["vms"]] == [
        "dwarf"
    ]


# ---- Layout files and programs that do not serve ----------------------------------------------------


def check_refused(result, message):
    assert result.returncode == 2 and result.stdout == ""
    lines = result.stderr.splitlines()
    assert message in lines[0] and lines[1].startswith("  hint: "), result.stderr


def test_layout_files_that_are_none(server_core, tmp_path):
    core, path = server_core.path, tmp_path / "some.layout"
    check_refused(inspect(core, "--layout", path), "cannot read the layout some.layout")
    check_refused(inspect(core, "--layout", tmp_path), "regular file")
    for text, message in (
        ("", "is no layout"),
        ("\x1b[31m\n", "is no layout"),
        ("lua-inspect-layout 1\nlua 5.4\nTable.node x 8\n", "line 3: no offset: x"),
    ):
        path.write_text(text)
        check_refused(inspect(core, "--layout", path), message)
    answer = inspect(core, "--layout", path, "--json")
    assert answer.returncode == 2
    assert json.loads(answer.stdout)["error"]["code"] == "usage"


def changed(text, name, *values):
    line = " ".join((name, *map(str, values)))
    result, count = re.subn(rf"(?m)^{re.escape(name)} .*$", line, text)
    assert count == 1
    return result


def test_layouts_that_do_not_fit(builds, layout_file, server_core, tmp_path):
    path = tmp_path / "other.layout"
    path.write_text(layout_file.read_text())
    result = inspect(server_core.path, "states", "--layout", path)
    check_refused(result, "the layout other.layout fits no VM of server.core")
    path.write_text(changed(layout_file.read_text(), "byte_order", "big"))
    result = inspect(builds.stripped.core, "states", "--layout", path)
    check_refused(result, "is for 64-bit big-endian targets")
    path.write_text(changed(layout_file.read_text(), "Table.node", 4000, 8))
    result = inspect(builds.stripped.core, "states", "--layout", path)
    check_refused(result, "Table.node lies outside of its structure")


@pytest.mark.parametrize(
    "program, message",
    [
        ("/nonexistent", "No such file"),
        ("/etc/passwd", "is no ELF program"),
        ("/usr/bin/env", "has no debug info"),
        (None, "describes no Lua"),
    ],
)
def test_programs_that_describe_no_lua(tmp_path, program, message):
    if program is None:
        program, source = tmp_path / "other", tmp_path / "other.c"
        source.write_text(
            "struct TValue { int tt_; } value; int main(void) { return 0; }\n"
        )
        subprocess.run(["gcc", "-g", source, "-o", program], check=True)
    check_refused(inspect("layout", program), message)


def test_a_core_is_no_program(server_core):
    check_refused(inspect("layout", server_core.path), "is a core, no program")


def test_layout_needs_a_program():
    check_refused(inspect("layout"), "layout needs an argument, EXE")


# ---- Damage -------------------------------------------------------------------------------------


def damaged_line(random, line):
    """A number of the line changed a little or much, or one of its characters."""
    words = line.split(" ")
    numbers = [i for i, word in enumerate(words) if word.isdigit()]
    if not numbers or random.random() < 0.1:
        position = random.randrange(len(line) + 1)
        return line[:position] + chr(random.randrange(1, 256)) + line[position + 1 :]
    which = random.choice(numbers)
    change = random.choice([-16, -8, -1, 1, 4, 8, 16, random.randrange(-100, 300)])
    words[which] = str(max(0, int(words[which]) + change))
    return " ".join(words)


def test_damaged_layout_files_do_no_harm(server_core, debian_layout, tmp_path):
    """What is taken is read with: every read stays within the dump, or this dies."""
    random, taken = Random(20), 0
    lines, path = debian_layout["file"].splitlines(), tmp_path / "damaged.layout"
    for _ in range(3000 if LONG else 80):
        damaged = list(lines)
        for _ in range(random.choice([1, 1, 2, 4])):
            which = random.randrange(1, len(damaged))
            damaged[which] = damaged_line(random, damaged[which])
        path.write_text("\n".join(damaged) + "\n", encoding="latin-1")
        command = random.choice(["leaks", "states", "gc", "check"])
        result = inspect(server_core.path, command, "--layout", path)
        assert result.returncode in (0, 1, 2), path.read_text(encoding="latin-1")
        taken += result.returncode != 2
    assert taken > 5


def test_damaged_debug_info_does_no_harm(builds, tmp_path):
    random, path = Random(21), tmp_path / "damaged"
    content = builds.whole.program.read_bytes()
    sections = run("readelf", "-SW", builds.whole.program)
    start = int(re.search(r" \.debug_info +\S+ +\S+ (\S+)", sections)[1], 16)
    for _ in range(2000 if LONG else 60):
        damaged = bytearray(content)
        for _ in range(random.choice([1, 10, 100, 1000])):
            damaged[random.randrange(start, len(content))] = random.randrange(256)
        path.write_bytes(damaged)
        assert inspect("layout", path).returncode in (0, 2)
