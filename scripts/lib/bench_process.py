"""The processes of a benchmark: a live heap that can be collected and dumped, and measured runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Dict, List, Optional, Type

LIBRARY = Path(__file__).resolve().parent
MODULE_FOLDER = LIBRARY.parents[1] / "build" / "tests" / "heaps"
PAGE = os.sysconf("SC_PAGE_SIZE")
MODES = ("generational", "incremental")
MOST_LOOKS = 50
POLL_SECONDS = 0.0005


class Failed(Exception):
    """Cannot be measured; the text says why."""


def environment(**extra: str) -> Dict[str, str]:
    """The user's settings do not decide what is measured."""
    drop = ("LUA_INSPECT_LIBRARY", "LUA_PATH", "LUA_CPATH", "LUA_INIT")
    env = {name: value for name, value in os.environ.items() if name not in drop}
    return {**env, **extra}


@dataclass
class Run:
    """One run of a program, from its start to its end."""

    wall: float  # seconds
    user: float
    system: float
    status: int
    errors: str  # its standard error
    peak: int = 0  # bytes of anonymous memory, if that was watched


class Watch(threading.Thread):
    """The peak of a process's anonymous memory, seen every half millisecond.

    Of what is resident the kernel counts three kinds: pages of files, shared memory, and anonymous
    pages. The mapped core is all of the first kind, and the program has no shared memory; so
    resident minus shared (which is the first two kinds together), as in /proc/PID/statm, is exactly
    the memory beyond the mapped core, libraries' data and stacks included. VmHWM and ru_maxrss are
    of no use, as they count the pages of the core that were read.

    A peak shorter than the interval may be missed, and watching costs time: so a watched run is
    never a timed one.
    """

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.path = f"/proc/{pid}/statm"
        self.peak = 0
        self.ended = threading.Event()

    def run(self) -> None:
        try:
            with open(self.path, "rb", buffering=0) as file:
                while not self.ended.wait(POLL_SECONDS):
                    words = os.pread(file.fileno(), 200, 0).split()
                    if len(words) > 2:
                        seen = (int(words[1]) - int(words[2])) * PAGE
                        self.peak = max(self.peak, seen)
        except (FileNotFoundError, ProcessLookupError):
            return  # it has ended

    def stop(self) -> int:
        self.ended.set()
        self.join()
        return self.peak


def run(
    command: List[str], env: Dict[str, str], statuses: range, watched: bool = False
) -> Run:
    """Runs it with standard output to nowhere; another exit status than those is a failure.

    On a busy machine a short run may end before it was looked at: then it is watched again.
    """
    for _ in range(MOST_LOOKS if watched else 1):
        result = run_once(command, env, statuses, watched)
        if result.peak:
            break
    return result


def run_once(
    command: List[str], env: Dict[str, str], statuses: range, watched: bool
) -> Run:
    start = time.perf_counter()
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=env,
    )
    assert process.stderr
    watch = Watch(process.pid) if watched else None
    if watch:
        watch.start()
    errors = process.stderr.read().decode(errors="replace")
    # Not a zombie yet to be reaped by anybody else: the usage is of this process alone.
    _, code, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.stderr.close()
    process.returncode = os.waitstatus_to_exitcode(code)
    peak = watch.stop() if watch else 0
    if process.returncode not in statuses:
        raise Failed(f"{' '.join(command)}: exit status {process.returncode}\n{errors}")
    return Run(wall, usage.ru_utime, usage.ru_stime, process.returncode, errors, peak)


@dataclass
class Collection:
    """One collectgarbage() in the live process."""

    wall: float  # as seen from here
    cpu: float  # as the process saw it


class LiveHeap:
    """A process with one of the heaps of heaps.lua, waiting."""

    def __init__(self, name: str, size: int) -> None:
        script = LIBRARY / "heaps.lua"
        command = ["lua5.4", str(script), name, str(size), str(MODULE_FOLDER)]
        start = time.perf_counter()
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            bufsize=1,
            env=environment(),
        )
        assert self.process.stdin and self.process.stdout
        self.input, self.output = self.process.stdin, self.process.stdout
        if self.output.readline() != "READY\n":
            self.end()
            raise Failed(f"{' '.join(command)} did not come to READY")
        self.seconds_to_build = time.perf_counter() - start

    def __enter__(self) -> "LiveHeap":
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        problem: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.end()

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()

    def ask(self, line: str) -> str:
        try:
            self.input.write(line + "\n")
            self.input.flush()
            answer = self.output.readline().strip()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise Failed(f"the live process did not answer `{line}`")
        return answer

    def collect(self, mode: str) -> Collection:
        """The mode is switched before the clocks start."""
        self.ask(f"mode {mode}")
        start = time.perf_counter()
        cpu = float(self.ask("collect"))
        return Collection(time.perf_counter() - start, cpu)

    def memory(self, key: str) -> int:
        """VmRSS, VmHWM, ... in bytes."""
        text = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        lines = dict(line.split(":", 1) for line in text.splitlines())
        return int(lines[key].split()[0]) * 1024

    def forget_peak(self) -> None:
        """VmHWM counts from now."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5", encoding="ascii")

    def dump(self, core: Path) -> float:
        """Writes a core and lets the process go on; the seconds that it took."""
        free, needed = shutil.disk_usage(core.parent).free, self.memory("VmRSS")
        if free < needed * 1.1:
            raise Failed(
                f"{core.parent} has {free // 2**20:,} MiB free, the core needs about"
                f" {needed // 2**20:,}; --folder takes another place"
            )
        start = time.perf_counter()
        gdb = ["gdb", "-nx", "-batch", "-p", str(self.process.pid)]
        log = subprocess.run(
            [*gdb, "-ex", f"gcore {core}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            env=environment(),
        ).stdout
        seconds = time.perf_counter() - start
        if not core.exists():
            raise Failed("gcore is not possible here: " + log.strip().split("\n")[-1])
        # What is written back later would disturb what is measured.
        with open(core, "rb") as file:
            os.fsync(file.fileno())
        return seconds
