"""`heap`: groups add up to the heap, and classes are what the program calls them."""

import pytest
from support import ROOT, Server, document, gcore, inspect

SCRIPT = ROOT / "tests" / "e2e" / "classes.lua"
LINES = SCRIPT.read_text().splitlines()


def line_of(text, after):
    """The number of the first line with the text behind one that begins with `after`."""
    start = next(i for i, line in enumerate(LINES) if line.startswith(after))
    return next(i for i in range(start, len(LINES)) if text in LINES[i]) + 1


CLASSES = {
    ("table", r"given\u{001B}name"): (11, "name"),
    ("table", "Global"): (12, "path"),
    ("table", "game.npc.Npc"): (13, "path"),
    ("table", "game.npc.deep.State"): (14, "path"),
    ("table", "OnlyIndex"): (15, "path"),
    ("table", "Middle"): (16, "path"),
    ("table", "Twin1"): (36, "path"),
    ("table", "{in_hidden}"): (38, "shape"),
    ("table", "{in_environment, only_here}"): (17, "shape"),
    ("userdata", "My.Userdata"): (18, "registry"),
    ("function", f"function classes.lua:{line_of('keep end', 'many(19')}"): (
        19,
        "source",
    ),
    ("thread", f"coroutine classes.lua:{line_of('create', 'many(20')}"): (20, "source"),
    ("thread", f"coroutine classes.lua:{line_of('create', 'many(21')}"): (21, "source"),
    ("table", "{desc, time}"): (22 + 50, "shape"),
    ("table", "[number]"): (23 + 31, "shape"),
    ("table", "[string]"): (24, "shape"),
    ("table", "[{desc, time}]"): (25, "shape"),
    ("table", "[mixed]"): (26, "shape"),
    ("table", "[boolean]"): (27, "shape"),
    ("table", "{[FILE*] = number}"): (28, "shape"),
    ("table", "{[string] = string}"): (29, "shape"),
    ("table", "[array]"): (30, "shape"),
    ("table", "[{}]"): (30, "shape"),
    ("table", "[table]"): (31 + 37, "shape"),
    ("table", "{a_field}"): (31, "shape"),
    ("table", "{f01, f02, f03, f04, f05, f06, f07, f08, +2}"): (32, "shape"),
    ("table", "{[boolean] = number}"): (33, "shape"),
    ("table", "[function]"): (34, "shape"),
    ("table", "{constant, ...}"): (35, "shape"),
}
# Others of the same shape, in Lua's own tables.
MORE = {"[string]", "{[string] = string}", "[function]", "[mixed]", "[table]"}


@pytest.fixture(scope="module")
def classes_core(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classes")
    core = folder / "classes.core"
    server = Server(SCRIPT, folder)
    gcore(server.process, core)
    server.answer()
    return core


def by_name(groups):
    return {(group["type"], group["name"]): group for group in groups}


def test_classes_are_named_by_evidence(classes_core):
    groups = by_name(document(classes_core, "heap")["groups"])
    for key, (count, evidence) in CLASSES.items():
        assert key in groups, key
        assert groups[key]["evidence"] == evidence, key
        if key[1] in MORE:
            assert count <= groups[key]["count"] <= count + 3, key
        else:
            assert groups[key]["count"] == count, key


def test_shapes_leave_names_out(classes_core):
    groups = document(classes_core, "heap", "--by", "shape")["groups"]
    assert {group["evidence"] for group in groups if group["type"] == "table"} == {
        "shape"
    }
    # all instances of the classes above are empty
    assert by_name(groups)["table", "{}"]["count"] >= 11 + 12 + 13 + 14 + 15 + 16


def test_sources(classes_core):
    groups = by_name(document(classes_core, "heap", "--by", "source")["groups"])
    assert groups["thread", "classes.lua"]["count"] == 20 + 21
    assert groups["function", "classes.lua"]["count"] >= 19 + 34
    assert groups["table", "table"]["evidence"] == "type"


@pytest.mark.parametrize("by", ["class", "type", "shape", "source"])
@pytest.mark.parametrize("only", [[], ["--live"], ["--garbage"]])
def test_groups_add_up(packed_core, by, only):
    answer = document(packed_core.path, "heap", "--by", by, *only)
    states = document(packed_core.path, "states")["vms"]
    groups, total = answer["groups"], answer["total"]
    assert sum(group["count"] for group in groups) == total["objects"]
    assert sum(group["bytes"] for group in groups) == total["bytes"]
    assert len(by_name(groups)) == len(groups)
    parts = [answer[key] for key in ("live", "finalizer", "garbage")]
    assert sum(p["objects"] for p in parts) == sum(vm["objects"] for vm in states)
    live = answer["live"]["objects"] + answer["finalizer"]["objects"]
    assert live == sum(vm["live_objects"] for vm in states)
    if not only:
        # an object is part of the heap, the state block and the string table are not
        whole = sum(part["bytes"] for part in parts)
        assert total["objects"] == sum(vm["objects"] for vm in states)
        assert total["bytes"] == whole < sum(vm["accounted_bytes"] for vm in states)
    for group in groups:
        if only == ["--garbage"]:
            assert group["retained_bytes"] is None
        else:
            assert group["retained_bytes"] <= answer["live"]["bytes"]


def test_order_and_limit(classes_core):
    def listed(*arguments):
        return document(classes_core, "heap", *arguments)["groups"]

    for key in ("count", "bytes"):
        values = [group[key] for group in listed("--sort", key)]
        assert values == sorted(values, reverse=True)
    values = [group["retained_bytes"] for group in listed("--sort", "retained")]
    assert values == sorted(values, reverse=True)
    names = [group["name"].encode() for group in listed("--sort", "name")]
    assert names == sorted(names)
    answer = document(classes_core, "heap", "--limit", "3")
    assert len(answer["groups"]) == 3
    assert answer["more"] == len(listed()) - 3
    assert answer["groups"] == listed()[:3]


def test_example_of_a_class_is_one(classes_core):
    groups = by_name(document(classes_core, "heap")["groups"])
    address = groups["table", "game.npc.Npc"]["example"]
    assert "class game.npc.Npc" in inspect(classes_core, "paths", address).stdout


def test_words_of_options(classes_core):
    result = inspect(classes_core, "heap", "--by", "colour")
    assert result.returncode == 2
    assert "'colour' is none of class, type, shape, source" in result.stderr
