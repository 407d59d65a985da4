"""What `gc` says of a collector is what the program itself says of it."""

import pytest
from support import document, inspect

STAGES = [
    "default",
    "generational",
    "churned",
    "pause",
    "long-pause",
    "stopped",
    "cycle-0.05",
    "cycle-0.98",
    "finalizer",
    "young-finalizer",
    "end",
]
# What the programs of the kept cores have set, by the beginning of the core's name.
KEPT = {
    "debian-5.4": {"pause": 100, "stepmul": 20, "stepsize": 4, "minormul": 20},
    "debian-5.5": {"pause": 250, "stepmul": 20, "stepsize": 100, "minormul": 20},
    "lua-5.4": {"pause": 200, "stepmul": 100, "stepsize": 13, "majormul": 100},
    "lua-5.5": {"pause": 250, "stepmul": 200, "stepsize": 9600, "minormajor": 68},
}


def collector(stage):
    return document(stage.core, "gc")["gc"][0]


def said(answer, word):
    return any(word in sentence for sentence in answer["diagnosis"])


@pytest.mark.parametrize("name", STAGES)
def test_settings_are_what_the_program_says(stages, name):
    stage = stages[name]
    answer = collector(stage)
    for key in ("pause", "stepmul"):
        assert str(answer[key]) == stage.said.get(key, str(answer[key]))
    for key in ("stepsize", "minormul", "majormul"):
        assert str(answer[key]) == stage.said.get(key + "_set", str(answer[key]))
    if "running" in stage.said:
        assert answer["running"] is stage.said["running"]
    assert answer["minormajor"] is None and answer["majorminor"] is None
    assert answer["step_bytes"] == 2 ** answer["stepsize"]


def test_settings_of_kept_cores(packed_core):
    name = packed_core.path.name
    expected = next((KEPT[key] for key in KEPT if name.startswith(key)), None)
    if expected is None:
        pytest.skip(f"what {name} has set is not known")
    answer = document(packed_core.path, "gc")["gc"][0]
    assert {key: answer[key] for key in expected} == expected
    assert answer["running"] is name.startswith("lua-")
    is_55 = "5.5" in name
    assert (answer["estimate"] is None) is is_55
    assert (answer["marked"] is None) is not is_55
    assert (answer["majormul"] is None) is is_55


def test_modes_and_phases(stages):
    answers = {name: collector(stage) for name, stage in stages.items()}
    assert answers["default"]["mode"] == "generational"
    assert answers["churned"]["mode"] == "generational"
    assert answers["pause"]["mode"] == "incremental"
    assert answers["pause"]["phase"] == "pause"
    assert answers["finalizer"]["phase"] == "call-finalizers"
    phases = {a["phase"] for name, a in answers.items() if name.startswith("cycle")}
    assert {"propagate", "sweep-allgc"} <= phases


@pytest.mark.parametrize("name", STAGES)
def test_counts_add_up(stages, name):
    answer = document(stages[name].core, "gc")
    vm, gc = answer["vms"][0], answer["gc"][0]
    for key in ("colours", "ages"):
        assert sum(each["objects"] for each in gc[key].values()) == vm["objects"]
    colours = sum(each["bytes"] for each in gc["colours"].values())
    assert colours == sum(each["bytes"] for each in gc["ages"].values())
    assert gc["bytes_in_use"] == vm["heap_bytes"] > colours
    left = vm["objects"] - vm["live_objects"]
    assert gc["full_collection_frees"]["objects"] == left


def test_a_stopped_collector(stages):
    stage = stages["stopped"]
    answer = collector(stage)
    assert answer["running"] is False and answer["stopped_by"] == "user"
    assert answer["bytes_until_step"] is None
    assert said(answer, "memory grows without bound")
    freed = answer["full_collection_frees"]["bytes"]
    assert abs(freed - stage.freed) < 2000  # the announcement's own strings
    assert said(answer, f"{freed / 1000:.0f} KB")


def test_a_running_collector_pays_its_debt(stages):
    answer = collector(stages["pause"])
    assert answer["running"] is True and answer["stopped_by"] is None
    assert answer["debt"] < 0 and answer["bytes_until_step"] == -answer["debt"]
    # lgc.c, setpause: the threshold is the estimate times the pause
    threshold = answer["estimate"] // 100 * answer["pause"]
    assert answer["bytes_in_use"] - answer["debt"] == threshold
    assert said(answer, "the next one begins after")


def test_a_sweep_tells_what_it_will_free(stages):
    found = {name: collector(stage) for name, stage in stages.items()}
    sweeping = [a for a in found.values() if a["phase"] == "sweep-allgc"]
    dead = max((a["colours"]["dead"]["bytes"], a) for a in sweeping)[1]
    assert dead["colours"]["dead"]["objects"] > 100
    kilobytes = f"{dead['colours']['dead']['bytes'] / 1000:.1f} KB"
    assert said(dead, f"cycle in sweep: {kilobytes} of found garbage")
    assert all(
        found[n]["colours"]["dead"]["objects"] == 0 for n in ("pause", "churned")
    )


def test_marking(stages):
    cycles = [collector(s) for name, s in stages.items() if name.startswith("cycle")]
    marking = [answer for answer in cycles if answer["phase"] == "propagate"]
    assert all(said(answer, "cycle in mark:") for answer in marking)
    black = [answer["colours"]["black"]["objects"] for answer in marking]
    assert black == sorted(black) and black[0] < black[-1]


def test_finalizers_that_are_due(stages):
    answer = collector(stages["finalizer"])
    assert answer["pending_finalizers"] == 499
    assert answer["stopped_by"] == "internal"
    assert said(answer, "499 objects wait for their finalizers")
    young = collector(stages["young-finalizer"])
    assert young["mode"] == "generational" and young["pending_finalizers"] == 29


def test_generational_garbage(stages):
    answer = collector(stages["churned"])
    ages = answer["ages"]
    assert ages["new"]["objects"] and ages["old"]["objects"]
    assert ages["touched1"]["objects"] and ages["survival"]["objects"]
    assert answer["bytes_until_major"] > 0
    assert said(answer, "garbage among them stay until a major collection")


def test_settings_that_explain(stages):
    answer = collector(stages["long-pause"])
    assert said(answer, "long pause: a cycle begins only when memory is 10 times")
    assert said(answer, "with stepmul 20 a cycle may never end")


def test_text(stages):
    result = inspect(stages["stopped"].core, "gc")
    assert result.returncode == 0
    lines = result.stdout.splitlines()
    assert lines[2].startswith("collector is stopped: memory grows without bound")
    assert any(
        line.startswith("incremental") and "pause 200, stepmul 100, stepsize 13" in line
        for line in lines
    )
    assert any(
        line.split()[:2] == ["white", "5,008"] or line.startswith("white")
        for line in lines
    )
    assert max(map(len, lines)) <= 100
