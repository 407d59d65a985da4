"""leakwatch.lua under every Lua at hand: its own checks, and its layout as the library reads it."""

import shutil
import subprocess

import pytest

from support import ROOT, clean_environment

INTERPRETERS = ["lua5.1", "lua5.2", "lua5.3", "lua5.4", "lua5.5", "luajit"]


def run(interpreter, script, *arguments):
    if not shutil.which(interpreter):
        pytest.skip(f"{interpreter} is not installed")
    return subprocess.run(
        [interpreter, str(script), *map(str, arguments)],
        input="\n",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=clean_environment(),
        timeout=60,
    )


@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_leakwatch(interpreter):
    result = run(interpreter, ROOT / "tests/e2e/leakwatch_test.lua", ROOT / "scripts")
    assert result.stderr == ""
    assert result.stdout == "leakwatch works\n"


@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_game_server_is_the_same_everywhere(interpreter):
    """5.1 has no finalizers of tables: what 5.2 and later free one collection later, it frees now."""
    script = ROOT / "cores/game_server.lua"
    reference = run("lua5.4", script).stdout.splitlines()
    here = run(interpreter, script).stdout.splitlines()
    assert here[0] == "READY"
    assert [line for line in here if line.startswith("AFTER2")] == [
        line for line in reference if line.startswith("AFTER2")
    ]


def test_program_says_the_same_twice():
    outputs = {run("lua5.4", ROOT / "cores/game_server.lua").stdout for _ in range(3)}
    assert len(outputs) == 1
