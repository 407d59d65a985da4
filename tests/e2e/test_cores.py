"""The packed cores of cores/: small, of known origin, and made again by scripts/make-cores."""

import json
import os
import subprocess
import sys

import pytest

from support import ROOT, Server, document, verdicts

sys.path.insert(0, str(ROOT / "scripts" / "lib"))

from debian_lua import EMULATED, WANTED, Suites, Unavailable  # noqa: E402

CORES = ROOT / "cores"
PROVENANCE = json.loads((CORES / "provenance.json").read_text())
MOST_BYTES = 60_000


def test_origin_of_each_is_known():
    names = {path.name[: -len(".core.xz")] for path in CORES.glob("*.core.xz")}
    assert names == set(PROVENANCE)
    for name, origin in PROVENANCE.items():
        assert (CORES / f"{name}.core.xz").stat().st_size < MOST_BYTES
        assert (CORES / origin["program"]).exists()
        assert len(origin["sha256"]) == 64


def test_all_collectors_and_layouts_are_there():
    """One of each release that behaves in its own way, one of gdb's, and one for each way in which
    processors lay out memory: 32 bits, 32 bits with aligned doubles, 64 bits, big-endian.
    """
    made = {
        (origin["lua"], origin["architecture"], origin["dumped_by"])
        for origin in PROVENANCE.values()
    }
    wanted = {"5.4.2", "5.4.4", "5.4.7", "5.4.9", "5.5.1"}
    assert made == {(lua, "amd64", "kernel") for lua in wanted} | {
        ("5.4.4", "amd64", "gcore"),
        ("5.4.4", "i386", "kernel"),
        ("5.4.4", "arm64", "qemu"),
        ("5.4.4", "armhf", "qemu"),
        ("5.4.4", "s390x", "qemu"),
    }


def test_every_byte_is_accounted_for(packed_core):
    (vm,) = document(packed_core.path, "states")["vms"]
    assert vm["residual_bytes"] == 0
    assert vm["accounted_bytes"] == vm["heap_bytes"]


def test_the_native_thread_leads_to_the_vm(packed_core):
    brief = document(packed_core.path, "states", "--brief")
    whole = document(packed_core.path, "states")
    assert not brief["searched_all"] and whole["searched_all"]
    (vm,), (same,) = brief["vms"], whole["vms"]
    assert vm["address"] == same["address"] and vm["objects"] is None
    chosen = document(packed_core.path, "states", "--brief", "--vm", "1")
    assert chosen["searched_all"]


@pytest.mark.skipif(
    not os.environ.get("LUA_INSPECT_LONG"), reason="downloads: scripts/test --long"
)
@pytest.mark.parametrize("program", ["server.lua", "leaky.lua"])
@pytest.mark.parametrize("number", sorted(WANTED))
@pytest.mark.parametrize("architecture", ["i386", *EMULATED])
def test_other_architectures(program, number, architecture, tmp_path):
    """Every byte and every verdict of a process that Debian's interpreters for others run."""
    try:
        release = Suites(ROOT / "build" / "suites", architecture).release(number)
    except Unavailable as error:
        pytest.skip(f"Lua for {architecture} cannot be had, or run: {error}")
    run = [CORES / program, tmp_path, *release.command]
    core = tmp_path / "foreign.core"
    Server(*run).abort(core, "qemu_*" if architecture in EMULATED else "core*")
    assert core.read_bytes()[4:6] == {  # EI_CLASS and EI_DATA
        "i386": b"\1\1",
        "armhf": b"\1\1",
        "mipsel": b"\1\1",
        "s390x": b"\2\2",
    }.get(architecture, b"\2\1")
    states = document(core, "states")["vms"]
    answer = document(core, "leaks")
    assert [vm["residual_bytes"] for vm in states] == [0]
    assert answer["faults"] == [] and states[0]["layout"] == "canned"
    found = {entry["description"]: entry["verdict"] for entry in answer["entries"]}
    assert len(found) == len(answer["entries"])
    assert found == verdicts(Server(*run).answer())  # another run says the same


@pytest.mark.skipif(
    not os.environ.get("LUA_INSPECT_LONG"), reason="downloads: scripts/test --long"
)
def test_can_be_made_again(tmp_path):
    made = subprocess.run(
        [str(ROOT / "scripts" / "make-cores"), "--into", str(tmp_path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    if made.returncode != 0:
        pytest.skip("not all suites can be had: " + made.stderr.strip())
    for name, origin in PROVENANCE.items():
        if origin["dumped_by"] == "qemu":
            continue  # made only if they are named
        kept, again = (
            json.loads((folder / f"{name}.truth.json").read_text())["verdict"]
            for folder in (CORES, tmp_path)
        )
        assert kept == again
