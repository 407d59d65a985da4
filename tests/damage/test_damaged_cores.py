"""Cores that were damaged on purpose, ten thousand of them; with LUA_INSPECT_LONG a million.

damaged_cores.c says what must hold of each. $LUA_INSPECT_SEED is the first case, for damage that
nobody has seen yet; a case that fails is repeated with `--seed N --count 1`, and its core is kept.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROVENANCE = json.loads((ROOT / "cores" / "provenance.json").read_text())
CORES = [
    ROOT / "cores" / f"{name}.core.xz"
    for name, origin in sorted(PROVENANCE.items())
    if origin["architecture"] in ("amd64", "i386")
]
FIRST = int(os.environ.get("LUA_INSPECT_SEED", "1"))
SAMPLE, MANY, SANITIZED = 10_000, 1_000_000, 50_000
FOUND = [
    218251,
    223108,
]  # cases that once failed: the last step was suspect; a closed upvalue


def damage(build, count, keep, timeout, first=FIRST):
    result = subprocess.run(
        [
            build / "tests" / "damage" / "damaged_cores",
            *("--seed", str(first), "--count", str(count)),
            *("--jobs", str(min(os.cpu_count() or 1, 16)), "--keep", keep),
            *CORES,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"},
        timeout=timeout,
    )
    assert result.returncode == 0, f"cores are kept in {keep}\n{result.stdout[-8000:]}"
    print(result.stdout)
    return result.stdout


def test_sample(tmp_path):
    said = damage(ROOT / "build", SAMPLE, tmp_path, 600)
    assert said.startswith(f"{SAMPLE} damaged cores")
    # the oracle has looked at most of them
    compared = said.split("verdicts compared in ")[1].split(",")[0]
    assert int(compared) > SAMPLE * 3 / 4
    # what was lost is known to be somebody's, mostly: else two thirds would be in doubt
    assert float(said.split(" % of what was garbage")[0].split()[-1]) < 58


@pytest.mark.parametrize("case", FOUND)
def test_found(case, tmp_path):
    damage(ROOT / "build", 1, tmp_path, 60, case)


def test_million(tmp_path):
    if not os.environ.get("LUA_INSPECT_LONG"):
        pytest.skip("takes half an hour: scripts/test --long")
    damage(ROOT / "build", MANY, tmp_path, 7200)


def test_sanitized(tmp_path):
    """The same under the sanitizers for addresses, undefined behaviour and leaks."""
    if not os.environ.get("LUA_INSPECT_LONG"):
        pytest.skip("takes many minutes: scripts/test --long")
    build = ROOT / "build" / "sanitized"
    options = ["-Db_sanitize=address,undefined", "-Db_lundef=false"]
    if not (build / "build.ninja").exists():
        subprocess.run(["meson", "setup", build, ROOT, *options], check=True)
    subprocess.run(["ninja", "-C", build, "tests/damage/damaged_cores"], check=True)
    damage(build, SANITIZED, tmp_path, 7200)
