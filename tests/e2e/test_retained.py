"""`retained`: what an object retains is what nothing reaches without it, and trees add up."""

import re

import pytest
from one_session import OneSession
from support import document, inspect

ENTRIES = ("_G", "package.loaded")  # names, but no roots


@pytest.fixture(scope="module", params=["debian-5.4.4", "debian-5.5.1"])
def session(request, kept_core):
    opened = OneSession(kept_core(request.param))
    yield opened
    opened.close()


class Model:
    """What holds what, from the references that `refs` shows: strong ones, and of the entries of
    ephemerons the key holds the value."""

    def __init__(self, session):
        objects = session.document("find", "--sort retained")["objects"]
        self.bytes = {each["address"]: each["bytes"] for each in objects}
        self.live = {each["address"] for each in objects if each["live"]}
        self.said = {each["address"]: each["retained_bytes"] for each in objects}
        self.held = {address: set() for address in self.bytes}
        self.roots = set()
        for address in self.bytes:
            found = session.document("refs", f"{address} --out")["objects"][0]
            if set(found["roots"]) - set(ENTRIES):
                self.roots.add(address)
            for row in found["outgoing"]:
                if row["strength"] == "strong":
                    self.held[address].add(row["address"])
                elif row["strength"] == "ephemeron":
                    key = re.fullmatch(r"\[(0x[0-9a-f]+)\]", row["label"])
                    self.held[key[1]].add(row["address"])

    def reached(self, without=None):
        seen = set()
        waiting = [root for root in self.roots if root != without]
        while waiting:
            address = waiting.pop()
            if address in seen or address == without or address not in self.live:
                continue
            seen.add(address)
            waiting += self.held[address]
        return seen


@pytest.fixture(scope="module")
def model(session):
    """Upvalue objects are passed over by `refs`: they are put back between function and value."""
    made = Model(session)
    upvalues = session.document("find", "--type upvalue")["objects"]
    for each in upvalues:
        address = each["address"]
        if not each["live"]:
            continue
        found = session.document("refs", f"{address} --in")["objects"][0]
        for row in found["incoming"]:
            owner = row["address"]
            made.held[owner].add(address)
        made.held[address] |= {
            row["address"]
            for row in session.document("refs", f"{address} --out")["objects"][0][
                "outgoing"
            ]
        }
    # what a function seems to hold itself, an upvalue holds
    for each in upvalues:
        value = made.held[each["address"]]
        if not each["live"]:
            continue
        found = session.document("refs", f"{each['address']} --in")["objects"][0]
        for row in found["incoming"]:
            direct = session.document("refs", f"{row['address']} --out")["objects"][0]
            labels = {}
            for out in direct["outgoing"]:
                labels.setdefault(out["address"], set()).add(out["kind"])
            for held in value:
                if labels.get(held) == {"upvalue"}:
                    made.held[row["address"]].discard(held)
    return made


def test_retained_is_what_is_not_reached_without(model):
    everything = model.reached()
    assert model.live - everything == set()
    checked = 0
    for address in sorted(everything, key=lambda a: -model.bytes[a])[:400]:
        lost = everything - model.reached(address)
        assert model.said[address] == sum(model.bytes[each] for each in lost), address
        checked += len(lost) > 1
    assert checked > 100


def nodes(tree, depth=1):
    for node in tree:
        yield node, depth
        yield from nodes(node["children"], depth + 1)


def test_trees_add_up(session):
    answer = session.document("retained", "--depth 8 --limit 6")
    seen = set()
    for node, depth in nodes(answer["tree"]):
        assert node["address"] not in seen and depth <= 8
        seen.add(node["address"])
        sizes = [child["retained_bytes"] for child in node["children"]]
        assert sizes == sorted(sizes, reverse=True) and len(sizes) <= 6
        if depth == 8:
            assert node["more"] is None and not sizes
            continue
        below = node["bytes"] + sum(sizes) + node["more"]["retained_bytes"]
        assert below == node["retained_bytes"]
        objects = (
            sum(child["objects"] for child in node["children"])
            + node["more"]["objects"]
        )
        assert objects + 1 == node["objects"]
    top = sum(node["retained_bytes"] for node in answer["tree"])
    live = session.document("find", "--live")["objects"]
    total = sum(each["bytes"] for each in live if each["live"])
    assert top + answer["more"]["retained_bytes"] == total


def test_going_down_is_the_same_tree(session):
    answer = session.document("retained", "--depth 2 --limit 5")
    for node in answer["tree"]:
        below = session.document("retained", f"{node['address']} --depth 1 --limit 5")
        assert below["object"]["retained_bytes"] == node["retained_bytes"]
        shown = [child["address"] for child in node["children"]]
        assert [child["address"] for child in below["tree"]][: len(shown)] == shown


def test_paths_lead_there(session):
    for node, _ in nodes(session.document("retained", "--depth 6")["tree"]):
        if node["path"] and node["type"] != "upvalue":
            path = node["path"].replace("\\", "\\\\").replace("'", "\\'")
            found = session.document("print", f"'{path}'")["values"][0]
            assert found["address"] == node["address"]
            assert node["path"].endswith(node["label"])


def test_labels_begin_behind_the_parent(session):
    seen = 0
    for node, _ in nodes(session.document("retained", "--depth 6")["tree"]):
        for child in node["children"]:
            if child["path"].startswith(node["path"]):
                assert node["path"] + child["label"] == child["path"]
                seen += 1
    assert seen > 10


def test_lines_can_be_named_afterwards(session):
    page = session.text("retained", "")
    rows = re.findall(r"^@(\d+) .*?(0x[0-9a-f]+) ", page, re.MULTILINE)
    assert len(rows) > 8
    for number, address in rows[:8]:
        session.text("retained", "")
        assert (
            session.document("retained", f"@{number}")["object"]["address"] == address
        )


def test_garbage_retains_nothing(session):
    dead = session.document("find", "--garbage --type table")["objects"][0]["address"]
    page = session.text("retained", dead)
    assert "it retains nothing: a full collection frees it" in page
    answer = session.document("retained", dead)
    assert answer["tree"] == [] and answer["object"]["retained_bytes"] is None


def test_page(kept_core):
    core = kept_core("debian-5.4.4")
    page = inspect(core, "retained", "_G.long_list", "--depth", "30").stdout
    assert all(len(line) <= 100 for line in page.splitlines())
    assert page.count(".next") >= 20  # the others are cut off at the edge
    answer = document(core, "retained", "_G.long_list", "--depth", "30")
    assert [depth for _, depth in nodes(answer["tree"])] == list(range(1, 31))
    assert len({inspect(core, "retained").stdout for _ in range(3)}) == 1
    assert inspect(core, "retained", "--depth", "31").returncode == 2
