"""lua-inspect as a Unix tool: statuses, streams, and who gets what."""

import os
import pty
import re
import signal
import subprocess
import time

import pytest

from support import PROGRAM, clean_environment, inspect


def test_without_arguments():
    result = inspect()
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("usage: lua-inspect ")


@pytest.mark.parametrize("arguments", [["--help"], ["help"], ["help", "leaks"]])
def test_help(arguments):
    result = inspect(*arguments)
    assert result.returncode == 0
    assert "leaks" in result.stdout
    assert result.stderr == ""


def test_version():
    result = inspect("--version")
    assert result.returncode == 0
    assert result.stdout.startswith("lua-inspect ")


def test_triage_is_the_default(server_core):
    bare, named = inspect(server_core.path), inspect(server_core.path, "triage")
    assert bare.returncode == named.returncode == 1
    assert bare.stdout == named.stdout != ""


def test_nothing_found_is_status_0(server_core):
    assert inspect(server_core.path, "states").returncode == 0
    none = inspect(server_core.path, "leaks", "--description", "no such thing")
    assert none.returncode == 0


def test_options_stand_where_they_like(server_core):
    before = inspect("--json", server_core.path, "leaks")
    after = inspect(server_core.path, "leaks", "--json")
    assert before.stdout == after.stdout


def test_same_core_same_bytes(server_core):
    assert len({inspect(server_core.path, "leaks").stdout for _ in range(3)}) == 1


def test_lines_are_at_most_100_columns(server_core, make_core):
    for core in (server_core, make_core("game_server.lua", "gcore")):
        for command in ("leaks", "triage"):
            for line in inspect(core.path, command).stdout.splitlines():
                assert len(line) <= 100


def test_closed_pipe_is_quiet(server_core):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as output:
        result = subprocess.run(
            [PROGRAM, server_core.path, "leaks"],
            stdout=output,
            stderr=subprocess.PIPE,
            env=clean_environment(),
        )
    assert result.returncode in (0, 1)
    assert b"write" not in result.stderr and b"pipe" not in result.stderr


def test_full_disk_is_said(server_core):
    with open("/dev/full", "wb") as output:
        result = subprocess.run(
            [PROGRAM, server_core.path, "leaks"],
            stdout=output,
            stderr=subprocess.PIPE,
            env=clean_environment(),
        )
    assert result.returncode == 2
    assert b"cannot be written" in result.stderr


def on_terminal(arguments, **variables):
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [str(PROGRAM), *map(str, arguments)],
        stdout=slave,
        stderr=subprocess.DEVNULL,
        env=clean_environment(TERM="xterm", **variables),
    )
    os.close(slave)
    text = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:
            break
        if not piece:
            break
        text += piece
    process.wait()
    os.close(master)
    return text


def test_colour(server_core):
    command = [server_core.path, "leaks"]
    assert b"\x1b[" in on_terminal(command)
    assert b"\x1b[" not in on_terminal(command, NO_COLOR="1")
    assert b"\x1b[" not in on_terminal([*command, "--color=never"])
    assert "\x1b[" not in inspect(*command).stdout
    assert "\x1b[" in inspect(*command, "--color=always").stdout


# ---- With a stand-in for the library: what a real core is too quick for


def start(stub, *arguments, **streams):
    """Runs the front end over the stand-in, until it has said that it works."""
    env = clean_environment(LD_PRELOAD=str(stub("preloaded.so")), TERM="xterm")
    return subprocess.Popen([PROGRAM, "no.core", *arguments], env=env, **streams)


def read_until(file, words, seconds=20):
    text = b""
    end = time.monotonic() + seconds
    while words not in text and time.monotonic() < end:
        text += os.read(file, 65536)
    return text


def test_interrupt_gives_the_partial_answer(stub):
    process = start(stub, "slow", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=20)
    assert output == b"answer partial run 1\n"
    assert errors == b""  # no progress line where there is no terminal
    assert process.returncode == 130


def test_second_interrupt_ends_the_program(stub):
    process = start(stub, "deaf", stdout=subprocess.PIPE)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == -signal.SIGINT


def test_progress_on_a_terminal(stub):
    master, slave = pty.openpty()
    process = start(stub, "slow", stdout=subprocess.PIPE, stderr=slave)
    begin = time.monotonic()
    text = read_until(master, b"s left")
    assert re.search(rb"stub works +\d+ %, \d+ s left$", text)
    assert 0.9 < time.monotonic() - begin < 5  # not before a second has gone
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    os.close(slave)
    text += os.read(master, 65536)
    os.close(master)
    assert b"\n" not in text  # one line, rewritten
    assert text.endswith(b"\r") and text.rstrip(b"\r ").count(b"stub works") >= 1
    assert text.split(b"\r")[-2].strip() == b""  # and wiped in the end
