"""scripts/bench: the heaps are what it says they are, and the table and the JSON say what was
measured. No test looks at how long anything took."""

import json
import statistics
import subprocess
import sys

import pytest
from minicore import write_core
from support import ROOT, clean_environment, document

sys.path.insert(0, str(ROOT / "scripts" / "lib"))
from bench_measure import phases  # noqa: E402
from bench_process import MODULE_FOLDER, LiveHeap, Run, run  # noqa: E402

BENCH = ROOT / "scripts" / "bench"
HEAPS = "game churn list table closures strings userdata".split()
SIZE, PAIRS = 5000, 3
MEBIBYTE = 2**20


def bench(*arguments):
    return subprocess.run(
        ["/usr/bin/python3", str(BENCH), *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=clean_environment(),
        timeout=120,
    )


@pytest.mark.parametrize("name", HEAPS)
def test_heap_is_live_and_leaks(name, tmp_path):
    if name == "userdata" and not list(MODULE_FOLDER.glob("heapmodule.so")):
        pytest.skip("heapmodule was not built: liblua5.4-dev is missing")
    core = tmp_path / "heap.core"
    with LiveHeap(name, SIZE) as heap:
        write_core(heap.process.pid, core)
    vm = document(core, "states")["vms"][0]
    assert vm["residual_bytes"] == 0
    assert vm["live_objects"] == vm["objects"]
    assert 0.9 * SIZE < vm["objects"] < 1.3 * SIZE
    leaks = document(core, "leaks")
    (tracker,) = leaks["trackers"]
    assert tracker["leaked"] == tracker["entries"] > 0
    suspects = [cause["chain"][cause["suspect"]]["text"] for cause in leaks["causes"]]
    assert any("forgotten" in text for text in suspects), suspects


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Output and JSON of one small run."""
    file = tmp_path_factory.mktemp("bench") / "bench.json"
    words = "--set tiny,6k --heap game,list --peers --pairs".split()
    result = bench(*words, PAIRS, "--json", file)
    if "gcore is not possible here" in result.stderr:
        pytest.skip("gcore is not possible here")
    assert result.returncode == 0, result.stderr
    return result.stdout, json.loads(file.read_text(encoding="utf-8"))


def test_json_has_what_was_measured(measured):
    _, result = measured
    assert result["schema"] == "lua-inspect-bench/1"
    assert [(heap["heap"], heap["size"]) for heap in result["heaps"]] == [
        ("game", 5000),
        ("list", 5000),
        ("game", 6000),
        ("list", 6000),
    ]
    for heap in result["heaps"]:
        assert heap["core_bytes"] > heap["heap_bytes"] > 50 * heap["objects"]
        assert "leaks" in heap["commands"]
        assert ("gdb lua-leaks" in heap["commands"]) == (heap["heap"] == "game")
        for name, entry in heap["commands"].items():
            assert len(entry["wall"]) == PAIRS, name
            for mode in ("generational", "incremental"):
                collections = heap["collect"][mode]["wall"]
                ratios = [b / a for a, b in zip(collections, entry["wall"])]
                assert entry["ratio"][mode] == {
                    "median": pytest.approx(statistics.median(ratios)),
                    "min": pytest.approx(min(ratios)),
                    "max": pytest.approx(max(ratios)),
                }
            if not name.startswith("gdb"):
                assert entry["peak_bytes"] > 0
                assert entry["bytes_per_object"] * heap["objects"] == pytest.approx(
                    entry["peak_bytes"]
                )
                assert len(entry["phases"]) > 2 and entry["phases"]["total"] > 0
    growth = {(row["heap"], row["what"]): row for row in result["growth"]}
    assert growth["list", "leaks"]["ns"] == [
        pytest.approx(heap["commands"]["leaks"]["cpu_seconds"] / heap["objects"] * 1e9)
        for heap in result["heaps"]
        if heap["heap"] == "list"
    ]
    assert [entry["core_bytes"] > 0 for entry in result["start"]] == [True] * 3


def test_phases_are_medians_by_name():
    line = "lua-inspect: searching for Lua {:.3f} s, marking 0.{} s, in all {:.3f} s\n"
    errors = [line.format(a, b, c) for a, b, c in [(1, 5, 3), (2, 25, 9), (7, 125, 8)]]
    runs = [Run(1.0, 1.0, 0.0, 0, "a warning of 4.000 s\n" + each) for each in errors]
    assert phases(runs) == {"searching for Lua": 2, "marking": 0.25, "total": 8}


def test_peers_went_through_the_heap(measured):
    _, result = measured
    objects = result["heaps"][0]["objects"]
    walk, search = result["peers"][:2]
    if "error" in walk:
        assert "debug info" in walk["error"]  # liblua5.4-0-dbg is not installed
    else:
        assert walk["complete"]
        assert 0.95 * objects < walk["objects"] <= objects
    assert search["found"] == 500 + 5  # entities, and those of the leak
    # All but strings, upvalues, prototypes and what the tracker holds.
    assert 0.5 * objects < search["objects"] < 0.7 * objects


def test_table_has_a_row_for_everything(measured):
    text, result = measured
    lines = text.splitlines()
    for heap in result["heaps"]:
        first = next(line for line in lines if f" {heap['objects']:,} " in line)
        assert first.split()[:2] == [heap["heap"], "collectgarbage(),"]
        at = lines.index(first)
        rows = lines[at + 2 : at + 2 + len(heap["commands"])]
        for row, (name, entry) in zip(rows, heap["commands"].items()):
            assert row.strip().startswith(name + " ")
            if "bytes_per_object" in entry:
                ratio = entry["ratio"]["generational"]
                shown = "{median:.2f} ({min:.2f} .. {max:.2f})".format(**ratio)
                assert shown in row
                assert row.split()[-1] == f"{entry['bytes_per_object']:.0f}"
    assert any(line.startswith("states --brief, ") for line in lines)
    assert any(line.startswith("list  leaks") for line in lines)  # of the growth


def test_search_says_that_a_deep_heap_was_too_much():
    with LiveHeap("list", 1_000_000) as heap:
        answer = heap.ask(f"search {ROOT / 'scripts/lib/search.lua'}")
    assert answer.startswith("error: ") and "overflow" in answer


def test_peak_leaves_out_what_is_mapped(tmp_path):
    """64 MiB of a mapped file are read, 32 of anonymous memory are used for a while."""
    file = tmp_path / "file"
    file.write_bytes(b"x" * (64 * MEBIBYTE))
    program = f"""
import mmap, time
file = open({str(file)!r}, "rb")
mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
assert sum(mapped[i] for i in range(0, len(mapped), 4096))
used = bytearray(b"x") * (32 << 20)
time.sleep(0.05)
del used
time.sleep(0.05)
"""
    env = clean_environment()
    peak = run(["/usr/bin/python3", "-S", "-c", program], env, range(1), True).peak
    assert 32 * MEBIBYTE < peak < 48 * MEBIBYTE


@pytest.mark.parametrize(
    "words, complaint",
    [
        (["--heap", "nonsense"], "no heap nonsense"),
        (["--set", "many"], "`many` is no size"),
        (["--set", "5"], "too few"),
        (["--pairs", "0"], "at least 1"),
    ],
)
def test_bad_arguments(words, complaint):
    result = bench(*words)
    assert result.returncode == 2
    assert complaint in result.stderr


def test_failure_is_said():
    result = bench("--set", "tiny", "--program", ROOT / "nothing")
    assert result.returncode == 1
    assert "there is no" in result.stderr
