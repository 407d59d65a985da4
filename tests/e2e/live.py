"""A Lua program that runs while a debugger looks at it, and the servers of debuggers."""

import contextlib
import shutil
import socket
import subprocess
import time

import pytest
from support import clean_environment

# Each line that it is given doubles the tables that it holds, 1,000 or as many as it is told.
WORK = """
held = {}
local count = tonumber(arg[1] or 1000)
repeat
  for i = 1, math.max(count, #held) do held[#held + 1] = {i, "text number " .. #held} end
  print "READY"
  io.stdout:flush()
until not io.read()
"""


class Work:
    def __init__(self, folder, count=1000, program="lua5.4"):
        script = folder / "work.lua"
        script.write_text(WORK)
        self.process = subprocess.Popen(
            [program, str(script), str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            env=clean_environment(),
        )
        self.pid = self.process.pid
        self.wait()

    def wait(self):
        assert self.process.stdout.readline() == "READY\n"

    def send(self):
        """Gives it a line; it reads it when it runs."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self):
        self.process.kill()
        self.process.communicate()


@contextlib.contextmanager
def working(folder, *arguments):
    if not shutil.which("lua5.4"):
        pytest.skip("lua5.4 is not installed")
    work = Work(folder, *arguments)
    try:
        yield work
    finally:
        work.end()


def free_port():
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return place.getsockname()[1]


SERVERS = {
    "gdbserver": lambda place, pid: ["gdbserver", "--once", "--attach", place, pid],
    "lldb-server": lambda place, pid: [
        shutil.which("lldb-server-16") or "/usr/lib/llvm-16/bin/lldb-server",
        "gdbserver",
        "--attach",
        pid,
        place,
    ],
}


@contextlib.contextmanager
def served(pid, server):
    """A server that holds the process; "localhost:PORT" to connect to, and the server's process."""
    place = f"localhost:{free_port()}"
    line = SERVERS[server](place, str(pid))
    if not shutil.which(line[0]):
        pytest.skip(f"{line[0]} is not installed")
    process = subprocess.Popen(
        line,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    )
    try:
        wait_for_port(int(place.split(":")[1]), process)
        yield place, process
    finally:
        process.kill()
        process.wait()


def wait_for_port(port, process):
    """Until somebody listens there. To connect would use up a server that serves one."""
    wanted = f":{port:04X} "
    for _ in range(200):
        listening = ""
        for name in ("tcp", "tcp6"):
            with open(f"/proc/net/{name}") as table:
                listening += table.read()
        if any(wanted in line and " 0A " in line for line in listening.splitlines()):
            return
        assert process.poll() is None, "the server has ended"
        time.sleep(0.05)
    raise AssertionError("the server does not listen")
