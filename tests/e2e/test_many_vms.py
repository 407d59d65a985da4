"""Several VMs in one process: which are found, and what a path and an option mean then."""

import shutil
from collections import Counter
from pathlib import Path

import pytest
from dumped import cpu_seconds, dumped, lua_host
from support import document, inspect

SOURCE = Path(__file__).with_name("many_vms.c")
VMS = 4  # one more was closed
DESCRIPTIONS = {
    "reference": 10,
    "user value": 1,
    "second upvalue": 1,
    "under light userdata": 1,
    "under a C function": 1,
    "metatable of numbers": 1,
    "stack of a coroutine": 1,
}


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    return lua_host(tmp_path_factory.mktemp("many_vms"), SOURCE)


@pytest.fixture(scope="module")
def core(host):
    return dumped(host.parent, host)


def described(answer):
    return Counter(entry["description"] for entry in answer["entries"])


def fingerprints(answer, vm):
    return {c["fingerprint"]: c["count"] for c in answer["causes"] if c["vm"] == vm}


def test_states(core):
    answer = document(core, "states")
    assert [vm["index"] for vm in answer["vms"]] == list(range(1, VMS + 1))
    assert [vm["residual_bytes"] for vm in answer["vms"]] == [0] * VMS
    assert answer["faults"] == []
    addresses = [int(vm["address"], 16) for vm in answer["vms"]]
    assert addresses == sorted(addresses)


def test_leaks_in_all(core):
    answer = document(core, "leaks")
    assert described(answer) == {d: VMS * n for d, n in DESCRIPTIONS.items()}
    assert {entry["verdict"] for entry in answer["entries"]} == {"leaked"}
    causes = [fingerprints(answer, vm) for vm in range(1, VMS + 1)]
    assert all(each == causes[0] for each in causes)
    assert sorted(causes[0].values()) == [1] * 6 + [10]


def test_choice_of_a_vm(core):
    whole = document(core, "leaks")
    for vm in document(core, "states")["vms"]:
        answer = document(core, "leaks", "--vm", vm["index"])
        assert answer == document(core, "leaks", "--vm", vm["address"])
        assert described(answer) == DESCRIPTIONS
        assert answer["vms"][0]["address"] == vm["address"] and len(answer["vms"]) == 1
        assert answer["entries"] == [
            e for e in whole["entries"] if e["vm"] == vm["index"]
        ]


@pytest.mark.parametrize("choice", ["0", str(VMS + 1), "-1", "", "0x10", "first", "0x"])
def test_no_such_vm(core, choice):
    result = inspect(core, "leaks", f"--vm={choice}")
    assert result.returncode == 2 and "hint: " in result.stderr


def test_a_path_is_followed_in_each(core):
    answer = document(core, "leaks", "_G.T")
    assert [(t["vm"], t["kind"]) for t in answer["trackers"]] == [
        (vm, "named") for vm in range(1, VMS + 1)
    ]
    assert described(answer) == {d: VMS * n for d, n in DESCRIPTIONS.items()}
    one = document(core, "leaks", "_G.T", "--vm", "2")
    assert [tracker["vm"] for tracker in one["trackers"]] == [2]
    address = one["trackers"][0]["address"]
    by_address = document(core, "leaks", address)
    assert [tracker["vm"] for tracker in by_address["trackers"]] == [2]


def test_options_hold_in_each(core):
    cut = document(core, "leaks", "--cut", "_G.userdata")["cuts"]
    assert [each["frees"] for each in cut] == [VMS]
    avoided = document(core, "leaks", "--avoid", "_G.userdata")
    lost = [e for e in avoided["entries"] if e["cause"] is None]
    assert Counter(e["vm"] for e in lost) == {vm: 1 for vm in range(1, VMS + 1)}
    begun = document(core, "leaks", "--from", "_G.userdata")
    assert [(c["vm"], c["count"]) for c in begun["causes"]] == [
        (vm, 1) for vm in range(1, VMS + 1)
    ]


def test_paths_parse_back(core):
    for vm in range(1, VMS + 1):
        for entry in document(core, "leaks", "--vm", vm)["entries"]:
            for path in document(core, "paths", entry["address"], "-k", "3")["paths"]:
                again = document(core, "paths", path["path"], "--vm", vm)["paths"][0]
                assert again["chain"][-1]["address"] == entry["address"], path["path"]


def test_objects_of_each(core):
    for command, key in (("print", "values"), ("refs", "objects")):
        found = document(core, command, "_G.userdata")[key]
        assert [each["vm"] for each in found] == list(range(1, VMS + 1))
        (one,) = document(core, command, "_G.userdata", "--vm", "3")[key]
        assert one == found[2]
        (same,) = document(core, command, one["address"])[key]
        assert same["address"] == one["address"]
    page = inspect(core, "print", "_G.userdata").stdout
    assert page.count("\nVM ") == VMS
    values = document(core, "print", "_G.userdata", "--vm", "1")["values"][0]
    assert [value["type"] for value in values["user_values"]][1] == "table"
    found = document(core, "print", "_G.userdata:uservalue(2)", "--vm", "2")["values"][
        0
    ]
    assert found["path"] == "_G.userdata:uservalue(2)" and found["vm"] == 2


def test_lists_of_each(core):
    states = document(core, "states")["vms"]
    assert document(core, "find")["count"] == sum(vm["objects"] for vm in states)
    for vm in states:
        found = document(core, "find", "--vm", vm["index"])
        assert found["count"] == vm["objects"]
        assert {each["vm"] for each in found["objects"]} == {vm["index"]}
        tree = document(core, "retained", "--vm", vm["index"], "--limit", "1000")
        assert {node["vm"] for node in tree["tree"]} == {vm["index"]}
    whole = document(core, "retained", "--depth", "1", "--limit", "100000")["tree"]
    assert {node["vm"] for node in whole} == set(range(1, VMS + 1))


def test_chains(core):
    answer = document(core, "leaks", "--vm", "4")
    by_cause = {entry["cause"]: entry["description"] for entry in answer["entries"]}
    patterns = {by_cause[c["fingerprint"]]: c["pattern"] for c in answer["causes"]}
    assert patterns["reference"] == "registry[*]"
    assert patterns["under light userdata"] == "registry[pointer]"
    assert patterns["under a C function"] == "_G.by_function[pointer]"
    assert patterns["user value"] == "_G.userdata:uservalue(2)"
    assert patterns["metatable of numbers"] == "metatable of numbers.held"
    assert patterns["stack of a coroutine"] == "_G.thread:stack"
    assert "many_vms_closure" in patterns["second upvalue"]
    assert patterns["second upvalue"].endswith(":upvalue(2)")


def test_groups_of_each_add_up_to_those_of_all(core):
    def counted(*arguments):
        groups = document(core, "heap", *arguments)["groups"]
        return Counter({(g["type"], g["name"]): g["count"] for g in groups})

    parts = Counter()
    for vm in range(1, VMS + 1):
        parts += counted("--vm", vm)
    assert counted() == parts
    total = document(core, "tables")["total"]
    each = [document(core, "tables", "--vm", vm)["total"] for vm in range(1, VMS + 1)]
    for key, value in total.items():
        assert value == sum(one[key] for one in each)


def test_registry_of_each(core):
    registries = document(core, "registry")["registries"]
    assert [registry["vm"] for registry in registries] == list(range(1, VMS + 1))
    for registry in registries:
        assert registry["references"]["live"] >= DESCRIPTIONS["reference"]
        assert registry["references"]["intact"]
        assert registry["pointers"]
        alone = document(core, "registry", "--vm", registry["vm"])["registries"]
        assert alone == [registry]
    found = document(core, "globals")["globals"]
    names = [{row["path"] for row in found if row["vm"] == vm} for vm in (1, 2, 3, 4)]
    assert names[0] and all(each == names[0] for each in names)


def test_time_grows_with_the_heap_not_its_square(host):
    core = dumped(host.parent, host, "100000", name="large")
    _, one = cpu_seconds(lambda: inspect(core, "leaks", "--vm", "1"))
    result, both = cpu_seconds(lambda: inspect(core, "leaks"))
    assert result.stdout.count('  200,000 × "x" ') == 1
    assert both < 5 * one  # 15 if every survivor looks at all of the VM before


def test_diff_adds_up_over_all(core, tmp_path):
    if not shutil.which("lua5.4"):
        pytest.skip("lua5.4 is not installed")
    script = tmp_path / "idle.lua"
    script.write_text('print("READY") io.flush() io.read()')
    answer = document(core, "diff", dumped(tmp_path, "lua5.4", script))
    live = answer["live"]
    assert live["after"]["bytes"] > 2 * live["before"]["bytes"]
    shown = sum(row["bytes_grown"] for row in answer["paths"])
    assert live["bytes_grown"] * 0.6 < shown <= live["bytes_grown"]
