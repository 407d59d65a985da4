"""The commands of the library's table, run for a host.

A command runs on a thread of its own while the host's thread carries its output to the debugger.
So Ctrl-C, which debuggers turn into a KeyboardInterrupt on their own thread at any point, can never
strike inside a callback of the library, and the debugger is only ever called on its own thread.
The invariant: the host's thread does not leave a command before the command's thread has ended.

Ctrl-C while the library works cancels it and the partial answer is printed; Ctrl-C (or `q` in the
pager) while the answer is printed ends the printing.
"""

from __future__ import annotations

import codecs
import glob
import os
import threading
import time
from collections import OrderedDict, deque
from pathlib import Path
from typing import Callable, Deque, List, NamedTuple, Optional, Tuple

from .host import Host, HostError, Target
from .library import (
    CommandFailed,
    Invocation,
    Io,
    Library,
    LibraryError,
    Option,
    Place,
    Session,
    load,
)
from .worker import errands, start

INTERRUPTED = 130
FAILED = 2
PROGRESS_AFTER = 1.0  # seconds before a progress line appears
Files = Tuple[Optional[str], Optional[str], Optional[str]]  # exe, sysroot, layout

LITTLE = 0.02  # of a phase: too little to tell the time that is left
SESSIONS = 2  # kept open: two inferiors with a core each do not evict each other


class SessionKey(NamedTuple):
    """What a session was opened from. What is at one place in another version is another target:
    a core that changed on disk, a process that ran."""

    place: str
    version: Tuple[int, ...]
    exe: Optional[str]
    sysroot: Optional[str]
    layout: Optional[str]
    layout_version: int
    redact: bool = False
    redact_key: Optional[str] = None

    def supersedes(self, other: SessionKey) -> bool:
        return self.place == other.place and self.version != other.version


class Refused(HostError):
    """The library's own account of an error: whole, with name and hint."""


def sentence(message: str, hint: Optional[str]) -> str:
    """An error of this side in the form that the library gives its own."""
    return f"lua-inspect: {message}" + (f"\n  hint: {hint}" if hint else "")


class Run:
    """One command on its way: what its thread has said and the host has not heard yet."""

    def __init__(self, host: Host, quiet: bool) -> None:
        self.host = host
        self.status = FAILED
        self.failure: Optional[BaseException] = None
        self.diagnostics = ""
        self._shows_progress = not quiet and host.interactive()
        self._started = time.monotonic()
        self._pieces: Deque[str] = deque()
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._progress = ""
        self._phase = ""
        self._phase_started = 0.0
        self._progress_width = 0
        self._printing = False
        self._closed = False
        self._cancelled = False
        self._finished = False

    def io(self) -> Io:
        return Io(
            output=self._take_output,
            diagnostic=self._take_diagnostic,
            progress=self._take_progress,
            cancelled=lambda: self._cancelled,
            terminal=self.host.colour(),
        )

    # On the command's thread.

    def _take_output(self, piece: bytes) -> bool:
        self._pieces.append(self._decoder.decode(piece))
        errands.wake.set()
        return not self._closed

    def _take_diagnostic(self, text: bytes) -> None:
        self.diagnostics += text.decode("utf-8", "backslashreplace")

    def _take_progress(self, phase: str, share: float) -> None:
        """As "marking 45 %, 3 s left", in the form of the shell."""
        name = phase.partition(",")[0]  # a speed may follow
        if name != self._phase:
            self._phase, self._phase_started = name, time.monotonic()
        line = f"{phase} {100 * share:3.0f} %" if share >= 0 else phase
        if share >= LITTLE:
            elapsed = time.monotonic() - self._phase_started
            left = elapsed * (1 - share) / share if share < 1 else 0
            line += f", {left:.0f} s left"
        self._progress = line

    def _work(self, work: Callable[[], int]) -> None:
        try:
            self.status = work()
        except CommandFailed:
            self.status = FAILED
        except BaseException as error:
            self.failure = error
        self._finished = True
        errands.wake.set()

    # On the host's thread.

    def start(self, work: Callable[[], int]) -> threading.Thread:
        return start(lambda: self._work(work))

    def carry(self) -> None:
        """Carries output to the host until the command's thread is done."""
        while True:
            try:
                errands.wake.wait(0.1)
                errands.wake.clear()
                errands.run()
                finished = self._finished
                self._print()
                if finished:
                    return
                self._draw_progress()
                if self.host.interrupted() and not self._cancelled:
                    raise KeyboardInterrupt
            except KeyboardInterrupt:
                self._cancelled = True
                self._closed = self._printing

    def _print(self) -> None:
        if self._pieces:
            self._clear_progress()
        while self._pieces and not self._closed:
            self._printing = True
            self.host.write(self._pieces[0])
            self._pieces.popleft()

    def _draw_progress(self) -> None:
        if (
            self._shows_progress
            and self._progress
            and not self._printing
            and time.monotonic() - self._started > PROGRESS_AFTER
        ):
            line = self._progress[:78]
            self.host.diagnose("\r" + line.ljust(self._progress_width))
            self._progress_width = len(line)

    def _clear_progress(self) -> None:
        if self._progress_width:
            self.host.diagnose("\r" + " " * self._progress_width + "\r")
            self._progress_width = 0

    def finish(self) -> None:
        """Ends a command that said all it had to say on the host's thread."""
        self._finished = True
        errands.wake.set()
        self.carry()
        self.end()

    def end(self) -> None:
        """Says what is to be said after the answer; an answer may have been empty."""
        self._clear_progress()
        if self.failure:
            raise HostError(f"internal error: {self.failure!r}", "please report it")
        if self._closed or self.status == INTERRUPTED:
            self._diagnose()
            raise KeyboardInterrupt
        if self.status == FAILED and self.diagnostics:
            raise Refused(self.diagnostics.rstrip("\n"))
        self._diagnose()

    def _diagnose(self) -> None:
        if self.diagnostics:
            self.host.diagnose(self.diagnostics)


def _place(target: Target) -> Tuple[str, Tuple[int, ...]]:
    """Where a target is, and which version of it is there."""
    if target.core is None:
        return f"{target.remote}process {target.pid}", (target.generation,)
    try:
        status = os.stat(target.core)
    except OSError as error:
        raise HostError(
            f"{target.core}: {error.strerror}",
            "load the core again",
        ) from None
    return target.core, (status.st_mtime_ns, status.st_size)


def _changed(path: Optional[str]) -> int:
    """When the file was changed last; 0 if there is none: opening it will say so."""
    try:
        return os.stat(path).st_mtime_ns if path else 0
    except OSError:
        return 0


class Sessions:
    """Open sessions, by what they were opened from; a core that changed on disk is another one."""

    def __init__(self) -> None:
        self._open: OrderedDict[SessionKey, Session] = OrderedDict()

    @staticmethod
    def key(target: Target, files: Files) -> SessionKey:
        """`files` are what the user gave as --exe, --sysroot and --layout."""
        exe, sysroot, layout = files
        return SessionKey(
            *_place(target),
            exe or target.exe,
            sysroot or target.sysroot,
            layout,
            _changed(layout),
        )

    def has(self, key: SessionKey) -> bool:
        """Whether there is a session that still says what is true. Not every debugger tells when
        the user writes to a process's memory: that is looked at."""
        session = self._open.get(key)
        if session is not None and not session.has_same_memory():
            self._open.pop(key).close()
            session = None
        return session is not None

    def knows(self, key: SessionKey) -> bool:
        """Whether there is a session of that place, in whatever version."""
        return any(other.place == key.place for other in self._open)

    def get(self, key: SessionKey, open_it: Callable[[], Session]) -> Session:
        for other in [other for other in self._open if key.supersedes(other)]:
            self._open.pop(other).close()
        session = self._open.get(key)
        if session is None:
            session = open_it()
            self._open[key] = session
        self._open.move_to_end(key)
        while len(self._open) > SESSIONS:
            self._open.popitem(last=False)[1].close()
        return session


class Plugin:
    """The library and its sessions, for one host."""

    def __init__(self, host: Host, library: Library) -> None:
        self.host = host
        self.library = library
        self.sessions = Sessions()
        self._thread: Optional[threading.Thread] = None

    def current(self) -> Tuple[Session, Target]:
        """The session of what is loaded, as a command without --exe has it."""
        self._check_idle()
        target = self.host.target()
        key = self.sessions.key(target, (None, None, None))
        place = self._described(target, key)
        session = self.sessions.get(key, lambda: self.library.open(place))
        if target.core is None:
            session.is_current = lambda: self._is_current(target)
        return session, target

    def has_session(self) -> bool:
        """Whether something was asked about what is loaded, as it was or as it is."""
        target = self.host.target()
        return self.sessions.knows(self.sessions.key(target, (None, None, None)))

    def _is_current(self, target: Target) -> bool:
        """Whether a process has not run since it was that target."""
        try:
            return self.host.target() == target
        except HostError:
            return False

    def _described(self, target: Target, key: SessionKey) -> Place:
        """What a session of the target is opened from."""
        process = None
        if target.core is None and not self.sessions.has(key):
            process = self.host.process()
        return Place(
            target,
            process,
            key.exe,
            key.sysroot,
            key.layout,
            key.redact,
            key.redact_key,
        )

    def _check_idle(self) -> None:
        if self._thread and self._thread.is_alive():
            errands.refuse()
            raise HostError("the command before is still ending", "try again")

    def run(self, command: str, arguments: str) -> None:
        self._check_idle()
        invocation = self._parse(command, arguments)
        if invocation is None:
            return
        try:
            self._run(invocation)
        finally:
            # Unless the user left by brute force: then the thread still needs it.
            if not (self._thread and self._thread.is_alive()):
                invocation.free()

    def _parse(self, command: str, arguments: str) -> Optional[Invocation]:
        run = Run(self.host, quiet=True)
        try:
            return self.library.parse(command, arguments, run.io())
        except CommandFailed:
            run.finish()
            return None

    def _run(self, invocation: Invocation) -> None:
        run = Run(self.host, invocation.quiet())
        io = run.io()
        if invocation.needs_session():
            target = self.host.target()
            redact, redact_key = invocation.redaction()
            key = self.sessions.key(target, invocation.files())
            key = key._replace(redact=redact, redact_key=redact_key)
            place = self._described(target, key)

        def work() -> int:
            if not invocation.needs_session():
                return invocation.run(None, io)
            session = self.sessions.get(key, lambda: invocation.open(place, io))
            return invocation.run(session, io)

        self._thread = run.start(work)
        run.carry()
        self._thread.join()
        run.end()


class TableCommand:
    """A command of the library's table, under the name it has in a debugger."""

    def __init__(self, plugin: Plugin, command: str) -> None:
        self._plugin = plugin
        self._command = command
        self.name = "lua-" + command
        self.help = plugin.library.help(command)

    def run(self, arguments: str) -> None:
        try:
            self._plugin.run(self._command, self._with_thread(arguments))
        except Refused:
            raise
        except HostError as error:
            raise HostError(sentence(error.message, error.hint)) from None
        except Exception as error:
            raise HostError(
                sentence(f"internal error: {error!r}", "please report it")
            ) from None

    def _with_thread(self, arguments: str) -> str:
        """A command that asks for a native thread begins with the one the user has selected."""
        names = [option.name for option in self._plugin.library.options(self._command)]
        if "tid" not in names or "--tid" in arguments:
            return arguments
        thread = self._plugin.host.thread()
        return f"--tid {thread} {arguments}" if thread else arguments

    def complete(self, text: str) -> List[str]:
        """Words that may stand where the last word of `text` stands, whole."""
        words = text.split(" ")
        last = words[-1]
        before = [word for word in words[:-1] if word]
        options = list(self._plugin.library.options(self._command))
        names: List[str] = []
        expected = self._argument_after(before[-1], options) if before else ""
        if expected:
            names = files(last) if expected in ("FILE", "DIR") else []
        elif last.startswith("-"):
            names = ["--" + option.name for option in options]
        elif self._command in ("diff", "layout") and not before:
            names = files(last)
        elif self._command == "help" and not before:
            names = list(self._plugin.library.commands())
        return [name for name in names if name.startswith(last)]

    @staticmethod
    def _argument_after(word: str, options: List[Option]) -> str:
        for option in options:
            if word == "--" + option.name or word == "-" + (option.letter or " "):
                return option.argument
        return ""


plugin: Optional[Plugin] = None  # of the debugger that this Python runs in


def files(start: str) -> List[str]:
    """Files and folders whose path starts with `start`."""
    found = sorted(glob.glob(glob.escape(os.path.expanduser(start)) + "*"))
    return [path + "/" if os.path.isdir(path) else path for path in found]


def has_session() -> bool:
    return plugin is not None and plugin.has_session()


def register(host: Host) -> None:
    """Loads the library and registers its commands. Raises HostError if there is none to load."""
    try:
        library = load(Path(__file__).resolve().parent.parent)
    except LibraryError as error:
        raise HostError(sentence(error.message, error.hint)) from None
    global plugin
    plugin = Plugin(host, library)
    for command in library.commands():
        host.register(TableCommand(plugin, command))
