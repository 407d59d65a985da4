"""Paths: what is printed parses back, for every kind of step; and chains of any size are readable."""

import json
import shutil
from pathlib import Path

import pytest
from dumped import cpu_seconds, dumped
from support import document, inspect

STEPS = 30000
SCRIPT = Path(__file__).with_name("paths.lua")


@pytest.fixture(scope="module")
def core(tmp_path_factory):
    if not shutil.which("lua5.4"):
        pytest.skip("lua5.4 is not installed")
    return dumped(tmp_path_factory.mktemp("paths"), "lua5.4", SCRIPT)


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    if not shutil.which("lua5.4"):
        pytest.skip("lua5.4 is not installed")
    return dumped(tmp_path_factory.mktemp("long"), "lua5.4", SCRIPT, STEPS)


def addresses(core):
    """The address of each object, by description."""
    found = document(core, "leaks")["entries"]
    assert {entry["verdict"] for entry in found} == {"leaked"}
    assert all(entry["cause"] for entry in found)
    return {entry["description"]: entry["address"] for entry in found}


@pytest.fixture(scope="module")
def entries(core):
    return addresses(core)


def named(core, path):
    """The address of what a path names."""
    return document(core, "paths", path)["paths"][0]["chain"][-1]["address"]


def printed(core, address, *arguments):
    return document(core, "paths", address, *arguments)["paths"]


def test_printed_paths_parse_back(core, entries):
    kinds = set()
    for description, address in entries.items():
        found = printed(core, address, "-k", "2")
        assert found, description
        for path in found:
            assert path["path"] == "".join(step["text"] for step in path["chain"])
            assert named(core, path["path"]) == address, path["path"]
            kinds |= {step["kind"] for step in path["chain"]}
    assert kinds >= {"root", "field", "index", "key", "metatable", "upvalue", "local"}
    assert kinds >= {"stack", "registry"}


def test_aliases_are_folded(core, entries):
    """Three names of one table are one chain; the way over the upvalue is another."""
    address = entries["under several names"]
    found = printed(core, address, "-k", "4")
    assert [path["path"] for path in found][0] == "_G.by_name.deep.leaf"
    assert found[0]["aliases"] == 2
    others = [path["path"] for path in found[1:]]
    assert others and not any(
        path.startswith(("_G.by_another", "package.loaded.by_module"))
        for path in others
    )
    assert any(":upvalue(shared)" in path for path in others)
    page = inspect(core, "paths", address, "-k", "4").stdout
    assert page.count("2 more chains are the same by other names of tables on it") == 1
    # of the table itself, all names are of interest
    names = printed(core, "_G.by_name", "-k", "3")
    assert len(names) == 3 and {path["aliases"] for path in names} == {0}
    assert printed(core, address)[0]["aliases"] == 0


@pytest.mark.parametrize(
    "path, description",
    [
        ("root[1.5]", "number 1.5"),
        ("_G.root[-1]", "number -1"),
        ("root[1e300]", "number 1e+300"),
        ("root[9223372036854775807]", "number 9223372036854775807"),
        ("root[9223372036854775808]", "number 9.2233720368548e+18"),
        ("root[-9223372036854775808]", "number -9223372036854775808"),
        ("root[4503599627370496]", None),
        ("root[9007199254740992]", "number 9.007199254741e+15"),
        ("root[true]", "boolean true"),
        ('root["true"]', "string true"),
        ("root.name", "string name"),
        ("root['end']", "string end"),
        ('root["a\\0b"]', "string a\0b"),
        ("upvalues:upvalue(3)", None),
        ("upvalues:upvalue(second)", "second upvalue"),
        ("upvalues:upvalue(2)", "second upvalue"),
        ("upvalues:upvalue(2):value", "second upvalue"),
        ("shadowing:upvalue(inner):upvalue(same)", "outer same"),
        ("shadowing:upvalue(same)", "inner same"),
        ("stripped:upvalue(2)", "stripped b"),
        ("levels:local(deep)", "deep"),
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
    assert address == entries[description]


def test_number_and_text_are_not_the_same_key(core):
    keys = ["[true]", '["true"]', "[1]", '["1"]', "[-1]", '["-1"]']
    keys += ["[9223372036854775807]", "[9223372036854775808]"]
    assert len({named(core, f"root{key}") for key in keys}) == len(keys)


@pytest.mark.parametrize(
    "path",
    [
        "upvalues:prototype",
        "shadowing:prototype",
        "main_chunk:prototype:prototype(2)",
        "main_chunk:prototype:prototype(5)",
        "main_chunk:prototype:constant(1)",
        "main_chunk:prototype:debugname(1)",
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


def test_long_chain(long):
    """Both ends are shown and what lies between is counted; --json has all of it."""
    arguments = ["leaks", "--description", "at the end"]
    page = inspect(long, *arguments).stdout
    assert len(page.splitlines()) < 40
    assert max(len(line) for line in page.splitlines()) <= 100
    assert "_G.chain.next.next" in page and ".leaf" in page
    assert "... 29,9" in page and " steps ..." in page
    answer = document(long, *arguments)
    cause, address = answer["causes"][0], answer["entries"][0]["address"]
    assert len(cause["chain"]) == STEPS + 3
    assert cause["chain"][cause["suspect"]]["text"] == ".next"
    path = printed(long, address)[0]["path"]
    assert path == "_G.chain" + STEPS * ".next" + ".leaf"
    paths = inspect(long, "paths", address).stdout
    assert len(paths) < 4000 and "--wide or --json shows all of it" in paths


def test_time_grows_with_the_chain_not_its_square(tmp_path):
    steps = 200000
    longer = dumped(tmp_path, "lua5.4", SCRIPT, steps)
    page, seconds = cpu_seconds(lambda: inspect(longer, "leaks"))
    assert "... 199,9" in page.stdout
    assert seconds < 3  # half a minute if every row of the page looks at all steps


def test_long_key(long):
    page = inspect(long, "leaks", "--description", "long key").stdout
    assert len(page) < 3000 and "kkk" in page and "…" in page
    path = printed(long, addresses(long)["long key"])[0]["path"]
    assert path == "_G.long_key." + "k" * 100000


def test_steps_of_a_loop_are_told_apart(core, entries):
    """Its hidden variables have one name."""
    key, value = entries["key in a loop"], entries["value in a loop"]
    state = [path["path"] for path in printed(core, key, "-k", "5")]
    assert len(set(state)) == len(state) >= 2
    assert any(":stack(" in path for path in state)
    paths = printed(core, value, "-k", "5")
    assert any(path["path"].endswith(f"[{key}]") for path in paths)
