"""Trackers of every form: what is found, what is named, and what is said of their entries."""

import json
import os
import shutil
import unicodedata
from pathlib import Path

import pytest
from dumped import dumped
from support import document, inspect

SCRIPT = Path(__file__).with_name("trackers.lua")


@pytest.fixture(scope="module")
def core(tmp_path_factory):
    if not shutil.which("lua5.4"):
        pytest.skip("lua5.4 is not installed")
    return dumped(tmp_path_factory.mktemp("trackers"), "lua5.4", SCRIPT)


@pytest.fixture(scope="module")
def answer(core):
    return document(core, "leaks")


def of_tracker(answer, path):
    address = next(t["address"] for t in answer["trackers"] if t["path"] == path)
    return [e for e in answer["entries"] if e["tracker"] == address]


def blocks(text):
    """The causes of a page: heading -> lines."""
    found = [block.splitlines() for block in text.split("\n\n")]
    return [block for block in found if block[0].startswith("#")]


def is_safe(text):
    return all(
        c == "\n" or unicodedata.category(c) not in ("Cc", "Cf", "Zl", "Zp")
        for c in text
    )


FOUND = {
    "fields": "k",
    "odd": "k",
    "array": "k",
    "swapped": "k",
    "hashed": "k",
    "milliseconds": "k",
    "negative": "k",
    "nan": "k",
    "future": "k",
    "far": "k",
    "clock": "k",
    "both": "kv",
    "never": "k",
    "two_a": "k",
    "two_b": "k",
    "record": "k",
    "nasty": "k",
}


def test_found(answer):
    found = {t["path"]: (t["kind"], t["mode"]) for t in answer["trackers"]}
    expected = {f"_G.T_{name}": ("found", mode) for name, mode in FOUND.items()}
    expected["registry.my_tracker"] = ("found", "k")
    expected["_G.uses_hidden:upvalue(hidden)"] = ("found", "k")
    assert found == expected
    assert len(answer["candidates"]) == 1  # texts
    # timeless, unnamed, nothing, values, empty and own
    assert answer["other_weak_tables"] == 6


@pytest.mark.parametrize(
    "name", ["fields", "odd", "array", "swapped", "hashed"], ids=str
)
def test_ages(answer, name):
    entries = of_tracker(answer, f"_G.T_{name}")
    entries = [e for e in entries if e["description"] != "held by own"]
    assert [e["description"] for e in entries] == [f"{name} {i}" for i in (3, 2, 1)]
    taken = answer["target"]["time"]
    for i, entry in zip((3, 2, 1), entries):
        assert entry["age_seconds"] == taken - entry["created"]
        assert 100 * i <= entry["age_seconds"] < 100 * i + 60


@pytest.mark.parametrize("name", ["milliseconds", "negative", "nan", "far", "clock"])
def test_no_age_is_guessed(answer, name):
    """(The clock: this core does not say how much CPU time was used.)"""
    entries = of_tracker(answer, f"_G.T_{name}")
    assert entries and all(entry["age_seconds"] is None for entry in entries)


def test_a_time_ahead_of_the_dump_has_age_0(answer):
    assert [e["age_seconds"] for e in of_tracker(answer, "_G.T_future")] == [0]


def test_ages_by_the_cpu_clock(make_core, tmp_path):
    script = tmp_path / "clock.lua"
    script.write_text(
        """
        T, keep = setmetatable({}, {__mode = "k"}), {}
        local function burn(till) while os.clock() < till do end end
        for i = 1, 2 do
          burn(i * 0.2)
          keep[i] = {}
          T[keep[i]] = {desc = "clock", time = os.clock()}
        end
        burn(0.6)
        print "READY" io.flush() io.read()
        """
    )
    entries = document(make_core(script, "kernel").path, "leaks")["entries"]
    ages = [entry["age_seconds"] for entry in entries]
    # the processor time that the kernel takes for the dump counts too: equal for both
    assert ages[0] - ages[1] == pytest.approx(0.2, abs=0.05)
    assert 0.1 < ages[1] < 1


def test_finding_does_not_depend_on_the_time_of_the_dump(core, answer, tmp_path):
    old = tmp_path / "old.core"
    shutil.copy(core, old)
    os.utime(old, (0, 0))
    for again in (document(old, "leaks"), document(core, "leaks", "--now", "0")):
        assert len(again["trackers"]) == len(answer["trackers"])
        assert {e["description"] for e in again["entries"]} == {
            e["description"] for e in answer["entries"]
        }


@pytest.mark.parametrize("name", ["texts", "timeless", "unnamed", "values"])
def test_named(core, name):
    answer = document(core, "leaks", f"_G.T_{name}")
    assert [t["kind"] for t in answer["trackers"]] == ["named"]
    assert sorted(e["description"] for e in answer["entries"]) == [
        f"{name} {i}" for i in (1, 2, 3)
    ]
    assert {e["verdict"] for e in answer["entries"]} == {"leaked"}
    assert {e["age_seconds"] for e in answer["entries"]} == {None}


def test_nothing_to_describe_leaves_no_empty_line(core):
    page = inspect(core, "leaks", "T_nothing").stdout
    block = blocks(page)[0]
    assert block[0].startswith("#1  3 survivors ")
    assert block[-1].startswith("    cut check ")


def test_empty(core):
    result = inspect(core, "leaks", "T_empty", "--json")
    assert result.returncode == 0
    answer = json.loads(result.stdout)
    assert answer["entries"] == [] and answer["trackers"][0]["entries"] == 0


def test_never(answer):
    entries = of_tracker(answer, "_G.T_never")
    assert len(entries) == 6
    assert {entry["verdict"] for entry in entries} == {"never"}


def test_all_weak(core, answer):
    weak = document(core, "leaks", "--all-weak")
    assert len(weak["trackers"]) == len(answer["trackers"]) + 7
    assert weak["candidates"] == [] and weak["other_weak_tables"] == 0
    described = {entry["description"] for entry in weak["entries"]}
    assert {"texts 1", "values 1", "timeless 1"} <= described


def test_a_garbage_tracker_watches_nothing(answer):
    described = {entry["description"] for entry in answer["entries"]}
    assert {"hidden", "in registry"} <= described
    assert "of a garbage tracker" not in described


def test_two_trackers_of_one_object(core, answer):
    a, b = (of_tracker(answer, f"_G.T_two_{name}")[0] for name in "ab")
    assert a["address"] == b["address"] and a["cause"] == b["cause"]
    cause = next(c for c in answer["causes"] if c["fingerprint"] == a["cause"])
    assert (cause["count"], cause["cut_frees"]) == (1, 0)  # `keep` holds it, too
    page = inspect(core, "leaks", "--cause", a["cause"]).stdout
    assert '1 × "two a", 1 × "two b"' in page
    assert "0 of 1 would be collected" in page and "only holder" not in page


def test_held_by_a_weak_table_that_is_its_own_metatable(answer):
    entry = next(e for e in answer["entries"] if e["description"] == "held by own")
    cause = next(c for c in answer["causes"] if c["fingerprint"] == entry["cause"])
    assert [step["text"] for step in cause["chain"]][:2] == ["_G", ".own"]


def test_held_by_a_record_of_a_tracker_only(core):
    arguments = ["leaks", "--description", "held by a record"]
    entry = document(core, *arguments)["entries"][0]
    assert (entry["verdict"], entry["cause"]) == ("leaked", None)
    result = inspect(core, *arguments)
    assert result.returncode == 1
    assert "held by records of trackers only" in result.stdout
    assert entry["address"] in result.stdout
    assert "--avoid" not in result.stdout
    limited = inspect(core, "leaks", "--avoid", "keep").stdout
    assert "within the limits of --from, --through and --avoid" in limited


def test_nasty_texts(core, answer):
    described = {e["description"] for e in of_tracker(answer, "_G.T_nasty")}
    assert {"", " ", "x" * 2**20, "word " * 1000, "ä" * 1000, None} <= described
    assert {"\x1b[31mred\x1b[0m", "\0\1\2\7\x08\x7f", "\"quote\\ '"} <= described
    assert "\\xFF\\xFE\\xC3(\\xED\\xA0\\x80" in described
    for option in ("--all", "--wide", "--json"):
        assert is_safe(inspect(core, "leaks", "T_nasty", "--all", option).stdout)
    page = inspect(core, "leaks", "T_nasty", "--all").stdout
    assert max(len(line) for line in page.splitlines()) <= 100
    assert '"\\u{001B}[31mred\\u{001B}[0m"' in page


@pytest.mark.parametrize("cause", ["9999", "0123456789abcdef"])
def test_no_such_cause(core, cause):
    result = inspect(core, "leaks", "--cause", cause)
    assert result.returncode == 2 and result.stdout == ""
    assert result.stderr.startswith("lua-inspect: ") and "hint: " in result.stderr


def test_cause_by_fingerprint(core, answer):
    for cause in answer["causes"]:
        found = document(core, "leaks", "--cause", cause["fingerprint"])["causes"]
        assert [c["pattern"] for c in found] == [cause["pattern"]]


def test_filters(core, answer):
    old = document(core, "leaks", "--min-age", "150")["entries"]
    assert {e["description"] for e in old} == {
        e["description"] for e in answer["entries"] if (e["age_seconds"] or 0) >= 150
    }
    named = document(core, "leaks", "--description", "od[dx] *")["entries"]
    assert sorted(e["description"] for e in named) == ["odd 1", "odd 2", "odd 3"]


def test_what_was_not_cut_is_said(core, tmp_path_factory):
    """20 causes are checked; the others are not silently without."""
    script = tmp_path_factory.mktemp("many") / "many.lua"
    script.write_text(
        """
        T = setmetatable({}, {__mode = "k"})
        for i = 1, 25 do
          local o = {}
          _G["leak" .. i] = {o}
          T[o] = {desc = "leak", time = os.time()}
        end
        print "READY" io.flush() io.read()
        """
    )
    many = dumped(script.parent, "lua5.4", script, name="many")
    causes = document(many, "leaks")["causes"]
    assert [cause["cut_frees"] for cause in causes] == [1] * 20 + [None] * 5
    page = inspect(many, "leaks", "--all").stdout
    assert "cut check was made for the first 20 causes only" in page
    assert "first 20" not in inspect(many, "leaks").stdout
    assert document(many, "leaks", "--cause", "25")["causes"][0]["cut_frees"] == 1
