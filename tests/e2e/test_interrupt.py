"""Ctrl-C at any moment of any command: the partial answer, at once, and said to be partial.

Real figures are a few hundredths of a second. A test machine may be busy: what is asked of every
run is that it neither waits nor works for long after the signal, and of most of them that they are
about as quick as is promised.
"""

import json
import os
import shutil
import signal
import statistics
import subprocess
import threading
import time

import pytest
from dumped import dumped
from support import PROGRAM, ROOT, clean_environment, gdb_output

MOSTLY = 0.5  # seconds; 0.2 is promised of an idle machine of our days
GENEROUS = 2.0
LONG = bool(os.environ.get("LUA_INSPECT_LONG"))
OBJECTS = 2_000_000 if LONG else 400_000
MOMENTS = 40 if LONG else 3
PARTIAL = "interrupted: this answer is partial\n"
COMMANDS = [
    "triage",
    "leaks",
    "leaks --all",
    "heap",
    "heap --by shape",
    "retained --depth 4",
    "find",
    "find --sort class --limit 300000",
    "refs _G.world.entities",
    "paths _G.world -k 20",
    "print _G.world.entities --limit 100000",
    "strings --limit 100000",
    "strings --duplicates",
    "tables --limit 100000",
    "tables --waste",
    "globals",
    "registry",
    "coroutines",
    "bt --all",
    "gc",
    "check",
    "states",
]


@pytest.fixture(scope="module")
def core(tmp_path_factory):
    folder = tmp_path_factory.mktemp("interrupt")
    heaps = ROOT / "scripts" / "lib" / "heaps.lua"
    return dumped(folder, "lua5.4", heaps, "game", OBJECTS, name="game")


def used(pid):
    """CPU seconds of a process so far."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_until_it_listens(pid):
    """Until the process has a handler of its own for SIGINT, or is over."""
    while True:
        try:
            with open(f"/proc/{pid}/status", encoding="ascii") as file:
                (caught,) = (line for line in file if line.startswith("SigCgt:"))
        except (FileNotFoundError, ProcessLookupError, ValueError):
            return  # a zombie has no such line
        if int(caught.split()[1], 16) >> (signal.SIGINT - 1) & 1:
            return
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return
        time.sleep(0.001)


class Stopped:
    """A run of lua-inspect that gets SIGINT after so many seconds, if it takes that long."""

    def __init__(self, arguments, after=None):
        pieces = []
        start = time.monotonic()
        process = subprocess.Popen(
            [PROGRAM, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=clean_environment(),
        )
        reader = threading.Thread(target=lambda: pieces.append(process.stdout.read()))
        reader.start()
        sent = spent = 0.0
        if after is not None:
            wait_until_it_listens(process.pid)
            time.sleep(after)
            try:
                sent, spent = time.monotonic(), used(process.pid)
                os.kill(process.pid, signal.SIGINT)
            except (FileNotFoundError, ProcessLookupError):
                pass
        _, status, usage = os.wait4(process.pid, 0)
        self.seconds = time.monotonic() - (sent or start)
        self.work = usage.ru_utime + usage.ru_stime - spent
        self.status = process.returncode = os.waitstatus_to_exitcode(status)
        reader.join()
        self.text = pieces[0].decode()
        self.errors = process.stderr.read().decode()
        process.stderr.close()
        process.stdout.close()


def check_partial(run, is_json):
    """Whole, or partial and said to be so: never torn."""
    assert run.status in (0, 1, 130), run.errors
    if is_json:
        answer = json.loads(run.text)
        assert answer["partial"] == (run.status == 130)
        assert answer["target"]["kind"] == "core" and "error" not in answer
        return
    assert run.text.endswith(PARTIAL) == (run.status == 130), run.text[-300:]
    assert run.text.startswith("game.core")


@pytest.mark.parametrize("is_json", [False, True], ids=["text", "json"])
@pytest.mark.parametrize("command", COMMANDS)
def test_any_moment(core, command, is_json):
    arguments = [core, *command.split(), *(["--json"] if is_json else [])]
    whole = Stopped(arguments)
    check_partial(whole, is_json)
    stopped = []
    for i in range(MOMENTS):
        run = Stopped(arguments, whole.seconds * (i + 0.3) / MOMENTS)
        check_partial(run, is_json)
        if run.status == 130:
            stopped.append(run)
    assert stopped, "it is over before it can be interrupted"
    for run in stopped:
        assert min(run.seconds, run.work) < GENEROUS
    assert statistics.median(min(run.seconds, run.work) for run in stopped) < MOSTLY


def test_before_anything_was_found(core):
    """The signal is there when the program begins to listen: hardly anything can have been read."""
    found = []
    for moment in [0, 0, 0, 0.002, 0.005, 0.01, 0.02]:
        run = Stopped([core, "leaks", "--json"], moment)
        check_partial(run, True)
        found.append(json.loads(run.text).get("interrupted"))
    found = [seen for seen in found if seen]
    assert found, "it had an answer each time"
    for seen in found:
        assert seen["phase"] and seen["vms"] in (0, 1)
        assert seen["bytes"] > 0 or not seen["objects"]  # found, not yet read: no size


LARGE = """
local texts = {}
for i = 1, 8 do texts[i] = string.rep("x", 32000000 + i) end
print "READY" io.stdout:flush() io.read()
"""


@pytest.fixture(scope="module")
def large():
    """The id of a process of 256 MB."""
    if not shutil.which("lua5.4"):
        pytest.skip("lua5.4 is not installed")
    process = subprocess.Popen(
        ["lua5.4", "-e", LARGE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=clean_environment(),
    )
    assert process.stdout.readline() == b"READY\n"
    yield process.pid
    process.kill()
    process.communicate()


@pytest.mark.parametrize("way", ["copy", "stop", "none", "fork"])
def test_while_a_process_is_copied(large, way):
    """There is no answer yet: that is said, and the process goes on."""
    told = []
    for i in range(40):
        arguments = ["-p", large, f"--snapshot={way}", "states", "--json"]
        run = Stopped(arguments, 0.004 * i)
        if run.status == 130 and "error" in json.loads(run.text):
            told.append(json.loads(run.text)["error"])
        assert run.status in (0, 130, -signal.SIGINT), run.errors
        with open(f"/proc/{large}/stat", encoding="ascii") as file:
            assert file.read().rsplit(")", 1)[1].split()[0] in ("R", "S")
        if len(told) == 2:
            break
    assert told, "it was copied each time before the signal came"
    for error in told:
        assert error["code"] == "interrupted"
        assert error["message"].startswith("interrupted while the memory of the")


def test_what_was_seen_is_told(core):
    """Objects are read for a while: a signal then finds some of them, not all."""
    whole = json.loads(Stopped([core, "states", "--json"]).text)["vms"][0]
    seen = {}
    for i in range(60):
        run = Stopped([core, "tables", "--json", "--threads", "1"], 0.01 * i)
        answer = json.loads(run.text) if run.status == 130 else {}
        if answer.get("interrupted"):
            seen[answer["interrupted"]["phase"]] = answer["interrupted"]
    assert "reading objects" in seen, sorted(seen)
    found = seen["reading objects"]
    assert 0 < found["objects"] < whole["objects"] and found["types"] == []
    assert 0 < found["bytes"] < whole["accounted_bytes"] and found["vms"] == 1
    later = [each for each in seen.values() if each["types"]]
    assert later, sorted(seen)
    for each in later:
        assert each["objects"] == whole["objects"]
        assert sum(row["count"] for row in each["types"]) == whole["objects"]
        assert sum(row["bytes"] for row in each["types"]) == each["bytes"]


INTERRUPTED_IN_GDB = """
python
import os, signal, threading, time
import gdb
def interrupted(command, after):
    threading.Timer(after, os.kill, (os.getpid(), signal.SIGINT)).start()
    start = time.monotonic()
    try:
        gdb.execute(command)
    except KeyboardInterrupt:
        pass
    print("seconds", time.monotonic() - start - after)
for after in (0.03, 0.1, 0.2, 0.3):
    interrupted("lua-find --limit 1000000", after)
gdb.execute("lua-states")
end
"""


def test_in_gdb(core, tmp_path):
    """And the session answers afterwards as if nothing had happened."""
    script = tmp_path / "interrupt.gdb"
    script.write_text(INTERRUPTED_IN_GDB)
    output = gdb_output(f"source {script}", ["-c", core], timeout=300)
    late = [float(line.split()[1]) for line in output.splitlines() if "seconds" in line]
    assert len(late) == 4 and output.count(PARTIAL) >= 2
    assert statistics.median(late) < GENEROUS
    last = output[output.rindex("seconds") :]
    assert "1 VM" in last and PARTIAL not in last
