"""Programs that say READY and wait, dumped there."""

import resource
import shutil
import subprocess

import pytest
from minicore import write_core
from support import clean_environment


def dumped(folder, *command, name="program"):
    """The core of a program that prints READY and then reads a line."""
    return dumped_saying(folder, *command, name=name)[0]


def dumped_saying(folder, *command, name="program"):
    """The core, and the line that begins with READY."""
    core = folder / f"{name}.core"
    process = subprocess.Popen(
        list(map(str, command)),
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        env=clean_environment(),
    )
    said = process.stdout.readline()
    assert said.startswith("READY"), said
    write_core(process.pid, core)
    process.communicate("\n", timeout=60)
    return core, said


def cpu_seconds(work):
    """What `work` returns, and the CPU time that the processes it waited for have used."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    result = work()
    return result, resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


def lua_host(folder, source):
    """A C program that embeds Debian's Lua 5.4, built from one file."""
    query = ["pkg-config", "--cflags", "--libs", "lua5.4"]
    if not shutil.which("pkg-config") or subprocess.run(query, check=False).returncode:
        pytest.skip("liblua5.4-dev is not installed")
    flags = subprocess.run(query, check=True, stdout=subprocess.PIPE, text=True).stdout
    program = folder / folder.name.rstrip("0123456789")
    command = ["gcc", "-std=gnu17", "-Wall", "-Werror", "-o", program, source]
    subprocess.run([*command, *flags.split(), "-lpthread"], check=True)
    return program
