"""Hundreds of VMs in one process (thousands in long runs): what is the same is told once, every
command answers about all of them, and each VM costs little."""

import os
from collections import Counter
from pathlib import Path

import pytest
from dumped import cpu_seconds, dumped, lua_host
from support import document, inspect

SOURCE = Path(__file__).with_name("swarm.c")
VMS = 2000 if os.environ.get("LUA_INSPECT_LONG") else 200
LARGE = VMS // 100
CLEAN = 2


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    return lua_host(tmp_path_factory.mktemp("swarm"), SOURCE)


@pytest.fixture(scope="module")
def core(host):
    core = dumped(host.parent, host, VMS, name="swarm")
    yield core
    core.unlink()  # it is large


def shown(count):
    return f"{count:,}"


def test_states_in_any_order(core):
    vms = document(core, "states")["vms"]
    assert [vm["index"] for vm in vms] == list(range(1, VMS + 1))
    assert {vm["residual_bytes"] for vm in vms} == {0}
    by_number = {vm["index"]: vm for vm in vms}
    for order, key in (
        ("bytes", "heap_bytes"),
        ("objects", "objects"),
        ("coroutines", "coroutines"),
        ("residual", "residual_bytes"),
        ("address", None),
    ):
        page = inspect(core, "states", "--sort", order).stdout.splitlines()
        start = next(i for i, line in enumerate(page) if "main thread" in line) + 1
        listed = [int(line.split()[0]) for line in page[start : start + VMS]]
        assert listed == sorted(
            by_number, key=lambda vm: (-by_number[vm][key] if key else 0, vm)
        ), order
    few = inspect(core, "states", "--sort", "bytes", "--limit", "3").stdout
    assert f"\n{shown(VMS - 3)} more VMs: --limit {VMS}\n" in few


def test_a_cause_of_many_is_told_once(core):
    answer = document(core, "leaks")
    found = VMS - CLEAN
    assert Counter(c["count"] for c in answer["causes"]) == {5: found, 1: found}
    assert {c["vms_with_it"] for c in answer["causes"]} == {found}
    assert {c["number"] for c in answer["causes"]} == {1, 2}
    assert len({c["fingerprint"] for c in answer["causes"]}) == 2
    assert len({(c["vm"], c["fingerprint"]) for c in answer["causes"]}) == 2 * found
    for cause in answer["causes"]:
        assert cause["retained_bytes"] > 0 and cause["suspect"]
    page = inspect(core, "leaks").stdout
    assert "\n2 causes\n" in page
    assert page.count(f"in {shown(found)} VMs, as in VM ") == 2
    assert f'\n#1  {shown(5 * found)} × "session"' in page
    assert f"only holder of {shown(5 * found)} of {shown(5 * found)}\n" in page
    assert "5 of 5 would be collected in VM " in page
    assert (
        f"found, {shown(26 * found + 20 * CLEAN)} entries in {shown(VMS)} VMs" in page
    )


def test_one_cause_with_all_its_entries(core):
    answer = document(core, "leaks", "--cause", "1")
    assert len(answer["causes"]) == VMS - CLEAN
    entries = inspect(core, "leaks", "--cause", "1", "--all").stdout.splitlines()
    start = next(i for i, line in enumerate(entries) if line.split()[:2] == ["@", "VM"])
    rows = [line.split() for line in entries[start + 1 : start + 1 + 5 * (VMS - 2)]]
    assert Counter(Counter(row[1] for row in rows).values()) == {5: VMS - CLEAN}
    refused = inspect(core, "leaks", "--cause", "3")
    assert refused.returncode == 2 and "there are 2" in refused.stderr


def test_one_vm(core):
    whole = document(core, "leaks")["causes"]
    vm = whole[0]["vm"]
    alone = document(core, "leaks", "--vm", vm)["causes"]
    assert {c["vms_with_it"] for c in alone} == {1}
    mine = {c["fingerprint"]: c for c in whole if c["vm"] == vm}
    for cause in alone:
        same = mine[cause["fingerprint"]]
        for key in ("count", "retained_bytes", "pattern", "chain", "only_holder_of"):
            assert same[key] == cause[key]
    page = inspect(core, "leaks", "--vm", vm).stdout
    assert f"   VM {vm}\n" in page and " VMs, as in" not in page


def test_suspects_of_many(core):
    suspects = document(core, "triage")["suspects"]
    piles = [s for s in suspects if s["path"] == "package.loaded.app.cache"]
    assert len(piles) >= LARGE
    assert {s["vms_with_it"] for s in piles} == {len({s["vm"] for s in piles})}
    page = inspect(core, "triage").stdout
    assert page.count("table package.loaded.app.cache holds") == 1
    if len(piles) > 1:
        assert f"and the like in {shown(len(piles) - 1)} other VM" in page


@pytest.mark.parametrize(
    "command",
    [
        "retained",
        "find",
        "tables",
        "strings",
        "strings --duplicates",
        "globals",
        "refs _G.watch",
        "paths _G.watch",
        "print _G.watch",
    ],
)
def test_rows_name_their_vm(core, command):
    page = inspect(core, *command.split())
    assert page.returncode == 0, page.stderr
    named = [line for line in page.stdout.splitlines() if "VM" in line.split()]
    none = "no long string is there twice" in page.stdout
    assert named or none, page.stdout
    alone = inspect(core, *command.split(), "--vm", "2").stdout
    assert not any(line.startswith("     VM") for line in alone.splitlines())


@pytest.mark.parametrize("command", ["heap", "gc", "bt", "check", "coroutines"])
def test_all_others_answer(core, command):
    assert inspect(core, command).returncode == 0
    answer = document(core, command)
    assert len(answer["vms"]) == VMS


@pytest.mark.parametrize("command", ["states", "leaks", "triage", "tables", "retained"])
def test_each_vm_costs_little(host, command):
    few = dumped(host.parent, host, 100, name="few")
    many = dumped(host.parent, host, 400, name="many")
    inspect(few, "states"), inspect(many, "states")  # both are in memory now
    _, small = cpu_seconds(lambda: inspect(few, command))
    _, large = cpu_seconds(lambda: inspect(many, command))
    few.unlink(), many.unlink()
    assert large < 0.1 + 8 * small  # 16 times if each VM looks at all the others
