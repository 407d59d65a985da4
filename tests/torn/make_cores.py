#!/usr/bin/python3
"""Makes tests/torn/cores: one small core each of a release caught in a torn state.

tests/torn/make_cores.py SUITES_FOLDER      where packages are unpacked, or are already

They are of releases that Debian's other suites have, so that the default test run needs none of
these. Each is the first core of a run under stepper in which lua-inspect (from build/) notes what
is wanted; cores.json says what that is, and from which package the interpreter came. All paths are
relative, the environment is empty, and what ld.so makes absolute is blotted out: nothing of this
machine is in a core.
"""

from __future__ import annotations

import json
import lzma
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "tests" / "torn"
sys.path.insert(0, str(ROOT / "scripts" / "lib"))

from debian_lua import Suites  # noqa: E402

RESIZED = "table .* was being resized; its old part was recovered from the native stack"
MOVED = "the stack of the thread .* was being moved"
PART = "its array part was recovered from the native stack"
REPLACED = MOVED + "; its new place was recovered"
# Name, release, scenario, instructions from core to core and to skip, what the notes or the residual
# must say.
WANTED = [
    ("5.4.2-stack", "5.4.2", "stack", 11, 0, REPLACED),
    ("5.4.2-single", "5.4.2", "array", 3, 900, PART),
    ("5.4.7-stack", "5.4.7", "stack", 11, 0, MOVED + "$"),
    ("5.4.7-stack-freed", "5.4.7", "stack", 11, 0, REPLACED),
    ("5.4.7-resize", "5.4.7", "hash", 11, 1300, RESIZED),
    ("5.4.7-array", "5.4.7", "array", 11, 4500, PART),
    (
        "5.4.7-newest",
        "5.4.7",
        "objects",
        5,
        0,
        "the (table|.*function|string) 0x.* made$",
    ),
    ("5.4.7-thread", "5.4.7", "coroutines", 1, 0, "the thread 0x.* was being made$"),
    ("5.5.1-array", "5.5.1", "array", 11, 4500, PART),
    ("5.5.1-stack", "5.5.1", "stack", 11, 0, MOVED + "$"),
    ("5.5.1-stack-freed", "5.5.1", "stack", 11, 0, REPLACED),
    ("5.5.1-resize", "5.5.1", "hash", 11, 1300, RESIZED),
    ("5.5.1-shrink", "5.5.1", "shrink", 11, 1300, RESIZED),
]


def lay_out(folder: Path) -> None:
    """The scripts, where their relative paths lead."""
    for name in ("tests/torn/states.lua", "scripts/leakwatch.lua"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)


def relative(command: List[str], folder: Path) -> List[str]:
    return [part.replace(f"{folder}{os.sep}", "") for part in command]


def noted(core: Path, wanted: str) -> Optional[Dict[str, int]]:
    """What is true of a core that says what is wanted and knows each verdict, else None."""
    result = subprocess.run(
        [str(ROOT / "build" / "lua-inspect"), str(core), "leaks", "--all", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    answer = json.loads(result.stdout)
    says = [note["message"] for note in answer["notes"]]
    says.append(answer["vms"][0]["residual_explanation"] or "")
    if answer["faults"] or not any(re.search(wanted, text) for text in says):
        return None
    names = [entry["description"] or "" for entry in answer["entries"]]
    return {
        "residual": int(answer["vms"][0]["residual_bytes"]),
        "keeps": sum(name.startswith("keep") for name in names),
    }


def catch(
    stepper: Path, command: List[str], suites: Path, row: Any, folder: Path
) -> Optional[Tuple[Path, Dict[str, int]]]:
    name, _, scenario, every, skip, wanted = row
    cores = folder / name
    cores.mkdir()
    options = ["--bare", "1", "--every", str(every), "--most", "3000"]
    options += ["--skip", str(skip)]
    program = [*relative(command, suites), "tests/torn/states.lua", scenario]
    subprocess.run(
        [str(stepper), *options, str(cores), *program],
        cwd=suites,
        env={},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    for core in sorted(cores.iterdir()):
        truth = noted(core, wanted)
        if truth:
            return core, truth
    return None


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    folder = Path(sys.argv[1]).resolve()
    suites = Suites(folder)
    made: Dict[str, Dict[str, Any]] = {}
    (HERE / "cores").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        stepper = Path(scratch) / "stepper"
        subprocess.run(["gcc", "-O2", "-o", stepper, HERE / "stepper.c"], check=True)
        lay_out(folder)
        for row in WANTED:
            name, number, scenario, _, _, wanted = row
            release = suites.release(number)
            caught = catch(stepper, release.command, folder, row, Path(scratch))
            if not caught:
                print(f"{name}: not caught", file=sys.stderr)
                return 1
            core, truth = caught
            own = str(folder).encode()
            blotted = core.read_bytes().replace(own, b"/" + b"x" * (len(own) - 1))
            packed = lzma.compress(blotted, preset=9 | lzma.PRESET_EXTREME)
            (HERE / "cores" / f"{name}.core.xz").write_bytes(packed)
            package = release.package
            made[name] = {
                "package": f"{package.name} {package.version}",
                "scenario": scenario,
                "note": wanted,
                **truth,
            }
            print(f"{name}: {len(packed)} bytes, {made[name]['package']}")
            shutil.rmtree(core.parent)
    text = json.dumps(made, indent=2)
    (HERE / "cores" / "cores.json").write_text(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
