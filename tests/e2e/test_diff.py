"""`diff` finds what growth.lua added and dropped between two dumps, and nothing else."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from minicore import write_core
from support import clean_environment, document, inspect

PROGRAM = Path(__file__).with_name("growth.lua")
HOURS = 2
LISTENER = PROGRAM.read_text().split("local function listen")[0].count("\n") + 1

# class -> before, after, and how many of those after are new
CLASSES = {
    "{id, text}": (1000, 1500, 500),
    "Session": (300, 240, 40),
    "{used, value}": (200, 500, 300),
    "{at, who}": (200, 500, 300),
    "{before, line}": (99, 349, 250),
    "{x, y, z}": (0, 60, 60),
    "{a, b}": (80, 0, 0),
}
# path -> class, objects before, after
PATHS = {
    "package.loaded.shop.orders[*]": ("{id, text}", 1000, 1500),
    "package.loaded.shop.by_token[*]": ("{used, value}", 200, 500),
    "package.loaded.shop.rooms[*].visits[*]": ("{at, who}", 200, 500),
    "package.loaded.shop.fresh[*]": ("{x, y, z}", 0, 60),
    "package.loaded.shop.events.done[*]": (f"function growth.lua:{LISTENER}", 50, 120),
    "package.loaded.shop.sessions[*]": ("Session", 300, 240),
    "package.loaded.shop.gone[*]": ("{a, b}", 80, 0),
    # the first node and the two behind it are places of their own
    "package.loaded.shop.log.before.before(.before)+": ("{before, line}", 97, 347),
}


def dump(folder, *arguments):
    """The cores before and after; the times of the files are two hours apart."""
    cores = folder / "before.core", folder / "after.core"
    process = subprocess.Popen(
        ["lua5.4", str(PROGRAM), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        env=clean_environment(),
    )
    for i, core in enumerate(cores):
        said = process.stdout.readline().split()
        assert said[0] == "READY"
        write_core(process.pid, core)
        os.utime(core, (1700000000 + i * HOURS * 3600,) * 2)
        process.stdin.write("\n")
        process.stdin.flush()
    process.communicate(timeout=60)
    return (*cores, *said[1:])


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    if not shutil.which("lua5.4"):
        pytest.skip("lua5.4 is not installed")
    return [dump(tmp_path_factory.mktemp(name)) for name in ("one", "another")]


def rows(answer, list_, key):
    found = {row[key]: row for row in answer[list_]}
    assert len(found) == len(answer[list_])
    return found


@pytest.mark.parametrize("other_run", [0, 1])
def test_constructed_differences(runs, other_run):
    before, after = runs[other_run][0], runs[0][1]
    answer = document(after, "diff", before)
    is_same = other_run == 0
    assert answer["same_process"] is is_same
    assert answer["seconds"] == HOURS * 3600
    classes = {(r["name"], r["type"]): r for r in answer["classes"]}
    for name, (then, now, new) in CLASSES.items():
        row = classes[name, "table"]
        assert (row["before"]["objects"], row["after"]["objects"]) == (then, now), name
        assert row["new"] == (new if is_same else None)
        assert row["gone"] == (then - now + new if is_same else None)
        assert row["objects_per_hour"] == (now - then) / HOURS
    paths = rows(answer, "paths", "path")
    for path, (class_, then, now) in PATHS.items():
        row = paths[path]
        assert (row["class"], row["before"]["objects"]) == (class_, then), path
        assert row["after"]["objects"] == now, path
        assert (row["example"] is None) is (now == 0)
        grown = row["after"]["bytes"] - row["before"]["bytes"]
        assert row["bytes_grown"] == grown and row["bytes_per_hour"] == grown / HOURS
    # a path and what lies below it are not both listed
    for path in PATHS:
        inside = [p for p in paths if p.startswith(path) and p != path]
        assert [p for p in inside if not p.endswith(":key")] == []


def test_books_balance(runs):
    before, after = runs[0]
    answer = document(after, "diff", before)
    live = answer["live"]
    for side, core in (("before", before), ("after", after)):
        for list_, total in (("objects", "live_objects"),):
            assert live[side][list_] == document(core, "states")["vms"][0][total]
        assert live[side]["bytes"] == sum(r[side]["bytes"] for r in answer["classes"])
    for key in ("kept", "new", "gone"):
        assert live[key] == sum(row[key] for row in answer["classes"])
    assert live["kept"] + live["new"] == live["after"]["objects"]
    assert live["kept"] + live["gone"] == live["before"]["objects"]
    shown = sum(row["bytes_grown"] for row in answer["paths"])
    # the rest is the tables' own growth, on the way to what is shown
    assert 0 <= live["bytes_grown"] - shown < live["bytes_grown"] / 3


def test_an_address_used_again_is_another_object(tmp_path):
    if not shutil.which("lua5.4"):
        pytest.skip("lua5.4 is not installed")
    before, after, reused = dump(tmp_path, "reuse")
    assert int(reused) > 0
    answer = document(after, "diff", before)
    (row,) = [row for row in answer["classes"] if row["name"] == "{c, d}"]
    assert (row["kept"], row["new"]) == (0, 60)


def test_causes(runs):
    before, after = runs[1][0], runs[0][1]
    (cause,) = document(after, "diff", before)["causes"]
    assert cause["pattern"] == "package.loaded.shop.sessions[*]"
    assert (cause["before"]["objects"], cause["after"]["objects"]) == (300, 240)
    (leak,) = document(after, "leaks")["causes"]
    assert cause["fingerprint"] == leak["fingerprint"]
    assert cause["after"]["bytes"] == leak["retained_bytes"]


def test_nothing_differs(runs):
    for other, core in (runs[0][:1] * 2, (runs[0][0], runs[1][0])):
        result = inspect(core, "diff", other)
        assert result.returncode == 0
        assert "no differences" in result.stdout
    answer = document(runs[0][0], "diff", runs[0][0])
    assert answer["paths"] == []
    assert answer["live"]["new"] == answer["live"]["gone"] == 0


def test_the_page(runs):
    before, after = runs[0]
    result = inspect(after, "diff", before)
    assert result.returncode == 1
    lines = result.stdout.splitlines()
    assert "compared with before.core, dumped 2 h before, the same process" in lines
    where = lines.index("       package.loaded.shop.orders[*]")
    assert lines[where - 1].startswith("  @1   +77.0 KB")
    assert "+500 (1,000 then) × {id, text}" in lines[where - 1]
    turned = inspect(before, "diff", after).stdout
    assert "dumped 2 h LATER" in turned and "-77.0 KB" in turned.split("by class")[0]


def test_other_must_be_a_core(runs, tmp_path):
    for other in (tmp_path / "missing", PROGRAM):
        result = inspect(runs[0][1], "diff", other)
        assert result.returncode == 2
        assert other.name in result.stderr and "hint:" in result.stderr
    result = inspect(runs[0][1], "diff")
    assert result.returncode == 2 and "OTHER" in result.stderr
