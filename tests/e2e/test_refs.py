"""`refs`: what comes in somewhere goes out elsewhere, and what is printed as a path parses back."""

import collections
import shutil
from pathlib import Path

import pytest
from dumped import dumped
from one_session import OneSession
from support import document, inspect

SCRIPT = Path(__file__).with_name("paths.lua")


@pytest.fixture(scope="module")
def core(tmp_path_factory):
    if not shutil.which("lua5.4"):
        pytest.skip("lua5.4 is not installed")
    return dumped(tmp_path_factory.mktemp("refs"), "lua5.4", SCRIPT)


@pytest.fixture(scope="module", params=["debian-5.4.4", "debian-5.5.1"])
def session(request, kept_core):
    opened = OneSession(kept_core(request.param))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def path_session(core):
    opened = OneSession(core)
    yield opened
    opened.close()


def edges(opened):
    """All references of what is reached from the roots: to -> the references, of all objects."""
    out, waiting = {}, ["registry", "registry[1]", "registry[3]"]
    while waiting:
        name = waiting.pop()
        if name in out:
            continue
        try:
            found = opened.document("refs", f"{name} --out")["objects"][0]
        except Exception:
            assert name.startswith("registry[")
            continue
        if found["address"] in out:
            continue
        assert found["outgoing_count"] == len(found["outgoing"])
        out[found["address"]] = found
        waiting += [each["address"] for each in found["outgoing"]]
    return out


def test_incoming_are_the_outgoing_of_the_others(session):
    out = edges(session)
    assert len(out) > 900
    expected = collections.defaultdict(collections.Counter)
    for owner, found in out.items():
        for each in found["outgoing"]:
            what = owner, each["label"], each["kind"], each["strength"]
            expected[each["address"]][what] += 1
    for address, found in out.items():
        if found["type"] == "upvalue":
            continue  # passed over on the way out
        answer = session.document("refs", f"{address} --in")["objects"][0]
        assert answer["incoming_count"] == len(answer["incoming"])
        got = collections.Counter(
            (each["address"], each["label"], each["kind"], each["strength"])
            for each in answer["incoming"]
            if each["address"] in out and each["type"] != "upvalue"
        )
        assert got == expected[address], address
        for each in answer["incoming"]:  # an upvalue only if nobody has it
            if each["type"] == "upvalue":
                owners = session.document("refs", f"{each['address']} --in")
                assert owners["objects"][0]["incoming_count"] == 0


def test_paths_of_references_parse_back(path_session):
    kinds = set()
    out = edges(path_session)
    for address, found in out.items():
        for each in found["outgoing"]:
            assert each["path"] == address + each["label"] or not each["label"]
            if each["type"] == "upvalue" or not each["label"]:
                continue
            if found["type"] == "upvalue":
                continue  # a value is named by the step to its upvalue
            kinds.add(each["kind"])
            back = path_session.document("print", f"'{quoted(each['path'])}' --depth 1")
            assert back["values"][0]["address"] == each["address"], each["path"]
    assert kinds >= {"field", "index", "key", "metatable", "upvalue", "local", "stack"}
    assert kinds >= {"constant", "prototype", "other", "uservalue"} - {"uservalue"}


def quoted(path):
    """In single quotes, as a debugger's command line has it."""
    return path.replace("\\", "\\\\").replace("'", "\\'")


def test_strength_and_liveness(session):
    """The tracker is weak-keyed; what its records hang on is its key."""
    tracked = session.document("refs", "_G.cycle --in")["objects"][0]["incoming"]
    by_owner = {each["label"].split("(")[0]: each for each in tracked}
    assert by_owner[".cycle"]["strength"] == "strong"
    assert by_owner[":key"]["strength"] == "weak"
    record = session.document("refs", "registry_tracker --out")["objects"][0][
        "outgoing"
    ]
    kinds = {(each["kind"], each["strength"]) for each in record}
    assert ("index", "ephemeron") in kinds and ("key", "weak") in kinds
    order = [each["strength"] for each in tracked]
    assert order == sorted(order, key=["strong", "ephemeron", "weak"].index)


def test_garbage_refers_too(kept_core):
    """Objects of dead cycles refer to each other: said, and after those that are alive."""
    page = inspect(kept_core("debian-5.4.4"), "refs", "_G.TraceMem", "--in").stdout
    assert "referred to by" in page
    found = document(kept_core("debian-5.4.4"), "refs", "registry_tracker", "--out")
    dead = [e for e in found["objects"][0]["outgoing"] if not e["live"]]
    assert dead
    for each in dead[:5]:
        answer = document(kept_core("debian-5.4.4"), "refs", each["address"], "--in")
        rows = answer["objects"][0]["incoming"]
        live = [row["live"] for row in rows]
        assert live == sorted(live, reverse=True)


def test_limits_and_counts(core):
    found = document(core, "refs", "_G", "--out", "--limit", "3")["objects"][0]
    assert len(found["outgoing"]) == 3 and found["outgoing_count"] > 30
    assert "incoming" not in found and found["incoming_count"] is None
    retained = [each["retained_bytes"] for each in found["outgoing"]]
    assert retained == sorted(retained, reverse=True)
    page = inspect(core, "refs", "_G", "--limit", "3").stdout
    assert page.count("\n  @") == 6
    assert (
        " more references to it: --limit " in page and " more objects: --limit " in page
    )
    assert all(len(line) <= 100 for line in page.splitlines())


def test_roots_are_named(core):
    found = document(core, "refs", "registry", "--in")["objects"][0]
    assert found["roots"] == ["registry"]
    assert "\n  root: registry\n" in inspect(core, "refs", "registry").stdout


def test_lines_can_be_named_afterwards(core):
    opened = OneSession(core)
    page = opened.text("refs", "_G.by_object")
    for line in page.splitlines():
        words = line.split()
        if not words or not words[0].startswith("@"):
            continue
        address = next(word for word in words if word.startswith("0x"))
        assert opened.document("paths", words[0])["paths"] is not None
        opened.text("refs", "_G.by_object")
        assert opened.document("refs", words[0])["objects"][0]["address"] == address
        opened.text("refs", "_G.by_object")
    opened.close()


def test_same_bytes_each_time(core):
    assert len({inspect(core, "refs", "package.loaded").stdout for _ in range(3)}) == 1
