"""How much work an object is, in instructions: a guard against what makes all answers slower and is
noticed by nobody. No test looks at how long anything takes; instructions are the same on a busy
machine. Counted is what a larger heap takes more than a smaller one of the same kind, so that the
start of the program does not count."""

import re
import shutil
import subprocess
import sys

import pytest
from minicore import write_core
from support import PROGRAM, ROOT, clean_environment, document

sys.path.insert(0, str(ROOT / "scripts" / "lib"))
from bench_process import LiveHeap  # noqa: E402

SIZES = 5_000, 25_000
# Instructions for each object of game, as measured: what is far below belongs here as well.
MEASURED = {"states": 1425, "leaks --brief": 1800, "leaks": 2680}
LEAST, MOST = 0.7, 1.15


def instructions(core, words):
    """What one thread takes."""
    line = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    line += [str(PROGRAM), str(core), *words.split(), "--threads", "1"]
    done = subprocess.run(
        line,
        capture_output=True,
        encoding="utf-8",
        env=clean_environment(),
        timeout=300,
    )
    found = re.search(r"Collected : (\d+)", done.stderr)
    assert found and done.returncode in (0, 1), done.stderr
    return int(found.group(1))


@pytest.fixture(scope="module")
def cores(tmp_path_factory):
    """A small heap and a larger one, each with its number of objects."""
    if not shutil.which("valgrind"):
        pytest.skip("valgrind is not installed")
    found = []
    for size in SIZES:
        core = tmp_path_factory.mktemp("work") / f"{size}.core"
        with LiveHeap("game", size) as heap:
            write_core(heap.process.pid, core)
        found.append((core, document(core, "states")["vms"][0]["objects"]))
    return found


@pytest.mark.parametrize("words", MEASURED)
def test_instructions_for_each_object(cores, words):
    (small, few), (large, many) = cores
    more = instructions(large, words) - instructions(small, words)
    each = more / (many - few)
    assert LEAST * MEASURED[words] < each < MOST * MEASURED[words]
