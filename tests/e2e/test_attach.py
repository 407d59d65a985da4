"""Running processes, read from the shell: the same answers as from a core, and nothing harmed."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from support import PROGRAM, ROOT, Server, gcore, inspect

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


# ---- Who cannot be read, and what to do instead


@pytest.fixture
def busy():
    started = []

    def start(*arguments, prefix=()):
        program = ROOT / "build" / "tests" / "attach" / "busy"
        process = subprocess.Popen(
            [*prefix, str(program), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        started.append(process)
        assert process.stdout.readline() == "READY\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def refusal(pid, *options, prefix=()):
    """Message and hint."""
    line = [*prefix, str(PROGRAM), "-p", str(pid), *options, "states"]
    result = subprocess.run(line, capture_output=True, encoding="utf-8", timeout=60)
    assert result.returncode == 2 and result.stdout == ""
    message, hint = result.stderr.splitlines()
    assert message.startswith("lua-inspect: ") and hint.startswith("  hint: ")
    return message[len("lua-inspect: ") :], hint[len("  hint: ") :]


def test_no_such_process():
    message, hint = refusal(2**22 - 3)
    assert message == "there is no process 4194301" and "ps -ef" in hint


def test_a_zombie():
    process = subprocess.Popen(["true"])
    while state(process.pid) != "Z":
        pass
    message, hint = refusal(process.pid)
    assert message == f"process {process.pid} (true) has ended: it is a zombie"
    assert f"its parent {os.getpid()} has not waited" in hint
    process.wait()


def test_a_thread(busy):
    pid = busy().pid
    tasks = sorted(int(task.name) for task in Path(f"/proc/{pid}/task").iterdir())
    thread = tasks[1]  # the first that it has started: it lives on
    message, hint = refusal(thread)
    assert message == f"{thread} is a thread of process {pid} (busy)"
    assert hint == f"give the process: -p {pid}"


def test_a_thread_of_the_kernel():
    if Path("/proc/2/comm").read_text() != "kthreadd\n":
        pytest.skip("in this pid namespace there are none")
    assert refusal(2)[0] == "process 2 (kthreadd) is a thread of the kernel"


def test_itself():
    line = f"exec {PROGRAM} -p $$ states"
    result = subprocess.run(["sh", "-c", line], capture_output=True, encoding="utf-8")
    assert result.returncode == 2 and "is this one" in result.stderr


def test_a_process_that_a_debugger_holds(server):
    pid = server.process.pid
    gdb = subprocess.Popen(
        ["gdb", "-nx", "-q", "-p", str(pid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while state(pid) != "t":
        assert gdb.poll() is None, "gdb may not attach"
    message, hint = refusal(pid)
    assert message == f"process {pid} is already traced by process {gdb.pid} (gdb)"
    assert "--snapshot=none" in hint
    result = inspect("-p", pid, "--snapshot=none", "states")
    assert result.returncode == 0 and "residual 0 B" in result.stdout
    gdb.communicate(b"detach\nquit\n")
    assert inspect("-p", pid, "states").returncode == 0


NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


def needs_root():
    if os.getuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("changes the user: as root only")
    if (
        subprocess.call(
            [*NOBODY, PROGRAM, "--version"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        != 0
    ):
        pytest.skip("others cannot reach the build folder")


def test_a_process_of_somebody_else(busy):
    needs_root()
    pid = busy().pid
    message, hint = refusal(pid, prefix=NOBODY)
    assert message == f"process {pid} belongs to user root: we may not read it"
    assert "sudo" in hint


def test_a_process_of_our_own_without_rights(busy):
    needs_root()
    pid = busy(prefix=NOBODY).pid
    result = subprocess.run(
        [*NOBODY, str(PROGRAM), "-p", str(pid), "states"],
        capture_output=True,
        encoding="utf-8",
    )
    if "ptrace_scope" in result.stderr:
        assert "sudo" in result.stderr
    else:
        assert "no Lua" in result.stderr and STOPPED.search(result.stderr)


def test_a_guarded_process(busy):
    needs_root()
    pid = busy("--guarded", prefix=NOBODY).pid
    message, hint = refusal(pid, prefix=NOBODY)
    assert message == f"process {pid} is guarded (not dumpable): only root may read it"
    assert "sudo" in hint


def test_the_id_that_a_process_has_in_a_container():
    if not shutil.which("unshare"):
        pytest.skip("unshare is not installed")
    # Low ids are taken out here, by threads of the kernel.
    inside = "echo 3999990 > /proc/sys/kernel/ns_last_pid; for i in 1 2 3; do sleep 60 & done; wait"
    outer = subprocess.Popen(
        ["unshare", "--pid", "--fork", "--kill-child", "sh", "-c", inside],
        stderr=subprocess.DEVNULL,
    )
    known = {}
    while len(known) < 3:
        if outer.poll() is not None:
            pytest.skip("no pid namespace can be made here")
        for path in Path("/proc").glob("[0-9]*/status"):
            try:
                text = path.read_text()
            except OSError:
                continue
            ids = re.search(r"^NSpid:\t(\d+)\t(\d+)$", text, re.M)
            if ids and text.startswith("Name:\tsleep"):
                known[int(ids[2])] = int(ids[1])
    absent = [pid for pid in known if not Path(f"/proc/{pid}").exists()]
    try:
        if not absent:
            pytest.skip("their ids are taken out here as well")
        message, hint = refusal(absent[0])
        assert message == f"there is no process {absent[0]}"
        assert f"lua-inspect -p {known[absent[0]]}" in hint
    finally:
        outer.kill()
        outer.wait()


def test_no_fork_under_seccomp(busy):
    pid = busy("--filtered").pid
    message, hint = refusal(pid, "--snapshot=fork")
    assert "runs under seccomp" in message and "copy" in hint


def test_a_program_that_was_deleted(tmp_path):
    """The file is read through /proc: symbols, debug info and release are there."""
    if not shutil.which("lua5.4"):
        pytest.skip("lua5.4 is not installed")
    program = tmp_path / "lua"
    shutil.copy2(os.path.realpath(shutil.which("lua5.4")), program)
    running = Server(ROOT / "cores" / "server.lua", tmp_path, str(program))
    program.unlink()
    vms = json.loads(inspect("-p", running.process.pid, "states", "--json").stdout)[
        "vms"
    ]
    running.answer()
    assert vms[0]["release"] and vms[0]["release"].startswith("5.4.")


def test_a_process_with_other_files(tmp_path):
    """In a chroot: its files are looked for below its own root."""
    needs_root()
    program = tmp_path / "lua"
    shutil.copy2(os.path.realpath(shutil.which("lua5.4")), program)
    shutil.copy2(ROOT / "cores" / "server.lua", tmp_path)
    for name in subprocess.run(
        ["ldd", str(program)], capture_output=True, encoding="utf-8"
    ).stdout.split():
        if name.startswith("/"):
            (tmp_path / name[1:]).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(name, tmp_path / name[1:])
    running = Server("/server.lua", tmp_path, "chroot", str(tmp_path), "/lua")
    vms = json.loads(inspect("-p", running.process.pid, "states", "--json").stdout)[
        "vms"
    ]
    running.answer()
    assert vms[0]["release"] and vms[0]["release"].startswith("5.4.")
