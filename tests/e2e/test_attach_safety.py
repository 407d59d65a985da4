"""A process that is looked at works on as if nobody did: a server under load, and a program that
checks every system call it makes, are attached to and left over and over, in every way, and the
tool is killed in the middle. `scripts/test --long` does it a thousand times each."""

import hashlib
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
from support import PROGRAM, ROOT, clean_environment, inspect

LONG = bool(os.environ.get("LUA_INSPECT_LONG"))
TIMES = 1000 if LONG else 20
KILLS = 50 if LONG else 8
WAYS = ["copy", "stop", "fork", "none"]


class Load:
    """A client that never stops asking, and checks each answer."""

    def __init__(self, port):
        self.connection = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.file = self.connection.makefile("rw", encoding="ascii", newline="\n")
        self.requests = 0
        self.wrong = None
        self.is_over = False
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def ask(self, line):
        self.file.write(line + "\n")
        self.file.flush()
        self.requests += 1
        return self.file.readline().rstrip("\n")

    def _run(self):
        try:
            number = 0
            while not self.is_over:
                number += 1
                key, value = f"key{number % 500}", f"value{number * 7919}"
                said = self.ask(f"SET {key} {value}")
                if said != f"OK {self.requests}":
                    raise AssertionError(
                        f"request {self.requests} was answered {said!r}"
                    )
                said = self.ask(f"GET {key}")
                if said != value:
                    raise AssertionError(f"{key} is {said!r}, not {value!r}")
        except Exception as reason:  # told by end(), on the test's thread
            self.wrong = reason

    def end(self):
        """How many requests were answered, none lost."""
        self.is_over = True
        self.thread.join(timeout=30)
        assert self.wrong is None, self.wrong
        assert self.ask("COUNT") == str(self.requests)
        return self.requests


class LuaServer:
    def __init__(self):
        self.process = subprocess.Popen(
            ["lua5.4", str(ROOT / "tests" / "attach" / "server.lua")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            env=clean_environment(),
        )
        words = self.process.stdout.readline().split()
        if words[:1] != ["READY"]:
            self.process.wait()
            pytest.skip("lua-socket is not installed")
        self.pid = self.process.pid
        self.load = Load(int(words[1]))


@pytest.fixture
def server():
    if not shutil.which("lua5.4"):
        pytest.skip("lua5.4 is not installed")
    started = LuaServer()
    yield started
    started.load.is_over = True
    started.process.kill()
    started.process.wait()
    started.load.thread.join()
    started.process.stdout.close()
    started.load.connection.close()


@pytest.fixture
def busy():
    process = subprocess.Popen(
        [str(ROOT / "build" / "tests" / "attach" / "busy")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    assert process.stdout.readline() == "READY\n"
    yield process
    process.kill()
    process.communicate()


def threads(pid):
    """State and tracer of each thread."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            text = (task / "status").read_text()
        except OSError:  # it has ended
            continue
        fields = dict(
            line.split(":\t", 1) for line in text.splitlines() if ":\t" in line
        )
        found.append((fields["State"][0], fields["TracerPid"]))
    return found


def run_free(pid):
    """Whether all threads run or wait, untraced; the kernel may take a moment."""
    for _ in range(200):
        found = threads(pid)
        if all(state in "RSDI" and tracer == "0" for state, tracer in found):
            return True
        time.sleep(0.005)
    return False


def children(pid):
    text = ""
    for task in Path(f"/proc/{pid}/task").iterdir():
        text += (task / "children").read_text()
    return text.split()


def checks(process):
    """What the busy process says in the end: name -> (times, errors)."""
    output = process.communicate(timeout=30)[0]
    assert process.returncode == 0
    lines = [line.split() for line in output.splitlines()]
    return {name: (int(times), int(errors)) for name, times, errors in lines}


@pytest.mark.parametrize("way", WAYS)
def test_no_request_is_lost(server, way):
    for _ in range(TIMES):
        result = inspect("-p", server.pid, "--snapshot", way, "states", "--brief")
        assert result.returncode == 0 or way == "none", result.stderr
    assert run_free(server.pid)
    assert children(server.pid) == []
    assert server.load.end() > TIMES


@pytest.mark.parametrize("way", WAYS)
def test_system_calls_are_not_disturbed(busy, way):
    for _ in range(TIMES):
        result = inspect("-p", busy.pid, "--snapshot", way, "states", "--brief")
        assert "no Lua" in result.stderr
    assert run_free(busy.pid)
    for name, (times, errors) in checks(busy).items():
        assert errors == 0, name
        assert times == 0 if name == "left" else times > 0, name


def killed_in_the_middle(pid, way, longest):
    """Runs the tool, and kills it after a random time."""
    process = subprocess.Popen(
        [str(PROGRAM), "-p", str(pid), "--snapshot", way, "leaks"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(random.uniform(0, longest))
    process.kill()
    return process.wait() == -signal.SIGKILL


@pytest.mark.parametrize("way", ["stop", "copy", "none"])
def test_a_tool_that_is_killed_lets_go(server, way):
    began = time.monotonic()
    assert inspect("-p", server.pid, "--snapshot", way, "leaks").returncode in (0, 1, 2)
    longest = time.monotonic() - began
    killed = 0
    for _ in range(20 * KILLS):
        killed += killed_in_the_middle(server.pid, way, longest)
        assert run_free(server.pid)
        if killed == KILLS:
            break
    assert killed == KILLS
    assert server.load.end() > KILLS


def test_it_is_stopped_while_it_is_read(server):
    """The tests above would pass if `stop` did not stop: so it does, and a kill ends that."""
    for _ in range(100):
        process = subprocess.Popen(
            [str(PROGRAM), "-p", str(server.pid), "--snapshot=stop", "leaks"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        seen = False
        while process.poll() is None and not seen:
            seen = all(state == "t" for state, _ in threads(server.pid))
        process.kill()
        process.wait()
        if seen:
            break
    assert seen
    assert run_free(server.pid)
    assert server.load.end() > 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("way", WAYS)
def test_signals_let_go(server, way, number):
    for _ in range(KILLS):
        process = subprocess.Popen(
            [str(PROGRAM), "-p", str(server.pid), "--snapshot", way, "leaks"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(random.uniform(0, 0.03))
        process.send_signal(number)
        process.wait(timeout=30)
        assert run_free(server.pid)
    assert children(server.pid) == []
    assert server.load.end() > 0


def checksum(pid, only_heap):
    """Of the private writable memory, or of malloc's heap alone."""
    found = hashlib.sha256()
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            words = line.split()
            if words[1] != "rw-p" or only_heap and words[-1] != "[heap]":
                continue
            start, end = (int(word, 16) for word in words[0].split("-"))
            memory.seek(start)
            found.update(line.encode() + memory.read(end - start))
    return found.hexdigest()


@pytest.mark.parametrize("way", WAYS)
def test_no_memory_changes(server, way):
    """While job control holds it. A fork goes through the kernel, which writes the processor's
    number into the thread's own block (rseq): there the heap counts."""
    server.process.send_signal(signal.SIGSTOP)
    while any(state != "T" for state, _ in threads(server.pid)):
        time.sleep(0.001)
    before = checksum(server.pid, way == "fork")
    for _ in range(3):
        assert inspect("-p", server.pid, "--snapshot", way, "leaks").returncode in (
            0,
            1,
        )
        assert checksum(server.pid, way == "fork") == before
    for _ in range(200):  # it is still stopped
        if all(found == ("T", "0") for found in threads(server.pid)):
            break
        time.sleep(0.005)
    assert threads(server.pid) == [("T", "0")]
    server.process.send_signal(signal.SIGCONT)
    assert run_free(server.pid)
    assert server.load.end() > 0
