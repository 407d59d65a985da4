"""Random heaps under real interpreters: what is computed from a dump is what really survives.

tests/heaps/random_heap.lua builds a heap from a seed and stops three times: before a full
collection, right after it, and after the next one. It is dumped each time and says what its tracker
still holds. Three things must agree with what really happened:

  verdicts        of every tracked object, as `leaks --json` tells them
  live figures    live_objects and live_bytes of the first dump with the objects of the second
  all objects     address by address, as build/tests/heaps/survivors compares them

and `check` must find nothing in the first dump.

A sample runs by default, under Debian's lua5.4; with LUA_INSPECT_LONG thousands, under all releases
that Debian's suites have. $LUA_INSPECT_SEED is the first seed, for heaps that nobody has seen yet.
"""

import os
import shutil
import subprocess
from collections import Counter

import pytest

from minicore import write_core
from support import ROOT, clean_environment, document, inspect

SCRIPT = ROOT / "tests" / "heaps" / "random_heap.lua"
TOOLS = ROOT / "build" / "tests" / "heaps"
FIRST_SEED = int(os.environ.get("LUA_INSPECT_SEED", "1"))
SAMPLE, BLOCK = 120, 30  # heaps by default, and of them in one test
LONG = 420  # heaps of each release with LUA_INSPECT_LONG


class Heap:
    """One run of the program: what it said, and its three dumps."""

    def __init__(self, command, seed, folder):
        self.seed = seed
        self.said = {}  # title -> set of descriptions
        self.cores = []
        with_module = seed % 4 and (TOOLS / "heapmodule.so").exists()
        arguments = [str(SCRIPT), str(seed), *([str(TOOLS)] if with_module else [])]
        with subprocess.Popen(
            [*command, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            env=clean_environment(),
        ) as process:
            try:
                for number in range(3):
                    self.listen(process)
                    core = folder / f"{number}.core"
                    write_core(process.pid, core)
                    self.cores.append(core)
                    process.stdin.write("1\n")
                    process.stdin.flush()
            finally:
                process.kill()

    def listen(self, process):
        """Reads until it waits."""
        descriptions = None
        for line in process.stdout:
            if line == "READY\n":
                return
            if line.startswith("  "):
                descriptions.add(line[2:-1])
            else:
                descriptions = self.said[line.strip()] = set()
        raise AssertionError(f"seed {self.seed}: it died: {process.stderr.read()}")

    def verdicts(self):
        def verdict(name):
            if name in self.said["AFTER2"]:
                # weak tables do not drop strings and numbers
                never = name.startswith(("string#", "number#"))
                return "never" if never else "leaked"
            return "finalizer" if name in self.said["AFTER1"] else "garbage"

        return {name: verdict(name) for name in self.said["BEFORE"]}


def differences(heap, seen):
    """What is wrong, as a list of sentences; counts in `seen` what the heap had to offer."""
    wrong = []
    compared = subprocess.run(
        [str(TOOLS / "survivors"), *map(str, heap.cores)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        timeout=120,
    )
    lines = compared.stdout.splitlines()
    if compared.returncode > 1 or not lines:
        return [f"survivors: {compared.stdout}"]
    wrong += lines[1:]
    figures = {
        name: int(value)
        for name, value in (pair.split("=") for pair in lines[0].split())
    }
    for name, value in figures.items():
        if name.endswith(("_residual", "_faults")) and value != 0:
            wrong.append(f"{name} is {value}")

    answer = document(heap.cores[0], "leaks")
    found = {entry["description"]: entry["verdict"] for entry in answer["entries"]}
    wanted = heap.verdicts()
    for name in sorted(set(found) | set(wanted)):
        if found.get(name) != wanted.get(name):
            wrong.append(f"{name}: {found.get(name)}, but really {wanted.get(name)}")
    if len(answer["entries"]) != len(found):
        wrong.append("an entry is told twice")
    (vm,) = answer["vms"]
    for key, really in (
        ("live_objects", figures["after1_objects"]),
        ("live_bytes", figures["after1_bytes"]),
        ("objects", figures["before_objects"]),
        ("residual_bytes", 0),
    ):
        if vm[key] != really:
            wrong.append(f"{key} is {vm[key]}, but really {really}")

    violations = inspect(heap.cores[0], "check")
    if violations.returncode != 0:
        wrong.append(f"check: {violations.stdout}")

    seen.update(wanted.values())
    seen[f"mode {figures['gc_kind']}"] += 1
    seen[f"phase {figures['gc_state']}"] += 1
    seen["with pending finalizers"] += figures["before_pending"] > 0
    return wrong


def check_heaps(command, seeds, folder):
    """Runs them all; fails with the seeds that differ. Returns what was seen."""
    if not (TOOLS / "survivors").exists():
        pytest.fail("build/tests/heaps/survivors is missing: meson compile -C build")
    seen, failed = Counter(), []
    for seed in seeds:
        wrong = differences(Heap(command, seed, folder), seen)
        if wrong:
            failed.append("\n  ".join([f"seed {seed}:", *wrong[:20]]))
    assert not failed, f"{len(failed)} of {len(seeds)} heaps differ\n" + "\n".join(
        failed[:5]
    )
    return seen


def missing(seen, *wanted):
    return [name for name in wanted if not seen[name]]


@pytest.mark.parametrize("first", range(FIRST_SEED, FIRST_SEED + SAMPLE, BLOCK))
def test_sample(first, tmp_path):
    if not shutil.which("lua5.4"):
        pytest.skip("lua5.4 is not installed")
    seen = check_heaps(["lua5.4"], range(first, first + BLOCK), tmp_path)
    # a sample without these tests nothing
    assert not missing(seen, "leaked", "garbage", "finalizer", "never")


def test_many(release, tmp_path):
    seen = check_heaps(release.command, range(FIRST_SEED, FIRST_SEED + LONG), tmp_path)
    assert not missing(
        seen,
        *("leaked", "garbage", "finalizer", "never", "with pending finalizers"),
        *("mode 0", "mode 1"),  # incremental, generational
        *("phase 0", "phase 3", "phase 8"),  # propagate, sweep, pause
    )
    total = sum(count for name, count in seen.items() if name.startswith("mode"))
    print(f"Lua {release.number}: {total} heaps, {dict(sorted(seen.items()))}")
