"""The plugin in lldb-14, on cores and processes: the shell's answers.

Debian does not install it beside lldb-16. Where it is installed its scripts need the folder that
README names; in long runs it is fetched otherwise, and unpacked.
"""

import os
import shutil
import subprocess

import pytest
from debuggers import Lldb
from live import working
from support import ROOT, clean_environment, gcore, inspect
from test_live import COMMANDS, attach, without_head

PACKAGES = ["lldb-14", "liblldb-14", "python3-lldb-14", "libllvm14", "libclang-cpp14"]
FOLDER = "usr/lib/llvm-14"
MODULES = "lib/python3.11/dist-packages"


def fetched(folder):
    """The root of the unpacked packages."""
    root = folder / "root"
    if not (folder / "complete").exists():
        if not os.environ.get("LUA_INSPECT_LONG"):
            pytest.skip("lldb-14 is not installed; scripts/test --long fetches it")
        folder.mkdir(parents=True, exist_ok=True)
        line = ["apt-get", "download", "-q", *PACKAGES]
        if not shutil.which("apt-get") or subprocess.run(line, cwd=folder).returncode:
            pytest.skip("lldb-14 cannot be had")
        for package in folder.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", package, root], check=True)
        (folder / "complete").touch()
    return root


@pytest.fixture(scope="module")
def lldb():
    """The debugger, and the environment that it is run in."""
    debugger = Lldb()
    debugger.program = shutil.which("lldb-14")
    if debugger.program:
        return debugger, clean_environment(PYTHONPATH=f"/{FOLDER}/{MODULES}")
    root = fetched(ROOT / "build" / "lldb-14")
    place = root / FOLDER
    debugger.program = place / "bin" / "lldb"
    return debugger, clean_environment(
        PYTHONPATH=f"{place / MODULES}",
        LD_LIBRARY_PATH=f"{place / 'lib'}:{root / 'usr/lib/x86_64-linux-gnu'}",
        LLDB_DEBUGSERVER_PATH=f"{place}/bin/lldb-server",
    )


def test_core(lldb, server_core):
    debugger, env = lldb
    lines = ["leaks", "states --json", "bt --all --locals", "triage", "heap --by shape"]
    shown = debugger.outputs(
        [f"lua-{line}" for line in lines], core=server_core.path, env=env
    )
    assert shown == [inspect(server_core.path, *line.split()).stdout for line in lines]


def test_process(lldb, tmp_path):
    debugger, env = lldb
    with working(tmp_path) as work:
        core = tmp_path / "work.core"
        gcore(work.process, core)
        pages = debugger.outputs([attach(debugger, work.pid), *COMMANDS], env=env)[1:]
    for page, command in zip(pages, COMMANDS):
        expected = inspect(core, *command[len("lua-") :].split()).stdout
        assert without_head(page) == without_head(expected)
