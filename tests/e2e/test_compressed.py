"""Cores as systemd-coredump keeps them, compressed, are read as they are."""

import json
import os
import shutil
import signal
import subprocess
import time

import pytest

from debuggers import DEBUGGERS
from support import PROGRAM, clean_environment, document, inspect

GDB, LLDB = DEBUGGERS["gdb"], DEBUGGERS["lldb"]
PACKERS = {
    "zst": ["zstd", "-q", "-c"],
    "lz4": ["lz4", "-q", "-c"],
    "xz": ["xz", "-c"],
    "gz": ["gzip", "-n", "-c"],
}


def pack(core, target, *command):
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    with open(core, "rb") as source, open(target, "wb") as packed:
        subprocess.run(command, stdin=source, stdout=packed, check=True)
    shutil.copystat(core, target)  # ages count from the file's time
    return target


@pytest.fixture
def core(kept_core):
    return kept_core("debian-5.4.4")


@pytest.mark.parametrize("suffix", PACKERS)
def test_the_answer_is_that_of_the_plain_core(core, tmp_path, suffix):
    """The name says nothing: it is the first bytes that count."""
    packed = pack(core, tmp_path / core.name, *PACKERS[suffix])
    for command in (["leaks"], ["triage"], ["states", "-v"]):
        plain, same = (inspect(path, *command) for path in (core, packed))
        assert plain.stdout == same.stdout != ""
        assert plain.returncode == same.returncode
    wanted, got = document(core, "leaks"), document(packed, "leaks")
    assert wanted["target"].pop("path") == str(core)
    assert got["target"].pop("path") == str(packed)
    assert wanted == got


def test_a_compressed_older_core(core, tmp_path):
    packed = pack(core, tmp_path / "older.zst", *PACKERS["zst"])
    assert inspect(core, "diff", packed).returncode == 0


def test_no_temporary_file_is_left(core, tmp_path):
    packed = pack(core, tmp_path / "core.zst", *PACKERS["zst"])
    folder = tmp_path / "temporary"
    folder.mkdir()
    result = inspect(packed, "leaks", env=clean_environment(TMPDIR=str(folder)))
    assert result.returncode == 1 and not list(folder.iterdir())


def test_limit(core, tmp_path):
    packed = pack(core, tmp_path / "core.zst", *PACKERS["zst"])
    result = inspect(packed, "leaks", "--max-decompressed", "100K")
    assert result.returncode == 2 and result.stdout == ""
    assert (
        "is compressed, and holds more than 0 MB, which is the limit" in result.stderr
    )
    assert "--max-decompressed N" in result.stderr
    assert inspect(packed, "leaks", "--max-decompressed", "20M").returncode == 1


def test_an_archive_is_no_core(tmp_path):
    (tmp_path / "file").write_text("hello")
    subprocess.run(["tar", "-czf", "core.gz", "file"], cwd=tmp_path, check=True)
    result = inspect(tmp_path / "core.gz")
    assert result.returncode == 2
    assert "what is in it is no ELF core" in result.stderr


@pytest.fixture(scope="module")
def endless(tmp_path_factory):
    """A core with 60 GB of zeros behind it, in 2 MB: some twenty seconds of decompression."""
    if not shutil.which("zstd"):
        pytest.skip("zstd is not installed")
    folder = tmp_path_factory.mktemp("endless")
    with open(folder / "zeros", "wb") as zeros:
        zeros.truncate(1 << 30)
    frame = subprocess.run(
        ["zstd", "-q", "-1", "-c", folder / "zeros"], stdout=subprocess.PIPE, check=True
    ).stdout
    header = subprocess.run(
        ["zstd", "-q", "-c"], input=b"\x7fELF" * 64, stdout=subprocess.PIPE, check=True
    ).stdout
    (folder / "endless.zst").write_bytes(header + 60 * frame)
    return folder / "endless.zst"


def test_bomb(endless):
    result = inspect(endless, "--max-decompressed", "2G")
    assert result.returncode == 2
    assert "holds more than 2000 MB" in result.stderr


def test_interruption(endless):
    process = subprocess.Popen(
        [str(PROGRAM), str(endless), "leaks", "--json"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=clean_environment(),
    )
    time.sleep(0.7)
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 130 and time.monotonic() - started < 5
    assert json.loads(output)["error"]["code"] == "interrupted"


@pytest.mark.skipif(
    not os.environ.get("LUA_INSPECT_LONG"), reason="writes 1 GB: scripts/test --long"
)
def test_what_no_core_compresses_to_is_refused(tmp_path):
    if not shutil.which("zstd"):
        pytest.skip("zstd is not installed")
    with open(tmp_path / "bomb.zst", "wb") as packed:
        zstd = subprocess.Popen(
            ["zstd", "-q", "-c"], stdin=subprocess.PIPE, stdout=packed
        )
        zstd.stdin.write(b"\x7fELF")
        for _ in range(2000):
            zstd.stdin.write(b"A" * 1_000_000)
        zstd.communicate()
    result = inspect(tmp_path / "bomb.zst")
    assert result.returncode == 2
    assert "less than a thousandth" in result.stderr


def inspect_by(line, typed):
    """What a debugger prints."""
    return subprocess.run(
        list(map(str, line)),
        input=typed,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        env=clean_environment(),
        timeout=60,
    ).stdout


def test_gdb_and_lldb(core, tmp_path):
    """Neither loads it; that it was meant is plain from the command line."""
    packed = pack(core, tmp_path / core.name, *PACKERS["zst"])
    wanted = inspect(core, "states").stdout
    for meant in ([packed], ["-c", packed]):
        line = [
            "gdb",
            "-nx",
            "-q",
            "-batch",
            "-ex",
            GDB.load_plugin,
            "-ex",
            "lua-states",
        ]
        assert wanted in inspect_by([*line, *meant], "")
    typed = f"{LLDB.load_plugin}\nlua-states\n"
    if shutil.which(LLDB.program):
        assert wanted in inspect_by([LLDB.program, "-x", "-c", packed], typed)
