"""`registry`: references are those that the program has taken and not given back."""

import subprocess

import pytest
from minicore import write_core
from support import ROOT, clean_environment, document, inspect

SCRIPT = ROOT / "tests" / "e2e" / "registry.lua"
TOOLS = ROOT / "build" / "tests" / "heaps"
SEEDS = range(1, 13)
# What a group is called here, by its name in the program.
NAMES = {"light": "cfunction"}


class Run:
    def __init__(self, command, seed, folder):
        if not (TOOLS / "heapmodule.so").exists():
            pytest.skip("heapmodule is not built: no headers of Lua here")
        self.seed, self.core = seed, folder / "registry.core"
        process = subprocess.Popen(
            [*command, str(SCRIPT), str(seed), str(TOOLS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            env=clean_environment(),
        )
        assert process.stdout.readline() == "READY\n"
        write_core(process.pid, self.core)
        said = process.communicate("\n", timeout=60)[0]
        pairs = (line.split("=") for line in said.splitlines())
        self.said = {NAMES.get(name, name): int(count) for name, count in pairs}
        self.free = self.said.pop("free")
        (self.found,) = document(self.core, "registry")["registries"]

    def check(self):
        references = self.found["references"]
        groups = {
            "callback"
            if group["name"].startswith("function registry.lua:")
            else group["name"]: group
            for group in references["groups"]
        }
        counts = {name: group["count"] for name, group in groups.items()}
        assert counts == self.said, self.seed
        assert references["live"] == sum(self.said.values()), self.seed
        assert references["free"] == self.free, self.seed
        assert references["intact"] is True
        suspects = {name for name, group in groups.items() if group["suspect"]}
        if self.seed % 2 == 0:
            assert "Session" in suspects
        for group in groups.values():
            row = f"registry[{group['example']}]"
            if group["retained_bytes"]:
                assert row in inspect(self.core, "paths", row).stdout
        others = {row["path"] for row in self.found["others"]}
        assert others == {"registry[true]", "registry[1.5]"}
        named = {row["path"]: row for row in self.found["named"]}
        assert named['registry["My.Type"]']["instances"] == 7
        assert "registry._LOADED" in named
        (pointer,) = self.found["pointers"]
        assert pointer["class"] == "{under_address}"
        assert pointer["symbol"] == "places"


@pytest.mark.parametrize("seed", SEEDS)
def test_references(tmp_path, seed):
    Run(["lua5.4"], seed, tmp_path).check()


def test_references_of_other_releases(tmp_path, release):
    """The list of free references begins elsewhere in each family."""
    for seed in SEEDS:
        folder = tmp_path / str(seed)
        folder.mkdir()
        Run(release.command, seed, folder).check()


def test_kept_cores(packed_core):
    """The programs make no references; Lua itself makes one until 5.4.1: luaL_newstate keeps the
    state of warnings, a userdata of an int."""
    assert inspect(packed_core.path, "registry").returncode == 0
    (found,) = document(packed_core.path, "registry")["registries"]
    of_lua = packed_core.path.name.startswith(("lua-5.4.0", "lua-5.4.1"))
    assert found["references"]["live"] == (1 if of_lua else 0)
    assert found["references"]["free"] == 0
    named = {row["path"]: row for row in found["named"]}
    assert named['registry["FILE*"]']["instances"] >= 3
    assert found["pointers"] == found["others"] == []


def test_page(tmp_path):
    run = Run(["lua5.4"], 2, tmp_path)
    result = inspect(run.core, "registry")
    assert result.returncode == 1  # there is a suspect
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 100
    count = run.said["Session"]
    live = sum(run.said.values())
    assert lines[2].startswith(
        f"{live} references by luaL_ref ({run.free} more are free)"
    )
    assert (
        f"suspect   {count} of {live} references hold Session: are they given back"
        in result.stdout
    )
    assert any("metatable of 7" in line for line in lines)
    assert any(line.endswith("places") for line in lines)
    assert lines[-1].startswith("next")
