"""Binding of inspect.h. Structures and functions have the names and meanings they have there.

The only file that imports ctypes. No callback lets an exception escape into C, and none of them
calls the debugger: a command runs on a thread of its own (see commands.py).
"""

from __future__ import annotations

import ctypes
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

from .host import Gone, Process, Target
from .worker import errands

ABI = 2  # INSPECT_ABI of the inspect.h that this file was written from

_OUTPUT = ctypes.CFUNCTYPE(
    ctypes.c_bool, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t
)
_DIAGNOSTIC = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
_PROGRESS = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_double)
_CANCELLED = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p)
_READ = ctypes.CFUNCTYPE(
    ctypes.c_int64, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_void_p, ctypes.c_size_t
)
_SNAPSHOT_HELD = 4
_READ_GONE, _READ_INTERRUPTED = -1, -2


class _Io(ctypes.Structure):
    _fields_ = [
        ("context", ctypes.c_void_p),
        ("output", _OUTPUT),
        ("diagnostic", _DIAGNOSTIC),
        ("progress", _PROGRESS),
        ("cancelled", _CANCELLED),
        ("terminal", ctypes.c_bool),
    ]


class _Thread(ctypes.Structure):
    _fields_ = [
        ("tid", ctypes.c_int64),
        ("stack_pointer", ctypes.c_uint64),
        ("program_counter", ctypes.c_uint64),
        ("registers", ctypes.POINTER(ctypes.c_uint64)),
        ("register_count", ctypes.c_size_t),
    ]


class _Region(ctypes.Structure):
    _fields_ = [
        ("start", ctypes.c_uint64),
        ("end", ctypes.c_uint64),
        ("file_offset", ctypes.c_uint64),
        ("path", ctypes.c_char_p),
        ("readable", ctypes.c_bool),
        ("writable", ctypes.c_bool),
        ("executable", ctypes.c_bool),
        ("shared", ctypes.c_bool),
    ]


class _Remote(ctypes.Structure):
    _fields_ = [
        ("context", ctypes.c_void_p),
        ("read", _READ),
        ("pid", ctypes.c_int64),
        ("entry", ctypes.c_uint64),
        ("regions", ctypes.POINTER(_Region)),
        ("region_count", ctypes.c_size_t),
    ]


class _Target(ctypes.Structure):
    _fields_ = [
        ("core", ctypes.c_char_p),
        ("pid", ctypes.c_int64),
        ("exe", ctypes.c_char_p),
        ("sysroot", ctypes.c_char_p),
        ("layout", ctypes.c_char_p),
        ("snapshot", ctypes.c_int),
        ("remote", ctypes.POINTER(_Remote)),
        ("threads", ctypes.POINTER(_Thread)),
        ("thread_count", ctypes.c_size_t),
        ("redact", ctypes.c_bool),
        ("redact_key", ctypes.c_char_p),
        ("max_decompressed", ctypes.c_uint64),
        ("io", ctypes.POINTER(_Io)),
    ]


class _Option(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("letter", ctypes.c_char),
        ("argument", ctypes.c_char_p),
        ("help", ctypes.c_char_p),
    ]


class _Command(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("synopsis", ctypes.c_char_p),
        ("summary", ctypes.c_char_p),
        ("help", ctypes.c_char_p),
    ]


class _Error(ctypes.Structure):
    _fields_ = [
        ("code", ctypes.c_int),
        ("has_address", ctypes.c_bool),
        ("address", ctypes.c_uint64),
        ("message", ctypes.c_char_p),
        ("hint", ctypes.c_char_p),
    ]


class _Vm(ctypes.Structure):
    _fields_ = [
        ("lua", ctypes.c_char_p),
        ("release", ctypes.c_char_p),
        ("address", ctypes.c_uint64),
        ("heap_bytes", ctypes.c_uint64),
        ("accounted_bytes", ctypes.c_uint64),
        ("residual_bytes", ctypes.c_int64),
        ("object_bytes", ctypes.c_uint64),
        ("objects", ctypes.c_uint64),
        ("coroutines", ctypes.c_uint64),
    ]


class _Filter(ctypes.Structure):
    _fields_ = [
        ("least_bytes", ctypes.c_uint64),
        ("least_retained", ctypes.c_uint64),
        ("types", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("without_flags", ctypes.c_uint32),
        ("vm", ctypes.c_uint32),
        ("classes", ctypes.c_char_p),
        ("class_count", ctypes.c_uint32),
    ]


_Table = Dict[str, Tuple[Any, List[Any]]]  # name -> result, arguments

_FUNCTIONS: _Table = {
    "inspect_invocation_parse_line": (
        ctypes.c_void_p,
        [ctypes.c_char_p, ctypes.c_char_p, ctypes.POINTER(ctypes.c_void_p)],
    ),
    "inspect_invocation_target": (ctypes.POINTER(_Target), [ctypes.c_void_p]),
    "inspect_invocation_quiet": (ctypes.c_bool, [ctypes.c_void_p]),
    "inspect_invocation_free": (None, [ctypes.c_void_p]),
    "inspect_session_open": (
        ctypes.c_void_p,
        [ctypes.POINTER(_Target), ctypes.POINTER(ctypes.c_void_p)],
    ),
    "inspect_session_close": (None, [ctypes.c_void_p]),
    "inspect_session_is_current": (ctypes.c_bool, [ctypes.c_void_p]),
    "inspect_invocation_run": (
        ctypes.c_int,
        [ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(_Io)],
    ),
    "inspect_report_error": (
        ctypes.c_int,
        [ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(_Io)],
    ),
    "inspect_command_at": (ctypes.POINTER(_Command), [ctypes.c_size_t]),
    "inspect_command_option_at": (
        ctypes.POINTER(_Option),
        [ctypes.c_char_p, ctypes.c_size_t],
    ),
    # A void pointer, not a string: it must come back to inspect_free.
    "inspect_command_help": (ctypes.c_void_p, [ctypes.c_char_p]),
    "inspect_free": (None, [ctypes.c_void_p]),
}


# What scripts need beyond commands: section 5 of inspect.h, and errors as they are. Rows and
# numbers are passed as addresses of the caller's buffers.
_FOR_SCRIPTS: _Table = {
    "inspect_error_name": (ctypes.c_char_p, [ctypes.c_int]),
    "inspect_error_free": (None, [ctypes.c_void_p]),
    "inspect_invocation_parse": (
        ctypes.c_void_p,
        [
            ctypes.c_int,
            ctypes.POINTER(ctypes.c_char_p),
            ctypes.POINTER(ctypes.c_void_p),
        ],
    ),
    "inspect_session_prepare": (
        ctypes.c_void_p,
        [ctypes.c_void_p, ctypes.c_uint, ctypes.POINTER(_Io)],
    ),
    "inspect_session_prepared": (ctypes.c_uint, [ctypes.c_void_p]),
    "inspect_vm_count": (ctypes.c_uint32, [ctypes.c_void_p]),
    "inspect_vm_at": (
        ctypes.c_bool,
        [ctypes.c_void_p, ctypes.c_uint32, ctypes.POINTER(_Vm)],
    ),
    "inspect_object_count": (ctypes.c_uint32, [ctypes.c_void_p]),
    "inspect_objects": (
        ctypes.c_size_t,
        [
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_uint32,
            ctypes.c_size_t,
            ctypes.c_void_p,
        ],
    ),
    "inspect_select": (
        ctypes.c_size_t,
        [
            ctypes.c_void_p,
            ctypes.POINTER(_Filter),
            ctypes.c_void_p,
            ctypes.c_uint32,
            ctypes.c_size_t,
            ctypes.c_void_p,
        ],
    ),
    "inspect_object_at": (ctypes.c_uint32, [ctypes.c_void_p, ctypes.c_uint64]),
    "inspect_object_named": (
        ctypes.c_void_p,
        [
            ctypes.c_void_p,
            ctypes.c_char_p,
            ctypes.c_uint32,
            ctypes.POINTER(ctypes.c_uint32),
        ],
    ),
    "inspect_object_string": (
        ctypes.c_void_p,
        [ctypes.c_void_p, ctypes.c_uint32, ctypes.POINTER(ctypes.c_size_t)],
    ),
    "inspect_object_words": (ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_uint32]),
    "inspect_type_name": (ctypes.c_char_p, [ctypes.c_uint32]),
    "inspect_class_name": (ctypes.c_char_p, [ctypes.c_void_p, ctypes.c_uint32]),
    "inspect_reference_count": (ctypes.c_size_t, [ctypes.c_void_p, ctypes.c_uint32]),
    "inspect_references": (
        ctypes.c_size_t,
        [
            ctypes.c_void_p,
            ctypes.c_uint32,
            ctypes.c_size_t,
            ctypes.c_size_t,
            ctypes.c_void_p,
        ],
    ),
    "inspect_reference_label": (
        ctypes.c_void_p,
        [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_size_t],
    ),
    "inspect_referrers": (
        ctypes.c_void_p,
        [
            ctypes.c_void_p,
            ctypes.c_uint32,
            ctypes.POINTER(_Io),
            ctypes.POINTER(ctypes.c_void_p),
            ctypes.POINTER(ctypes.c_size_t),
        ],
    ),
    "inspect_kind_name": (ctypes.c_char_p, [ctypes.c_uint32]),
    "inspect_strength_name": (ctypes.c_char_p, [ctypes.c_uint32]),
}


class Error(Exception):
    """What the library says instead of an answer.

    code     "not-found", "target", "usage", "system", "unreadable", "unsupported", "no-memory"
    message  one sentence
    hint     what to do next, or None
    address  of what in the target it is about, or None
    """

    def __init__(
        self,
        code: str,
        message: str,
        hint: Optional[str] = None,
        address: Optional[int] = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.address = address

    def __str__(self) -> str:
        return self.message + (f" (hint: {self.hint})" if self.hint else "")


class LibraryError(Error):
    """The library cannot be used."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__("system", message, hint)


class CommandFailed(Exception):
    """The library refused a command; it has already said why, through the io."""


@dataclass(frozen=True)
class Option:
    name: str
    letter: str
    argument: str


@dataclass
class Io:
    """Callbacks of a running command; called on the thread that runs it."""

    output: Callable[[bytes], bool]
    diagnostic: Callable[[bytes], None]
    progress: Callable[[str, float], None]
    cancelled: Callable[[], bool]
    terminal: bool


def _text(value: Optional[bytes]) -> str:
    return value.decode("utf-8", "backslashreplace") if value else ""


def _path(value: Optional[str]) -> Optional[bytes]:
    return os.fsencode(value) if value else None


def _guarded(function: Callable[..., Any], otherwise: Any) -> Callable[..., Any]:
    """An exception in a callback has nowhere to go: ctypes would print a traceback."""

    def call(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except BaseException:
            return otherwise

    return call


def _io_structure(io: Io) -> _Io:
    def bytes_at(address: Optional[int], size: int) -> bytes:
        return ctypes.string_at(address, size) if address and size else b""

    return _Io(
        None,
        _OUTPUT(_guarded(lambda _, text, size: io.output(bytes_at(text, size)), False)),
        _DIAGNOSTIC(
            _guarded(lambda _, text, size: io.diagnostic(bytes_at(text, size)), None)
        ),
        _PROGRESS(
            _guarded(lambda _, phase, share: io.progress(_text(phase), share), None)
        ),
        _CANCELLED(_guarded(lambda _: io.cancelled(), False)),
        io.terminal,
    )


@dataclass(frozen=True)
class Place:
    """All that a session is opened from."""

    target: Target
    process: Optional[Process] = None  # of a target that is one
    exe: Optional[str] = None
    sysroot: Optional[str] = None
    layout: Optional[str] = None
    redact: bool = False
    redact_key: Optional[str] = None
    # The thread that may ask the debugger: the one that makes this.
    thread: int = field(default_factory=threading.get_ident)

    def structure(self) -> _Target:
        """As inspect.h has it. What it points to lives as long as it does; the session needs the
        callback in it."""
        result = _Target(
            core=_path(self.target.core),
            exe=_path(self.exe),
            sysroot=_path(self.sysroot),
            layout=_path(self.layout),
            redact=self.redact,
            redact_key=_path(self.redact_key),
        )
        process = self.process or Process()
        threads = (_Thread * len(process.threads))()
        for row, thread in zip(threads, process.threads):
            count = len(thread.registers)
            row.tid = thread.tid
            row.stack_pointer = thread.stack_pointer
            row.program_counter = thread.program_counter
            row.registers = (ctypes.c_uint64 * count)(*thread.registers)
            row.register_count = count
        result.threads, result.thread_count = threads, len(threads)
        if self.target.remote:
            result.remote = ctypes.pointer(self._remote(process))
        elif self.target.core is None:
            result.pid, result.snapshot = self.target.pid, _SNAPSHOT_HELD
        return result

    def _remote(self, process: Process) -> _Remote:
        regions = (_Region * len(process.regions))()
        for row, region in zip(regions, process.regions):
            row.start, row.end, row.file_offset = (
                region.start,
                region.end,
                region.offset,
            )
            row.path = os.fsencode(region.path)
            row.readable, row.writable, row.executable, row.shared = (
                letter == wanted for letter, wanted in zip(region.permissions, "rwxs")
            )
        return _Remote(
            read=_READ(_guarded(self._read, _READ_GONE)),
            pid=self.target.pid,
            entry=process.entry,
            regions=regions,
            region_count=len(regions),
        )

    def _read(self, _: Any, address: int, buffer: int, size: int) -> int:
        assert self.process is not None
        read = self.process.read
        try:
            if threading.get_ident() == self.thread:
                content = read(address, size)
            else:
                content = errands.ask(lambda: read(address, size))
        except Gone:
            return _READ_GONE
        except KeyboardInterrupt:
            return _READ_INTERRUPTED
        content = content[:size]
        ctypes.memmove(buffer, content, len(content))
        return len(content)


class Session:
    """An opened target. Used by one thread at a time."""

    def __init__(
        self, library: Library, handle: ctypes.c_void_p, opened_from: _Target
    ) -> None:
        self.library = library
        self.handle = handle
        # False when the target is another one by now; asked on the debugger's own thread.
        self.is_current: Callable[[], bool] = lambda: True
        self._opened_from = (
            opened_from  # its callback is used as long as the session is open
        )

    def has_same_memory(self) -> bool:
        """Whether the memory of a process that the debugger holds is what was read."""
        return bool(self.library.functions.inspect_session_is_current(self.handle))

    def close(self) -> None:
        self.library.functions.inspect_session_close(self.handle)
        self.handle = ctypes.c_void_p()


def _silent(cancelled: Callable[[], bool]) -> Io:
    return Io(
        output=lambda _: True,
        diagnostic=lambda _: None,
        progress=lambda _, __: None,
        cancelled=cancelled,
        terminal=False,
    )


class Cursors:
    """Section 5 of inspect.h for one session; buffers are passed by address (array.buffer_info).

    Every call makes sure that the session is still open.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._thread = threading.get_ident()
        self._library = session.library
        self._functions = session.library.for_scripts()

    @property
    def session(self) -> Session:
        if not self._session.handle:
            raise Error(
                "usage",
                "the session is closed",
                "open the core again: lua_inspect.open(core), "
                "or lua_inspect.current() in a debugger",
            )
        is_own = threading.get_ident() == self._thread
        if is_own and not self._session.is_current():
            raise Error(
                "usage",
                "the process has run, or was changed, since it was read",
                "lua_inspect.current() reads it again",
            )
        return self._session

    @property
    def _handle(self) -> ctypes.c_void_p:
        return self.session.handle

    def prepare(self, stages: int, cancelled: Callable[[], bool]) -> None:
        structure = _io_structure(_silent(cancelled))
        error = self._functions.inspect_session_prepare(
            self._handle, stages, ctypes.byref(structure)
        )
        if error:
            raise self._library.taken_error(error)

    def prepared(self) -> int:
        return int(self._functions.inspect_session_prepared(self._handle))

    def vms(self) -> Iterator[Dict[str, Any]]:
        """The fields of struct inspect_vm, by name."""
        row = _Vm()
        for index in range(1, self._functions.inspect_vm_count(self._handle) + 1):
            self._functions.inspect_vm_at(self._handle, index, ctypes.byref(row))
            fields = {name: getattr(row, name) for name, _ in _Vm._fields_}
            fields["lua"] = _text(row.lua)
            fields["release"] = _text(row.release) or None
            yield fields

    def object_count(self) -> int:
        return int(self._functions.inspect_object_count(self._handle))

    def objects(self, numbers: Optional[int], first: int, count: int, to: int) -> int:
        return int(
            self._functions.inspect_objects(self._handle, numbers, first, count, to)
        )

    def select(
        self,
        wanted: Dict[str, Any],
        numbers: Optional[int],
        first: int,
        count: int,
        to: int,
    ) -> int:
        """`wanted` are fields of struct inspect_filter."""
        filter_ = _Filter(**wanted)
        return int(
            self._functions.inspect_select(
                self._handle, ctypes.byref(filter_), numbers, first, count, to
            )
        )

    def object_at(self, address: int) -> int:
        return int(self._functions.inspect_object_at(self._handle, address))

    def object_named(self, path: str, vm: int) -> int:
        number = ctypes.c_uint32()
        error = self._functions.inspect_object_named(
            self._handle,
            path.encode("utf-8", "surrogateescape"),
            vm,
            ctypes.byref(number),
        )
        if error:
            raise self._library.taken_error(error)
        return number.value

    def string(self, number: int) -> Optional[bytes]:
        size = ctypes.c_size_t()
        memory = self._functions.inspect_object_string(
            self._handle, number, ctypes.byref(size)
        )
        return bytes(ctypes.string_at(memory, size.value)) if memory else None

    def words(self, number: int) -> str:
        memory = self._functions.inspect_object_words(self._handle, number)
        return self._library.taken_text(memory) or ""

    def reference_count(self, number: int) -> int:
        return int(self._functions.inspect_reference_count(self._handle, number))

    def references(self, number: int, first: int, count: int, to: int) -> int:
        return int(
            self._functions.inspect_references(self._handle, number, first, count, to)
        )

    def label(self, number: int, position: int) -> str:
        memory = self._functions.inspect_reference_label(self._handle, number, position)
        return self._library.taken_text(memory) or ""

    def referrers(self, number: int, cancelled: Callable[[], bool]) -> bytes:
        """Rows of struct inspect_referrer."""
        structure = _io_structure(_silent(cancelled))
        memory, count = ctypes.c_void_p(), ctypes.c_size_t()
        error = self._functions.inspect_referrers(
            self._handle,
            number,
            ctypes.byref(structure),
            ctypes.byref(memory),
            ctypes.byref(count),
        )
        if error:
            raise self._library.taken_error(error)
        try:
            return ctypes.string_at(memory, 16 * count.value) if memory else b""
        finally:
            self._library.functions.inspect_free(memory)

    def type_names(self) -> Tuple[str, ...]:
        return self._library.names(self._functions.inspect_type_name)

    def class_names(self) -> Tuple[str, ...]:
        return self._library.names(
            lambda number: self._functions.inspect_class_name(self._handle, number)
        )

    def kind_names(self) -> Tuple[str, ...]:
        return self._library.names(self._functions.inspect_kind_name)

    def strength_names(self) -> Tuple[str, ...]:
        return self._library.names(self._functions.inspect_strength_name)


class Invocation:
    """A parsed command line."""

    def __init__(self, library: Library, handle: ctypes.c_void_p) -> None:
        self._library = library
        self.handle = handle
        self._target = library.functions.inspect_invocation_target(handle)

    def needs_session(self) -> bool:
        return bool(self._target)

    def files(self) -> Tuple[Optional[str], Optional[str], Optional[str]]:
        """What the user gave as --exe, --sysroot and --layout."""
        target = self._target.contents
        return (
            os.fsdecode(target.exe) if target.exe else None,
            os.fsdecode(target.sysroot) if target.sysroot else None,
            os.fsdecode(target.layout) if target.layout else None,
        )

    def redaction(self) -> Tuple[bool, Optional[str]]:
        """What the user gave as --redact and --redact-key."""
        target = self._target.contents
        key = os.fsdecode(target.redact_key) if target.redact_key else None
        return target.redact or key is not None, key

    def quiet(self) -> bool:
        return bool(self._library.functions.inspect_invocation_quiet(self.handle))

    def open(self, place: Place, io: Io) -> Session:
        """Opens a target for this invocation; an error is reported as the invocation asks."""
        session, error = self._library.try_open(
            place, io, self._target.contents.max_decompressed
        )
        if session is None:
            self._library.report(self.handle, error, io)
            raise CommandFailed
        return session

    def run(self, session: Optional[Session], io: Io) -> int:
        structure = _io_structure(io)
        handle = session.handle if session else None
        return int(
            self._library.functions.inspect_invocation_run(
                self.handle, handle, ctypes.byref(structure)
            )
        )

    def free(self) -> None:
        self._library.functions.inspect_invocation_free(self.handle)
        self.handle = ctypes.c_void_p()


class Library:
    def __init__(self, path: str) -> None:
        try:
            self.functions = ctypes.CDLL(path)
        except OSError as error:
            raise LibraryError(
                f"libinspect cannot be loaded ({error})",
                "build it with `meson setup build && meson compile -C build`, "
                "or set LUA_INSPECT_LIBRARY to the file",
            ) from None
        self._check_abi(path)
        self._path = path
        self._is_for_scripts = False
        self._bind(_FUNCTIONS)

    def _bind(self, table: _Table) -> None:
        for name, (result, arguments) in table.items():
            try:
                function = getattr(self.functions, name)
            except AttributeError:
                raise LibraryError(
                    f"{self._path} is older than this plugin: it has no {name}",
                    "use the plugin and the library of one release",
                ) from None
            function.restype, function.argtypes = result, arguments

    def for_scripts(self) -> Any:
        """The functions, those that only scripts need among them: commands work without."""
        if not self._is_for_scripts:
            self._bind(_FOR_SCRIPTS)
            self._is_for_scripts = True
        return self.functions

    def _check_abi(self, path: str) -> None:
        try:
            self.functions.inspect_abi.restype = ctypes.c_uint32
            abi = self.functions.inspect_abi()
        except AttributeError:
            raise LibraryError(
                f"{path} is not libinspect", "set LUA_INSPECT_LIBRARY to libinspect.so"
            ) from None
        if abi != ABI:
            raise LibraryError(
                f"{path} has interface {abi}, this plugin needs {ABI}",
                "use the plugin and the library of one release, "
                "or set LUA_INSPECT_LIBRARY to the right one",
            )

    def parse(self, command: str, arguments: str, io: Io) -> Invocation:
        handle = ctypes.c_void_p()
        error = self.functions.inspect_invocation_parse_line(
            command.encode(),
            arguments.encode("utf-8", "surrogateescape"),
            ctypes.byref(handle),
        )
        if error:
            # The invocation, if there is one, knows whether JSON was asked for.
            self.report(handle, error, io)
            self.functions.inspect_invocation_free(handle)
            raise CommandFailed
        return Invocation(self, handle)

    def parse_words(self, words: Sequence[str]) -> Invocation:
        """The command line of the shell, its name included. Raises Error."""
        handle = ctypes.c_void_p()
        encoded = [word.encode("utf-8", "surrogateescape") for word in words]
        argv = (ctypes.c_char_p * (len(encoded) + 1))(*encoded, None)
        error = self.for_scripts().inspect_invocation_parse(
            len(encoded), argv, ctypes.byref(handle)
        )
        if error:
            self.functions.inspect_invocation_free(handle)
            raise self.taken_error(error)
        return Invocation(self, handle)

    def try_open(
        self, place: Place, io: Io, max_decompressed: int = 0
    ) -> Tuple[Optional[Session], int]:
        """A session, or the handle of an error."""
        target, structure = place.structure(), _io_structure(io)
        target.max_decompressed = max_decompressed
        target.io = ctypes.pointer(structure)
        handle = ctypes.c_void_p()
        error = self.functions.inspect_session_open(
            ctypes.byref(target), ctypes.byref(handle)
        )
        return (None, error) if error else (Session(self, handle, target), 0)

    def open(
        self, place: Place, cancelled: Callable[[], bool] = lambda: False
    ) -> Session:
        """Opens a target. Raises Error."""
        self.for_scripts()
        session, error = self.try_open(place, _silent(cancelled))
        if session is None:
            raise self.taken_error(error)
        return session

    def taken_error(self, handle: int) -> Error:
        """An error of the library as an exception; frees it."""
        error = ctypes.cast(handle, ctypes.POINTER(_Error)).contents
        result = Error(
            _text(self.functions.inspect_error_name(error.code)),
            _text(error.message),
            _text(error.hint) or None,
            error.address if error.has_address else None,
        )
        self.functions.inspect_error_free(handle)
        return result

    def taken_text(self, memory: Optional[int]) -> Optional[str]:
        """Text that the library has allocated; frees it."""
        if not memory:
            return None
        try:
            return _text(ctypes.string_at(memory))
        finally:
            self.functions.inspect_free(memory)

    def names(self, name_of: Callable[[int], Any]) -> Tuple[str, ...]:
        """What a function of the library answers to 0, 1, ... until it has no more."""
        names: List[str] = []
        while (name := name_of(len(names))) is not None:
            names.append(_text(name))
        return tuple(names)

    def report(self, invocation: ctypes.c_void_p, error: int, io: Io) -> None:
        structure = _io_structure(io)
        self.functions.inspect_report_error(invocation, error, ctypes.byref(structure))

    def commands(self) -> Iterator[str]:
        index = 0
        while command := self.functions.inspect_command_at(index):
            yield _text(command.contents.name)
            index += 1

    def options(self, command: str) -> Iterator[Option]:
        index = 0
        while option := self.functions.inspect_command_option_at(
            command.encode(), index
        ):
            content = option.contents
            yield Option(
                _text(content.name),
                _text(content.letter.strip(b"\0")),
                _text(content.argument),
            )
            index += 1

    def help(self, command: str) -> str:
        memory = self.functions.inspect_command_help(command.encode())
        return self.taken_text(memory) or ""


def _candidates(plugin: Path) -> List[Path]:
    """Where the library may lie, best first; `plugin` is the folder that holds lua_inspect/."""
    built = [
        plugin.parent / "build" / "libinspect.so",
        plugin.parent / "build" / "libinspect" / "libinspect.so",
    ]
    installed: List[Path] = []
    for prefix in plugin.parents:  # PREFIX/share/lua-inspect/..., PREFIX/lib/...
        if prefix.parent != prefix:
            installed += sorted((prefix / "lib").glob("*-linux-*/libinspect.so.0"))
            installed += [
                prefix / lib / "libinspect.so.0" for lib in ("lib64", "lib", "lib32")
            ]
    return built + installed


def load(plugin: Path) -> Library:
    """$LUA_INSPECT_LIBRARY, else build/ of the tree of `plugin`, else the installed library."""
    chosen = os.environ.get("LUA_INSPECT_LIBRARY")
    if chosen:
        return Library(chosen)
    for path in _candidates(plugin):
        if path.is_file():
            return Library(str(path))
    return Library("libinspect.so.0")
