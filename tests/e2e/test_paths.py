"""Paths: what is printed parses back, for every kind of step; and chains of any size are readable."""

import json
import shutil
from pathlib import Path

import pytest
from dumped import cpu_seconds, dumped
from support import document, inspect

SCRIPT = Path(__file__).with_name("paths.lua")


@pytest.fixture(scope="module")
def core(tmp_path_factory):
    if not shutil.which("lua5.4"):
        pytest.skip("lua5.4 is not installed")
    return dumped(tmp_path_factory.mktemp("paths"), "lua5.4", SCRIPT)


@pytest.fixture(scope="module")
def entries(core):
    """Address and cause of each object, by description."""
    found = document(core, "leaks")["entries"]
    assert {entry["verdict"] for entry in found} == {"leaked"}
    assert all(entry["cause"] for entry in found)
    return {entry["description"]: entry["address"] for entry in found}


def named(core, path):
    """The address of what a path names."""
    return document(core, "paths", path)["paths"][0]["chain"][-1]["address"]


def printed(core, address, *arguments):
    return document(core, "paths", address, *arguments)["paths"]


def test_printed_paths_parse_back(core, entries):
    kinds = set()
    for description, address in entries.items():
        if description == "at the end":
            continue
        found = printed(core, address, "-k", "3")
        assert found, description
        for path in found:
            assert path["path"] == "".join(step["text"] for step in path["chain"])
            assert named(core, path["path"]) == address, path["path"]
            kinds |= {step["kind"] for step in path["chain"]}
    assert kinds >= {"root", "field", "index", "key", "metatable", "upvalue", "local"}
    assert kinds >= {"stack", "registry"}


@pytest.mark.parametrize(
    "path, description",
    [
        ("root[1.5]", "key 1.5"),
        ("_G.root[-1]", "key -1"),
        ("root[1e300]", "key 1e+300"),
        ("root[9223372036854775807]", "key 9223372036854775807"),
        ("root[9223372036854775808]", "key 9.2233720368548e+18"),
        ("root[-9223372036854775808]", "key -9223372036854775808"),
        ("root[4503599627370496.0]", None),
        ("root[9007199254740992]", "key 9.007199254741e+15"),
        ("root[true]", "key true"),
        ('root["true"]', "key true"),
        ("root.name", "key name"),
        ("root['end']", "key end"),
        ('root["a\\0b"]', "key a\0b"),
        ("keep_function:upvalue(1)", None),
        ("upvalues:upvalue(second)", "second upvalue"),
        ("upvalues:upvalue(2)", "second upvalue"),
        ("upvalues:upvalue(2):value", "second upvalue"),
        ("shadowing:upvalue(inner):upvalue(same)", "outer same"),
        ("shadowing:upvalue(same)", "inner same"),
        ("stripped:upvalue(2)", "stripped b"),
        ("levels:local(deep)", None),
        ("levels:local(1,deep)", "deep"),
        ("levels:local(1,same)", "same at 3"),
        ("levels:local(3,same)", "same at 2"),
        ("levels:local(4,same)", "same at 1"),
        ("levels:local(4,1)", "same at 1"),
        ("shadowed:local(x)", "inner x"),
        ("shadowed:local(1,1)", "outer x"),
        ("shadowed:local(1,2)", "inner x"),
        ("shadowed:local(1)", "outer x"),
        ("shadowed:local(1,3)", None),
        ("open:upvalue(1)", "open upvalue"),
        ("open:upvalue(2)", None),
        ("open:upvalue(captured)", None),
        ("wrapped:upvalue(1):local(1,w)", "of a wrapped coroutine"),
        ("with_metatable:metatable", "a metatable"),
        ("registry.a", None),
        ('_G["registry"]', "global registry"),
        ('registry["a b"]', "registry"),
        ("registry[-5]", "registry at -5"),
        ('_G["package.loaded"]', "global package.loaded"),
        ('package.loaded["a.module"].held', "module"),
        ("package.held", "package"),
    ],
)
def test_typed_paths(core, entries, path, description):
    result = inspect(core, "paths", path, "--json")
    if description is None:
        assert result.returncode == 2
        return
    address = json.loads(result.stdout)["paths"][0]["chain"][-1]["address"]
    same = {
        each["address"]
        for each in document(core, "leaks")["entries"]
        if each["description"] == description
    }
    assert address in same


def test_number_and_text_are_not_the_same_key(core):
    keys = ["[true]", '["true"]', "[1]", '["1"]', "[-1]", '["-1"]', "[2]"]
    keys += ["[9223372036854775807]", "[9223372036854775808]"]
    found = [inspect(core, "paths", f"root{key}") for key in keys]
    assert [result.returncode for result in found] == [0, 0, 0, 0, 0, 0, 2, 0, 0]
    assert len({result.stdout.split("\n")[2] for result in found}) == len(keys)


@pytest.mark.parametrize(
    "path",
    [
        "upvalues:prototype",
        "shadowing:prototype",
        "registry[1]:stack(3):prototype:prototype(2)",
        "registry[1]:stack(3):prototype:prototype(5)",
        "registry[1]:stack(3):prototype:constant(1)",
        "registry[1]:stack(3):prototype:debugname(1)",
        "upvalues:prototype:debugname(3)",
        ':key("root")',
    ],
)
def test_parts_of_code_and_keys(core, path):
    address = named(core, path if path[0] != ":" else "_G" + path)
    through = ["--through", "all"]
    for each in printed(core, address, "-k", "4", *through):
        assert named(core, each["path"]) == address, each["path"]


def test_search_is_limited(core, entries):
    address = entries["inner same"]
    assert printed(core, address)[0]["path"] == "_G.shadowing:upvalue(same)"
    assert printed(core, address, "--from", "_G.shadowing")[0]["path"].startswith("0x")
    assert printed(core, address, "--through", "table") == []
    assert printed(core, address, "--avoid", "_G.shadowing") == []
    assert printed(core, address, "--from", "registry", "--through", "table,upvalue")
    page = inspect(core, "paths", address, "--avoid", "_G.shadowing").stdout
    assert "no chain under the limits" in page


def test_long_chain(core, entries):
    """Both ends are shown and what lies between is counted; --json has all of it."""
    arguments = ["leaks", "--description", "at the end"]
    page = inspect(core, *arguments).stdout
    lines = page.splitlines()
    assert len(lines) < 40 and max(map(len, lines)) <= 100
    assert "_G.chain.next.next" in page and ".leaf" in page
    assert "199,96" in page and " steps ..." in page
    cause = document(core, *arguments)["causes"][0]
    assert len(cause["chain"]) == 200003
    assert cause["chain"][cause["suspect"]]["text"] == ".next"
    paths = inspect(core, "paths", entries["at the end"]).stdout
    assert len(paths) < 4000 and "--wide or --json shows all of it" in paths
    wide, seconds = cpu_seconds(lambda: inspect(core, *arguments, "--wide"))
    assert wide.stdout.count(".next") >= 200000
    assert seconds < 5  # the steps of a line are cut into rows in one pass
    # and as it is printed it is found again
    path = printed(core, entries["at the end"])[0]["path"]
    assert len(path) > 1000000


def test_long_key(core, entries):
    page = inspect(core, "leaks", "--description", "long key").stdout
    assert len(page) < 3000 and "kkk" in page and "…" in page
    path = printed(core, entries["long key"])[0]["path"]
    assert path == "_G.long_key." + "k" * 100000


def test_steps_of_a_loop_are_told_apart(core, entries):
    """Its hidden variables have one name."""
    key, value = entries["key in a loop"], entries["value in a loop"]
    state = printed(core, key, "-k", "5")
    assert len({path["path"] for path in state}) == len(state) >= 2
    assert any(":stack(" in path["path"] for path in state)
    assert any(path["path"].endswith(f"[{key}]") for path in printed(core, value, "-k", "5"))
