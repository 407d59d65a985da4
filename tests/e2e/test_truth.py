"""What the library computes is what real full collections did in the same process."""

from collections import Counter

import pytest

from support import document, inspect


def check_against(truth, answer):
    found = {}
    for entry in answer["entries"]:
        assert entry["description"] not in found, "an entry is told twice"
        found[entry["description"]] = entry["verdict"]
    assert found == truth
    assert answer["faults"] == []
    assert [vm["residual_bytes"] for vm in answer["vms"]] == [0]


def fresh(make_core, method):
    core = make_core("server.lua", method)
    return core, document(core.path, "leaks")


def chain_of(answer, description):
    """The cause of the entry with that description."""
    entry = next(e for e in answer["entries"] if e["description"] == description)
    return next(c for c in answer["causes"] if c["fingerprint"] == entry["cause"])


def labels(cause):
    return [f"{step['label']} {step['text']}" for step in cause["chain"]]


def test_packed_core(packed_core):
    check_against(packed_core.truth, document(packed_core.path, "leaks"))


@pytest.mark.parametrize("method", ["gcore", "kernel"])
def test_fresh_core(make_core, method):
    core, answer = fresh(make_core, method)
    assert len(core.truth) == 45
    check_against(core.truth, answer)
    assert answer["vms"][0]["lua"] == "5.4"


@pytest.mark.parametrize("method", ["gcore", "kernel"])
def test_release_is_read_from_the_file_on_disk(make_core, method):
    _, answer = fresh(make_core, method)
    assert answer["vms"][0]["release"].startswith("5.4.")


def check_npcs(answer):
    cause = chain_of(answer, "npc#1")
    assert cause["count"] == 20
    assert all(
        entry["cause"] == cause["fingerprint"]
        for entry in answer["entries"]
        if entry["description"].startswith("npc#")
    )
    chain = labels(cause)
    assert any("game.arena" in label for label in chain)
    assert any(
        step["kind"] == "upvalue" and "npc" in step["label"] for step in cause["chain"]
    )
    assert "listeners" in chain[cause["suspect"]]
    assert cause["only_holder_of"] == 20
    assert cause["cut_frees"] == 20


def test_npcs_are_one_cause(server_core):
    check_npcs(document(server_core.path, "leaks"))


def test_a_cut_that_frees_nothing(server_core):
    """The main chunk's local `arena` holds the module, too."""
    cut = 'package.loaded["game.arena"]'
    answer = document(
        server_core.path, "leaks", "--cut", cut, "--cut", cut + ".listeners"
    )
    assert [each["frees"] for each in answer["cuts"]] == [0, 20]


def test_npcs_are_one_cause_in_packed_cores(packed_core):
    check_npcs(document(packed_core.path, "leaks"))


def test_chains_say_how(server_core):
    answer = document(server_core.path, "leaks")
    forgotten = chain_of(answer, "forgotten global")["chain"]
    assert any("test_table" in step["text"] for step in forgotten)
    as_key = chain_of(answer, "held as key")["chain"]
    assert as_key[-1]["kind"] == "key"
    by_metatable = chain_of(answer, "held by metatable")["chain"]
    assert "metatable" in [step["kind"] for step in by_metatable]
    nested = chain_of(answer, "held by nested upvalue")["chain"]
    assert [step["kind"] for step in nested].count("upvalue") >= 2
    errored = chain_of(answer, "errored coroutine local")["chain"]
    assert "local" in [step["kind"] for step in errored]
    assert any("buffer" in f"{step['label']} {step['text']}" for step in errored)


def test_dead_coroutine_is_said_to_be_dead(server_core):
    blocks = inspect(server_core.path, "leaks").stdout.split("\n\n")
    block = next(block for block in blocks if '"errored coroutine local"' in block)
    chain = "\n".join(line for line in block.splitlines() if line.startswith("    "))
    assert "error" in chain.replace("errored coroutine local", "")


def test_fingerprints_are_equal_in_two_runs(make_core):
    prints = [
        sorted(cause["fingerprint"] for cause in fresh(make_core, method)[1]["causes"])
        for method in ("gcore", "kernel")
    ]
    assert prints[0] == prints[1] and len(set(prints[0])) == len(prints[0])


def expected_counts(answer):
    """(verdict, description) -> count, from the AFTER lines of game_server.lua."""
    left = Counter()
    for line in answer.splitlines():
        label, count, description = line.split(" ", 2)
        left[label, description] = int(count)
    counts = Counter()
    for label, description in list(left):
        if label == "BEFORE":
            before, first, second = (
                left[stage, description] for stage in ("BEFORE", "AFTER1", "AFTER2")
            )
            counts["leaked", description] = second
            counts["finalizer", description] = first - second
            counts["garbage", description] = before - first
    return +counts


@pytest.mark.parametrize("method", ["gcore", "kernel"])
def test_game_server(make_core, method):
    core = make_core("game_server.lua", method)
    answer = document(core.path, "leaks")
    found = Counter((e["verdict"], e["description"]) for e in answer["entries"])
    assert found == expected_counts(core.answer)
    assert answer["faults"] == []
    assert [vm["residual_bytes"] for vm in answer["vms"]] == [0]


def test_leakwatch_is_known_without_help(make_core):
    answer = document(make_core("game_server.lua", "gcore").path, "leaks")
    assert [tracker["kind"] for tracker in answer["trackers"]] == ["leakwatch"]
    leaked = [entry for entry in answer["entries"] if entry["verdict"] == "leaked"]
    retired = Counter(e["description"] for e in leaked if e["retired"] is not None)
    alive = Counter(e["description"] for e in leaked if e["retired"] is None)
    assert retired["trade"] == 1 and alive["match ticket"] > 1
    assert alive["session"] == alive["player"] == alive["connection"] == 40
    assert all(0 <= entry["age_seconds"] <= 2 * 3600 + 600 for entry in leaked)
