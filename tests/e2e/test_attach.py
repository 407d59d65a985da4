"""Running processes, read from the shell: the same answers as from a core, and nothing harmed."""

import json
import re
import shutil
from pathlib import Path

import pytest
from support import ROOT, Server, gcore, inspect

STOPPED = re.compile(r"stopped for (\d+\.\d{3}) s\n")
WAYS = ["copy", "stop", "fork", "none"]
NOW = ("--now", "1700003600")


@pytest.fixture
def server(tmp_path):
    if not shutil.which("lua5.4"):
        pytest.skip("lua5.4 is not installed")
    started = Server(ROOT / "cores" / "server.lua", tmp_path)
    yield started
    started.process.kill()
    started.process.communicate()


def answer(*arguments):
    """The document without what tells the target's kind, and what was said besides."""
    result = inspect(*arguments, *NOW, "--json")
    assert result.returncode in (0, 1), result.stderr
    found = json.loads(result.stdout)
    target = found.pop("target")
    return found, target, result.stderr


def state(pid):
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("command", ["leaks", "heap", "states", "bt", "check"])
def test_a_process_answers_as_its_core_does(server, tmp_path, way, command):
    core = tmp_path / "server.core"
    gcore(server.process, core)
    pid = server.process.pid
    expected, _, _ = answer(core, command)
    found, target, said = answer("-p", pid, "--snapshot", way, command)
    assert found == expected
    assert (
        target["kind"] == "process" and target["pid"] == pid and target["path"] is None
    )
    assert target["unstopped"] is (way == "none")
    assert target["missing_bytes"] == 0
    assert bool(STOPPED.fullmatch(said)) is (way != "none")
    assert server.answer().startswith("BEFORE")  # it goes on


def test_the_title_names_the_process(server):
    pid = server.process.pid
    first = inspect("-p", pid, "states").stdout.split("   ")[0]
    assert first == f"process {pid}"
    first = inspect("-p", pid, "--snapshot=none", "states").stdout.split("   ")[0]
    assert first == f"process {pid} (unstopped)"


def test_a_snapshot_needs_a_process():
    result = inspect("--snapshot", "stop", ROOT / "README.md", "states")
    assert result.returncode == 2 and "there is no -p" in result.stderr
