"""Cores that lack memory: by coredump_filter, cut by `ulimit -c` as the kernel cuts them, written by
gcore with a filter, compressed after a cut. What is missing is said, how much of which VM that is, and
what typically causes it; a heap that is whole is read as if nothing were missing."""

import json
import os
import resource
import shutil
import subprocess
from pathlib import Path

import pytest

from support import clean_environment, document, inspect

LONG = bool(os.environ.get("LUA_INSPECT_LONG"))
FILTERS = range(0x80) if LONG else (0x00, 0x01, 0x10, 0x11, 0x32, 0x33, 0x7E, 0x7F)
ANONYMOUS = 1  # bit 0: private anonymous memory, where heaps are
PROGRAM = """
collectgarbage "stop"
leaks = setmetatable({}, {__mode = "k"})
kept = {}
for i = 1, 2000 do
  local thing = {name = "thing " .. i}
  leaks[thing] = {desc = "thing " .. i, time = 1700000000 + i}
  if i % 2 == 0 then kept[i] = thing end
end
local filter = ...
if filter then
  local file = assert(io.open("/proc/self/coredump_filter", "w"))
  assert(file:write(filter))
  file:close()
end
print "READY"
io.stdout:flush()
io.read()
"""


@pytest.fixture(scope="module", autouse=True)
def kernel_writes_here():
    pattern = Path("/proc/sys/kernel/core_pattern").read_text().strip()
    if "|" in pattern or "/" in pattern:
        pytest.skip(f"the kernel sends cores elsewhere: core_pattern is {pattern}")
    if resource.getrlimit(resource.RLIMIT_CORE)[1] != resource.RLIM_INFINITY:
        pytest.skip("the hard limit of `ulimit -c` is too low")


def started(folder, *arguments, limit=resource.RLIM_INFINITY):
    (folder / "program.lua").write_text(PROGRAM)
    process = subprocess.Popen(
        ["lua5.4", "program.lua", *arguments],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        env=clean_environment(),
        preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_CORE, (limit, resource.RLIM_INFINITY)
        ),
    )
    assert process.stdout.readline() == "READY\n"
    return process


def aborted(folder, *arguments, **options):
    """The core that the kernel writes, or None."""
    process = started(folder, *arguments, **options)
    process.send_signal(6)
    process.communicate(timeout=60)
    written = list(folder.glob("core*"))
    return written[0] if written else None


def counts(core):
    (tracker,) = document(core, "leaks")["trackers"]
    return tracker["leaked"], tracker["garbage"], tracker["unknown"]


def refusal(core):
    result = inspect(core, "leaks")
    assert result.returncode == 2 and result.stdout == ""
    assert json.loads(inspect(core, "leaks", "--json").stdout)["error"]["hint"]
    return result.stderr


@pytest.mark.parametrize("value", FILTERS)
def test_filters(tmp_path, value):
    core = aborted(tmp_path, hex(value))
    if value & ANONYMOUS:
        assert counts(core) == (1000, 1000, 0)
        assert "not checked" not in inspect(core, "states").stdout
        return
    assert "coredump_filter" in refusal(core)


@pytest.mark.parametrize("value", [0x33, 0x32])
def test_filters_of_gcore(tmp_path, value):
    process = started(tmp_path, hex(value))
    core = tmp_path / "gcore"
    subprocess.run(
        ["gdb", "-nx", "-batch", "-p", str(process.pid), "-ex", f"gcore {core}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=clean_environment(),
        timeout=120,
    )
    process.communicate("\n", timeout=60)
    if not core.exists():
        pytest.skip("gcore is not possible here")
    if value & ANONYMOUS:
        assert counts(core) == (1000, 1000, 0)
    else:
        assert "coredump_filter" in refusal(core)


def test_limits(tmp_path):
    """`ulimit -c` at many sizes: the heap comes first, so it is cut off soon or not at all."""
    whole = aborted(tmp_path).rename(tmp_path / "whole")
    size = whole.stat().st_size
    cut = refused = 0
    for limit in [
        *range(4, 36, 4),
        *range(36, size // 1024, 4 if LONG else size // 1024 // 24),
    ]:
        core = aborted(tmp_path, limit=1024 * limit)
        if not core:
            continue
        result = inspect(core, "leaks", "--json")
        if result.returncode == 2:
            assert "`ulimit -c`" in refusal(core)
            refused += 1
        else:
            cut += judge(core, json.loads(result.stdout))
        core.unlink()
    assert cut > 10 and refused


def judge(core, leaks):
    page = inspect(core, "states").stdout
    (vm,) = leaks["vms"]
    missing = leaks["target"]["missing_bytes"]
    if not missing:  # holes do not count: it is whole sooner than its size says
        assert vm["residual_bytes"] == 0
        return False
    assert "typical causes: `ulimit -c`, a full disk" in " ".join(page.split())
    if vm["missing_bytes"]:
        assert vm["missing_bytes"] == vm["residual_bytes"]
        assert "VM 1 lacks " in page and f" of memory are cut off" in page
        assert "would free is not known" in " ".join(inspect(core, "gc").stdout.split())
        assert not any(entry["verdict"] == "garbage" for entry in leaks["entries"])
    else:
        assert "no VM has anything there" in page
        (tracker,) = leaks["trackers"]
        assert (tracker["leaked"], tracker["garbage"]) == (1000, 1000)
    return True


def test_what_was_cut_and_then_compressed(tmp_path):
    """Whole as a stream: then it was a limit. Cut as a stream: then it was not."""
    if not shutil.which("zstd"):
        pytest.skip("zstd is not installed")
    whole = aborted(tmp_path).read_bytes()
    cut, packed = tmp_path / "cut", tmp_path / "packed.zst"
    cut.write_bytes(whole[: len(whole) * 9 // 10])
    subprocess.run(["zstd", "-q", "-o", packed, cut], check=True)
    page = " ".join(inspect(packed, "states").stdout.split())
    assert "typical causes: ProcessSizeMax= or ExternalSizeMax=" in page
    assert document(packed, "states")["target"]["ends_early"] is None
    subprocess.run(
        ["zstd", "-q", "-f", "-1", "-o", packed, "-"], input=whole, check=True
    )
    stream = packed.read_bytes()
    packed.write_bytes(stream[: len(stream) * 9 // 10])
    result = inspect(packed, "states")
    if result.returncode == 2:
        assert "the zstd stream ends early: " in result.stderr
        return
    page = " ".join(result.stdout.split())
    assert "the zstd stream ends early: " in page
    assert "typical causes: a full disk, a copy that ended early" in page
    assert "ends early" in document(packed, "states")["target"]["ends_early"]
