"""`triage` on a core without any tracker: the first suspect is what was planted.

plants.lua plays a server with a million objects (here a tenth of them; all with LUA_INSPECT_LONG)
that has large tables, lists and coroutines of its own, plants a leak, and says what it planted.
"""

import os
import re
import shutil
from pathlib import Path

import pytest
from dumped import dumped_saying
from support import ROOT, document, inspect

PROGRAM = Path(__file__).with_name("plants.lua")
MODULE = ROOT / "build" / "tests" / "heaps" / "heapmodule.so"
SIZES = [10_000]
if os.environ.get("LUA_INSPECT_LONG"):
    SIZES.append(100_000)

# kind -> where it was planted, type and name of its entries, what the sentence says
PLANTS = {
    "module": ('package.loaded["game.audit"].entries', "table", "{id, payload}"),
    "upvalue": (
        'package.loaded["game.metrics"].record:upvalue(seen)',
        "table",
        "{id, payload}",
    ),
    "registry": ("registry", "table", "{id, payload}"),
    "references": ("registry", "table", "{id, payload}"),
    "coroutines": ('package.loaded["game.jobs"].waiting', "thread", "suspended at"),
    "dead": ("registry", "thread", "dead by error at"),
    "cache": (
        'package.loaded["gateway.answers"].answers',
        "table",
        "{body, status}",
    ),
    "list": ('package.loaded["game.log"]', "table", "{before, line}"),
    "rooms": (
        'package.loaded["game.world"].zones[N].visits',
        "table",
        "{at, who, why}",
    ),
}


class Planted:
    """A core with a plant, what the program says of it, and the answer."""

    def __init__(self, folder, kind, entries):
        self.core, said = dumped_saying(
            folder, "lua5.4", PROGRAM, kind, entries, MODULE.parent, name=kind
        )
        numbers = dict(word.split("=") for word in said.split()[1:])
        self.live, self.bytes = int(numbers["live"]), int(numbers["planted"])
        self.answer = document(self.core, "triage")
        self.suspects = self.answer["suspects"]


@pytest.fixture(scope="module", params=SIZES)
def planted(request, tmp_path_factory):
    if not shutil.which("lua5.4"):
        pytest.skip("lua5.4 is not installed")
    made = {}

    def plant(kind):
        if kind == "references" and not MODULE.exists():
            pytest.skip("heapmodule was not built: liblua5.4-dev is not installed")
        if kind not in made:
            folder = tmp_path_factory.mktemp("planted")
            made[kind] = Planted(folder, kind, request.param)
            made[kind].core.unlink()  # a hundred megabytes each
        return made[kind]

    plant.entries = request.param
    return plant


@pytest.mark.parametrize("kind", PLANTS)
def test_first_suspect_is_the_plant(planted, kind):
    path, type_, words = PLANTS[kind]
    found = planted(kind)
    assert found.answer["trackers"] == []
    first = found.suspects[0]
    assert re.sub(r"zones\[\d+\]", "zones[N]", first["path"]) == path
    assert first["entry_type"] == type_
    assert words in first["sentence"]
    assert abs(first["entries"] - planted.entries) <= 1  # a list's first has no before
    # what was planted: not the functions and modules for it, and few bytes of the registry
    # ... nor, for short strings, the larger table that Lua keeps them in
    rest = found.bytes - first["retained_bytes"]
    assert -0.02 < rest / found.bytes < (0.2 if kind == "cache" else 0.02)
    assert first["share"] == pytest.approx(
        first["retained_bytes"] / found.answer["memory"]["live"]["bytes"]
    )
    assert first["nested"] is (kind == "list")
    assert first["shared"] is False
    assert first["holders"] == (1 if kind != "rooms" else planted.entries // 400)
    marked = first["chain"][first["suspect"]]
    leaf = first["chain"][-1]
    if kind in ("registry", "references", "dead", "list"):
        assert marked is leaf
    else:
        assert marked["address"] == first["address"] != leaf["address"]


@pytest.mark.parametrize("kind", PLANTS)
def test_no_other_suspect_is_of_that_size(planted, kind):
    size = planted(kind).bytes
    clean = planted("none")
    assert abs(clean.bytes) < 10_000
    assert clean.answer["vms"][0]["live_objects"] > 10 * planted.entries
    for suspect in planted(kind).suspects[1:] + clean.suspects:
        assert suspect["entries"] < planted.entries / 2
        if kind != "list":  # which is the smallest plant: 140 bytes a node
            assert suspect["retained_bytes"] < size


def test_the_rest_of_the_answer(planted):
    answer = planted("module").answer
    live = answer["memory"]["live"]
    assert sum(t["live"]["bytes"] for t in answer["memory"]["types"]) == live["bytes"]
    assert live["objects"] == answer["vms"][0]["live_objects"]
    coroutines = answer["coroutines"]
    assert coroutines["count"] == coroutines["suspended"] == planted.entries // 25
    assert answer["gc"][0]["diagnosis"]


def test_numbers_are_those_of_leaks(server_core):
    triage, leaks = document(server_core.path, "triage"), document(
        server_core.path, "leaks"
    )
    assert triage["trackers"] == leaks["trackers"]
    for cause in leaks["causes"]:
        cause["cut_frees"] = None  # triage does not check
    assert triage["causes"] == leaks["causes"]
    verdicts = [entry["verdict"] for entry in leaks["entries"]]
    for verdict, count in triage["verdicts"].items():
        assert verdicts.count(verdict) == count
    assert triage["process"]["pid"] == triage["target"]["pid"]
    assert triage["process"]["signal"] is None
    assert triage["process"]["threads"] == 1


def test_leaks_and_suspects_agree(make_core):
    """The demo's server: what its trackers know is found without them, too."""
    core = make_core("game_server.lua", "gcore")
    answer = document(core.path, "triage")
    first = answer["suspects"][0]
    cause = answer["causes"][first["cause"] - 1]
    suspect = cause["chain"][cause["suspect"]]
    assert suspect["address"] == first["address"]
    assert suspect["text"] == ".members"


def test_globals_and_repeated_strings(tmp_path):
    if not shutil.which("lua5.4"):
        pytest.skip("lua5.4 is not installed")
    script = tmp_path / "texts.lua"
    script.write_text(
        "texts, count, config = {}, 7, {}\n"
        "for i = 1, 3000 do texts[i] = ('x'):rep(200) .. i % 30 end\n"
        "local function fail() error({}) end\n"
        "failed = coroutine.create(fail) coroutine.resume(failed)\n"
        'print("READY") io.flush() io.read()'
    )
    core, _ = dumped_saying(tmp_path, "lua5.4", script)
    answer = document(core, "triage")
    assert answer["globals"]["count"] == 4
    assert answer["globals"]["retained_bytes"] > 3000 * 200
    assert answer["repeated_strings"]["objects"] == 3000 - 30
    assert answer["coroutines"]["dead_by_error"] == answer["coroutines"]["count"] == 1
    first = answer["suspects"][0]
    assert (first["path"], first["entries"]) == ("_G.texts", 3000)
    assert "strings" in first["sentence"]
    page = inspect(core, "triage").stdout
    assert "globals       4 besides the standard library" in page
    assert "2,970 long ones are there once more than needed" in page


def test_a_sound_program_has_no_suspects(tmp_path):
    if not shutil.which("lua5.4"):
        pytest.skip("lua5.4 is not installed")
    script = tmp_path / "idle.lua"
    script.write_text('print("READY") io.flush() io.read()')
    core, _ = dumped_saying(tmp_path, "lua5.4", script)
    result = inspect(core)
    assert result.returncode == 0
    assert "no suspects" in result.stdout and "no tracker" in result.stdout
    assert "next          lua-states" in result.stdout
