"""What `print` shows of a value is what the program wrote about it before it was dumped."""

import json
import re
import shutil
from pathlib import Path

import pytest
from dumped import cpu_seconds, dumped
from support import document, inspect

SCRIPT = Path(__file__).with_name("print.lua")


@pytest.fixture(scope="module", params=[1, 2])
def said(request, tmp_path_factory):
    """A core, and what its program said: (path, depth) -> text."""
    if not shutil.which("lua5.4"):
        pytest.skip("lua5.4 is not installed")
    folder = tmp_path_factory.mktemp("print")
    core = dumped(folder, "lua5.4", SCRIPT, request.param)
    texts = {}
    lines = (folder / "said").read_bytes().decode("utf-8").split("\n")
    at = 0
    while lines[at]:
        path, depth, count = lines[at][1:].split("\t")
        texts[path, depth] = lines[at + 1 : at + 1 + int(count)]
        at += 1 + int(count)
    return core, texts


@pytest.fixture(scope="module")
def core(said):
    return said[0]


@pytest.fixture(scope="module")
def huge(tmp_path_factory):
    if not shutil.which("lua5.4"):
        pytest.skip("lua5.4 is not installed")
    return dumped(tmp_path_factory.mktemp("huge"), "lua5.4", SCRIPT, "huge")


def value_lines(page):
    """The value on a page: what stands between the description and `next`."""
    parts = page.split("\n\n")
    assert parts[-1].startswith("next "), page
    return "\n\n".join(parts[2:-1]).split("\n")


def test_printed_as_the_program_wrote_it(said):
    core, texts = said
    for (path, depth), expected in texts.items():
        if any(len(line) > 100 for line in expected):
            continue  # broken into rows: see below
        page = inspect(core, "print", path, "--depth", depth).stdout
        assert value_lines(page) == expected, (path, depth)


def test_long_lines_are_broken_and_nothing_is_lost(said):
    core, texts = said
    seen = 0
    for (path, depth), expected in texts.items():
        if all(len(line) <= 100 for line in expected):
            continue
        seen += 1
        page = inspect(core, "print", path, "--depth", depth).stdout
        assert all(len(line) <= 100 for line in page.splitlines())
        without_blanks = [
            "".join("".join(lines).split()) for lines in (value_lines(page), expected)
        ]
        assert without_blanks[0] == without_blanks[1], (path, depth)
    assert seen


def entry(value, *keys):
    """The value below `keys` in the data of a table."""
    for key in keys:
        found = [e["value"] for e in value["entries"] if e["key"].get("value") == key]
        assert len(found) == 1, (key, found)
        value = found[0]
    return value


def test_data_says_the_same(core):
    (found,) = document(core, "print", "plain")["values"]
    assert found["type"] == "table" and found["path"] == "_G.plain" and found["live"]
    value = found["value"]
    assert value["count"] == len(value["entries"]) == 12
    assert entry(value, "integer")["value"] == 42
    assert entry(value, "float")["value"] == 1.5
    assert entry(value, "yes")["value"] is True
    assert entry(value, "huge")["value"] is None
    assert entry(value, "huge")["text"] == "math.huge"
    assert entry(value, "nan")["text"] == "0/0"
    assert entry(value, "c")["type"] == "cfunction"
    assert entry(value, "text")["value"] == "a\nb"
    assert entry(value, 2.5)["value"] == "two and a half"


@pytest.mark.parametrize(
    "path, text",
    [
        ("plain.integer", "42"),
        ("plain.float", "1.5"),
        ("plain.zero", "-0.0"),
        ("plain.no", "false"),
        ("_G.plain.huge", "math.huge"),
        ("plain[1]", "7"),
        ("closure:upvalue(seed)", None),
        ("parked:local(number)", "17"),
        ("parked:local(1,number)", "17"),
        ("parked:local(1,4)", "17"),
    ],
)
def test_values_that_are_no_objects(core, path, text):
    result = inspect(core, "print", path)
    assert result.returncode == 0, result.stderr
    shown = result.stdout.split("\n\n")[1].strip()
    assert shown == text or text is None and shown in "12"
    (found,) = document(core, "print", path)["values"]
    assert found["value"]["text"] == shown and "address" not in found


@pytest.mark.parametrize(
    "path, complaint",
    [
        ("plain.nothing", "_G.plain holds nothing as .nothing"),
        ("plain[99]", "_G.plain holds nothing as [99]"),
        ("plain.integer.more", "_G.plain holds no object as .integer"),
        ("nothing.at.all", "_G holds no object as .nothing"),
        ("parked:local(unset)", "_G.parked holds nothing as :local(unset)"),
        ("0x10", "no Lua object starts at 0x10"),
    ],
)
def test_nothing_there(core, path, complaint):
    result = inspect(core, "print", path)
    assert result.returncode == 2 and result.stdout == ""
    assert complaint in result.stderr


def test_function(core):
    (found,) = document(core, "print", "closure")["values"]
    assert found["source"].endswith("print.lua")
    assert found["parameters"] == ["a", "b"] and found["vararg"] is True
    assert found["last_line"] == found["first_line"] + 2
    upvalues = {each["name"]: each["value"] for each in found["upvalues"]}
    assert list(upvalues) == ["_ENV", "seed", "holder"] or "holder" not in upvalues
    assert upvalues["seed"]["value"] in (1, 2)
    page = inspect(core, "print", "closure").stdout
    assert re.search(r"\nparameters +a, b, \.\.\.\n", page)
    assert re.search(r"\n  seed = [12]\n", page)


def test_thread(core):
    (found,) = document(core, "print", "parked")["values"]
    assert [call["level"] for call in found["calls"]] == [0, 1]
    assert "yield" in found["calls"][0]["text"]
    shown = found["calls"][1]["locals"]
    assert [each["value"]["value"] for each in shown if each["kind"] == "vararg"] == [
        "vararg"
    ]
    locals_ = {e["name"]: e["value"] for e in shown if e["kind"] == "local"}
    assert list(locals_) == ["first", "second", "unset", "number"]
    assert locals_["first"]["value"] == "argument" and locals_["number"]["value"] == 17
    assert locals_["unset"]["type"] == "nil"
    assert entry(locals_["second"], "x")["value"] == 1
    page = inspect(core, "print", "parked").stdout
    second = r"\n      second = {x = 1}  -- 0x[0-9a-f]+\n"
    assert re.search(second + "      unset = nil\n      number = 17\n", page)


def test_threads_without_calls(core):
    (fresh,) = document(core, "print", "fresh")["values"]
    assert fresh["start"][0]["type"] == "function" and fresh["calls"] == []
    (dead,) = document(core, "print", "dead")["values"]
    assert entry(dead["error"], "code")["value"] == 5
    (done,) = document(core, "print", "done")["values"]
    assert done["calls"] == [] and "error" not in done and "start" not in done


def test_userdata(core):
    (found,) = document(core, "print", "io.stdout")["values"]
    assert (
        found["class"] == "FILE*" and found["size"] == 16 and found["user_values"] == []
    )
    assert found["metatable"]["type"] == "table"


def test_all_objects_can_be_printed(core):
    """Every kind of object has a page: those that a function consists of as well."""
    for path in ("closure:prototype", '_G:key("plain")', "registry", "print.lua"):
        if path == "print.lua":
            continue
        assert inspect(core, "print", path).returncode == 0
    (found,) = document(core, "print", "closure:prototype")["values"]
    assert found["type"] == "prototype" and found["instructions"] > 0


def test_huge_tables_stay_bounded(huge):
    (page, seconds) = cpu_seconds(lambda: inspect(huge, "print", "huge").stdout)
    assert len(page.splitlines()) < 70 and "-- 299,950 more" in page
    assert seconds < 10
    found = document(huge, "print", "huge", "--limit", "5")["values"][0]["value"]
    assert found["count"] == 300000 and [
        e["key"]["value"] for e in found["entries"]
    ] == [
        1,
        2,
        3,
        4,
        5,
    ]


def test_nested_tables_stay_bounded(huge):
    result = inspect(huge, "print", "wide", "--depth", "30", "--limit", "1000")
    assert len(result.stdout) < 3_000_000
    assert "too many values for one answer" in result.stdout
    assert (
        len(inspect(huge, "print", "wide", "--json", "--limit", "300").stdout)
        < 20_000_000
    )


def test_long_strings_are_cut_with_a_count(huge):
    page = inspect(huge, "print", "strings").stdout
    assert '"...,  -- 100,001 bytes\n' in page and len(page) < 10000
    whole = entry(document(huge, "print", "strings")["values"][0]["value"], 1)
    assert whole["value"] == "s" * 100001 and whole["cut"] is False
    page = inspect(huge, "print", "long_text").stdout
    assert '\n"line\\n" ..\n' in page and "-- 6,000 more bytes" in page
    page = inspect(huge, "print", "long_text", "--wide").stdout
    assert page.count('"line\\n" ..\n') == 1999


def test_cycles_end(core):
    page = inspect(core, "print", "_G", "--depth", "30", "--limit", "10000").stdout
    assert "_G = <table, " in page and "-- shown above" in page


def test_same_bytes_each_time(core):
    pages = {inspect(core, "print", "roots", "--depth", "4").stdout for _ in range(3)}
    assert len(pages) == 1
    json.loads(inspect(core, "print", "roots", "--depth", "30", "--json").stdout)
