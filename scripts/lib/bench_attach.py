"""For how long a process with a large heap is stopped, against a plain read of the same bytes.

In alternation: tests/attach/plain_read (process_vm_readv, one thread, into memory that is there),
`lua-inspect -p` with --snapshot=copy and with --snapshot=fork, each of which tells for how long the
process was stopped.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from statistics import median
from typing import Any, Dict, List

from bench_process import Failed, LiveHeap

ROUNDS = 7
STOPPED = re.compile(r"stopped for (\d+\.\d+) s")


def plain_read(program: Path, pid: int) -> "tuple[int, float]":
    words = subprocess.run(
        [str(program), str(pid)], capture_output=True, text=True
    ).stdout.split()
    if len(words) != 2:
        raise Failed(f"{program} could not read the process")
    return int(words[0]), float(words[1])


def stopped(program: Path, pid: int, way: str) -> float:
    command = [str(program), "-p", str(pid), f"--snapshot={way}", "states", "--brief"]
    result = subprocess.run(command, capture_output=True, text=True)
    found = STOPPED.search(result.stderr)
    if not found:
        raise Failed(f"{' '.join(command)}: {result.stderr}")
    return float(found[1])


def measure_attach(program: Path, name: str, size: int) -> Dict[str, Any]:
    plain = program.parent / "tests" / "attach" / "plain_read"
    with LiveHeap(name, size) as live:
        pid = live.process.pid
        seconds: Dict[str, List[float]] = {"plain": [], "copy": [], "fork": []}
        ratios: List[float] = []
        for _ in range(ROUNDS):
            read, plain_seconds = plain_read(plain, pid)
            seconds["plain"].append(plain_seconds)
            for way in ("copy", "fork"):
                seconds[way].append(stopped(program, pid, way))
            ratios.append(seconds["copy"][-1] / plain_seconds)
    return {
        "heap": name,
        "size": size,
        "bytes": read,
        "seconds": seconds,
        "copy_against_plain": median(ratios),
    }


def attach_report(result: Dict[str, Any]) -> str:
    lines = [
        f"{result['heap']} {result['size']:,}: {result['bytes'] / 1e6:,.0f} MB of private memory;"
        f" {ROUNDS} rounds, median (least .. most) milliseconds",
    ]
    words = {
        "plain": "plain read, not stopped",
        "copy": "stopped, copy",
        "fork": "stopped, fork",
    }
    for way, what in words.items():
        times = [1000 * each for each in result["seconds"][way]]
        lines.append(
            f"  {what:24} {median(times):7.1f}  ({min(times):.1f} .. {max(times):.1f})"
        )
    lines.append(f"  copy : plain read        {result['copy_against_plain']:7.2f}")
    return "\n".join(lines) + "\n"
