"""What is measured on one heap: Lua's own full collection and lua-inspect, in alternation.

One round is a collection in each mode of the collector, then each command once. A ratio pairs a run
with the collection of the same round, so that what disturbs the machine for a while disturbs both.
Everything is kept as plain lists and dictionaries that go into the JSON as they are.
"""

from __future__ import annotations

import json
import re
import statistics
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional

from bench_memory import touch
from bench_process import MODES, Failed, LiveHeap, Run, environment, run

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ROOT / "plugin" / "gdb" / "lua_leaks.py"
PHASE = re.compile(r"([a-z][A-Za-z -]*) (\d+\.\d+) s\b")
FOUND_OR_NOT = range(2)  # exit statuses that are answers


@dataclass
class Command:
    """Something that reads a core, as a whole process."""

    name: str
    line: List[str]  # the core's path is put in place of CORE
    env: Dict[str, str]
    statuses: range = FOUND_OR_NOT
    is_debugger: bool = False  # its start and its memory say nothing of the heap

    def on(self, core: Path, watched: bool = False) -> Run:
        line = [str(core) if word == "CORE" else word for word in self.line]
        return run(line, self.env, self.statuses, watched)


class Program:
    """The lua-inspect under test, and what it can do."""

    def __init__(self, path: Path, options: List[str]) -> None:
        if not path.exists():
            raise Failed(f"there is no {path}: meson compile -C build")
        self.path = path
        self.options = options
        self.has_triage = self.has("triage")
        self.has_brief = "--brief" in self.help("leaks")

    def has(self, command: str) -> bool:
        line = [str(self.path), "help", command]
        return subprocess.run(line, capture_output=True, check=False).returncode == 0

    def help(self, command: str) -> str:
        line = [str(self.path), "help", command]
        return subprocess.run(line, capture_output=True, text=True, check=False).stdout

    def command(self, *words: str) -> Command:
        """With -v, which adds the phases on standard error and nothing else to speak of."""
        line = [str(self.path), "-v", *self.options, "CORE", *words]
        return Command(" ".join(words), line, environment())

    def gdb(self, *commands: str) -> Command:
        """gdb with the library of this program, whole process."""
        libraries = sorted(self.path.parent.glob("libinspect/libinspect.so"))
        env = environment(**{"LUA_INSPECT_LIBRARY": str(p) for p in libraries[:1]})
        line = ["gdb", "-nx", "-q", "-batch"]
        for command in commands and (f"source {PLUGIN}", *commands):
            line += ["-ex", command]
        name = " ".join(("gdb", *commands)) if commands else "gdb alone"
        return Command(name, [*line, "-c", "CORE"], env, range(1), is_debugger=True)

    def vm(self, core: Path) -> Dict[str, Any]:
        """What `states` says of the core's only VM."""
        line = [str(self.path), str(core), "states", "--json"]
        text = subprocess.run(line, stdout=subprocess.PIPE, check=False).stdout
        vms = json.loads(text)["vms"]
        if len(vms) != 1:
            raise Failed(f"{core.name} has {len(vms)} VMs")
        found: Dict[str, Any] = vms[0]
        return found


def spread(values: List[float]) -> Dict[str, float]:
    return {
        "median": statistics.median(values),
        "min": min(values),
        "max": max(values),
    }


def phases(runs: List[Run]) -> Dict[str, float]:
    """Median seconds by name, in the program's order; `total` as the program saw it."""
    seconds: Dict[str, List[float]] = {}
    for each in runs:
        for line in each.errors.splitlines():
            if line.startswith("lua-inspect: ") and ", in all " in line:
                for name, value in PHASE.findall(line):
                    name = "total" if name == "in all" else name
                    seconds.setdefault(name, []).append(float(value))
    return {name: statistics.median(values) for name, values in seconds.items()}


def account(runs: List[Run]) -> Dict[str, Any]:
    return {
        "wall": [each.wall for each in runs],
        "user": [each.user for each in runs],
        "system": [each.system for each in runs],
        "seconds": statistics.median(each.wall for each in runs),
        "cpu_seconds": statistics.median(each.user + each.system for each in runs),
        "phases": phases(runs),
    }


def repeated(command: Command, core: Path, times: int) -> Dict[str, Any]:
    """Alone, warm, against nothing."""
    command.on(core)
    return account([command.on(core) for _ in range(times)])


def measure(
    heap: LiveHeap,
    core: Path,
    commands: List[Command],
    pairs: int,
    objects: int,
    warms: bool = True,
) -> Dict[str, Any]:
    """The collections and the commands in alternation; `warms`: see bench_memory."""
    # Each once before: it warms the page cache, and its memory is watched.
    watched = {each.name: each.on(core, watched=True) for each in commands}
    for mode in MODES:
        heap.collect(mode)
    most = max(each.peak for each in watched.values())
    collections: Dict[str, List[float]] = {mode: [] for mode in MODES}
    cpu: Dict[str, List[float]] = {mode: [] for mode in MODES}
    runs: Dict[str, List[Run]] = {each.name: [] for each in commands}
    for _ in range(pairs):
        for mode in MODES:
            collection = heap.collect(mode)
            collections[mode].append(collection.wall)
            cpu[mode].append(collection.cpu)
        for each in commands:
            if warms:
                touch(most)
            runs[each.name].append(each.on(core))

    result: Dict[str, Any] = {"collect": {}, "commands": {}}
    for mode in MODES:
        result["collect"][mode] = {
            "wall": collections[mode],
            "cpu": cpu[mode],
            "seconds": statistics.median(collections[mode]),
            "cpu_seconds": statistics.median(cpu[mode]),
        }
    for each in commands:
        entry = account(runs[each.name])
        entry["ratio"] = {
            mode: spread(
                [b.wall / a for a, b in zip(collections[mode], runs[each.name])]
            )
            for mode in MODES
        }
        entry["cpu_ratio"] = {
            mode: spread(
                [(b.user + b.system) / a for a, b in zip(cpu[mode], runs[each.name])]
            )
            for mode in MODES
        }
        entry["is_debugger"] = each.is_debugger
        if not each.is_debugger:
            entry["peak_bytes"] = watched[each.name].peak
            entry["bytes_per_object"] = watched[each.name].peak / objects
        result["commands"][each.name] = entry
    return result


def growth(heaps: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """Nanoseconds of CPU time per object by size, of heaps that were measured at two sizes or more.

    CPU time, as a busy machine hides a growth of the work behind that of the waiting.
    """
    rows: Dict[str, Dict[str, Any]] = {}
    for each in heaps:
        sides = {
            "collectgarbage()": each["collect"]["generational"],
            **each["commands"],
        }
        for what, entry in sides.items():
            if entry.get("is_debugger"):
                continue
            row = rows.setdefault(
                f"{each['heap']} {what}",
                {"heap": each["heap"], "what": what, "objects": [], "ns": []},
            )
            row["objects"].append(each["objects"])
            row["ns"].append(entry["cpu_seconds"] / each["objects"] * 1e9)
    return [row for row in rows.values() if len(row["objects"]) > 1]


def waiting(heaps: List[Dict[str, Any]]) -> float:
    """How much longer the collections took than they ran, as a share: they have one thread and
    wait for nothing, so that others had the processor. Short ones are not asked."""
    wall = cpu = 0.0
    for each in heaps:
        for entry in each["collect"].values():
            if entry["cpu_seconds"] > 0.001:
                wall += sum(entry["wall"])
                cpu += sum(entry["cpu"])
    return wall / cpu - 1 if cpu else 0.0


def extra_over(result: Dict[str, Any], what: str, base: str) -> Optional[float]:
    """Median over the rounds of the seconds that one command takes more than another."""
    commands = result["commands"]
    if what not in commands or base not in commands:
        return None
    pairs = zip(commands[what]["wall"], commands[base]["wall"])
    return float(statistics.median(a - b for a, b in pairs))
