"""The thread sanitizer finds nothing, on heaps that are worth more than one worker."""

import os
import subprocess

import pytest

from support import ROOT
from test_threads import SCRIPT


@pytest.fixture(scope="module")
def race_checked():
    if not os.environ.get("LUA_INSPECT_LONG"):
        pytest.skip("builds all anew: scripts/test --long")
    folder = ROOT / "build" / "races"
    options = ["-Db_sanitize=thread", "-Db_lundef=false"]
    if not (folder / "build.ninja").exists():
        subprocess.run(["meson", "setup", folder, ROOT, *options], check=True)
    subprocess.run(["ninja", "-C", folder, "lua-inspect"], check=True)
    return folder / "lua-inspect"


def check(program, core):
    for command in ("leaks", "triage", "heap", "retained", "check", "strings"):
        result = subprocess.run(
            [program, core, command, "--threads", "4", "--no-progress"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, "TSAN_OPTIONS": "halt_on_error=1:exitcode=66"},
            timeout=600,
        )
        assert result.returncode in (0, 1), f"{command}: {result.stdout}"
        assert "ThreadSanitizer" not in result.stdout, command


@pytest.mark.parametrize("name", ["debian-5.4.4", "debian-5.4.7", "debian-5.5.1"])
def test_kept_cores(race_checked, kept_core, name):
    check(race_checked, kept_core(name))


@pytest.mark.parametrize("kind", ["fresh", "aged"])
def test_large_heaps(race_checked, make_core, tmp_path, kind):
    script = tmp_path / f"heap-{kind}.lua"
    script.write_text(SCRIPT % kind)
    check(race_checked, make_core(script, "kernel").path)
