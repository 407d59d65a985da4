"""The states of a collector: collector.lua, dumped at each of its stages."""

import shlex
import subprocess
from pathlib import Path

from minicore import write_core
from support import clean_environment

SCRIPT = Path(__file__).parent / "collector.lua"


class Stage:
    """One dump, and what the program said of its collector at that moment."""

    def __init__(self, name, core, said):
        self.name = name
        self.core = core
        self.said = said  # key -> text
        self.freed = None  # bytes that real full collections freed right after the dump


def value(text):
    return {"true": True, "false": False}.get(text, text)


def run_stages(interpreter, folder):
    """Runs collector.lua; `interpreter` is a command line. Returns name -> Stage."""
    process = subprocess.Popen(
        [*shlex.split(interpreter), str(SCRIPT)],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        env=clean_environment(),
    )
    stages = {}
    for line in process.stdout:
        word, *rest = line.split()
        if word == "FREED":
            list(stages.values())[-1].freed = int(rest[0])
            continue
        said = dict(pair.split("=", 1) for pair in rest[1:])
        core = Path(folder) / f"{rest[0]}.core"
        write_core(process.pid, core)
        stages[rest[0]] = Stage(
            rest[0], core, {key: value(text) for key, text in said.items()}
        )
        process.stdin.write("\n")
        process.stdin.flush()
    process.stdin.close()
    assert process.wait(timeout=60) == 0
    return stages
