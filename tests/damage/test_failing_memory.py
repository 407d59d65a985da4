"""With LUA_INSPECT_LONG every allocation of every command fails once, also under the sanitizers for
addresses, undefined behaviour and leaks: failing_memory.c. The unit test of that name takes a sample.
"""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORES = ROOT / "cores"
HALTS = {
    "ASAN_OPTIONS": "detect_leaks=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
}

pytestmark = pytest.mark.skipif(
    not os.environ.get("LUA_INSPECT_LONG"),
    reason="takes many minutes: scripts/test --long",
)


def run(command, timeout=3600):
    return subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, **HALTS},
        timeout=timeout,
    )


@pytest.mark.parametrize("name", ["debian-5.4.4", "debian-5.5.1"])
def test_every_allocation_fails(name):
    program = ROOT / "build" / "tests" / "damage" / "failing_memory"
    result = run([program, "--threads", CORES / f"{name}.core.xz"])
    assert result.returncode == 0, result.stdout


def test_allocations_fail_under_sanitizers():
    folder = ROOT / "build" / "sanitized"
    options = ["-Db_sanitize=address,undefined", "-Db_lundef=false"]
    if not (folder / "build.ninja").exists():
        subprocess.run(["meson", "setup", folder, ROOT, *options], check=True)
    subprocess.run(["ninja", "-C", folder, "tests/damage/failing_memory"], check=True)
    program = folder / "tests" / "damage" / "failing_memory"
    core = CORES / "debian-5.4.4.core.xz"
    result = run([program, "--every", "7", "--threads", core])
    assert result.returncode == 0, result.stdout
