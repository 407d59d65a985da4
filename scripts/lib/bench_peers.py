"""What a user would take instead, as far as it runs here, on the same heap."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, Dict

from bench_process import LIBRARY, LiveHeap, environment


def recursive_search(heap: LiveHeap) -> Dict[str, Any]:
    """In the live process, which is blocked meanwhile. Last, as it leaves garbage."""
    name = "recursive search in the process"
    before = heap.memory("VmRSS")
    heap.forget_peak()
    answer = heap.ask(f"search {LIBRARY / 'search.lua'}")
    if answer.startswith("error"):
        return {"peer": name, "error": answer}
    seconds, objects, found = answer.split()
    return {
        "peer": name,
        "seconds": float(seconds),
        "objects": int(objects),
        "found": int(found),
        "complete": True,
        "peak_bytes": heap.memory("VmHWM") - before,
    }


def gdb_walk(core: Path, objects: int, seconds: float) -> Dict[str, Any]:
    """Stops after that many seconds; what the whole would take is then an extrapolation."""
    name = "gdb.Value, list and references"
    script = LIBRARY / "gdb_walk.py"
    log = subprocess.run(
        ["gdb", "-nx", "-q", "-batch", "-x", str(script), "lua5.4", str(core)],
        cwd="/usr/bin",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        env=environment(LUA_BENCH_SECONDS=str(seconds)),
    ).stdout
    last = log.strip().split("\n")[-1]
    if not last.startswith("{"):
        return {"peer": name, "error": last}
    said = json.loads(last)
    rate = said["objects"] / said["seconds"]
    return {
        "peer": name,
        "seconds": said["seconds"] if said["complete"] else objects / rate,
        "objects": said["objects"],
        "references": said["references"],
        "objects_per_second": rate,
        "complete": said["complete"],
    }
