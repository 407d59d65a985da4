"""Binding of inspect.h. Structures and functions have the names and meanings they have there.

The only file that imports ctypes. No callback lets an exception escape into C, and none of them
calls the debugger: a command runs on a thread of its own (see commands.py).
"""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Iterator, List, Optional, Tuple

ABI = 1  # INSPECT_ABI of the inspect.h that this file was written from

_OUTPUT = ctypes.CFUNCTYPE(
    ctypes.c_bool, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t
)
_DIAGNOSTIC = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
_PROGRESS = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_double)
_CANCELLED = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p)


class _Io(ctypes.Structure):
    _fields_ = [
        ("context", ctypes.c_void_p),
        ("output", _OUTPUT),
        ("diagnostic", _DIAGNOSTIC),
        ("progress", _PROGRESS),
        ("cancelled", _CANCELLED),
        ("terminal", ctypes.c_bool),
    ]


class _Target(ctypes.Structure):
    _fields_ = [
        ("core", ctypes.c_char_p),
        ("pid", ctypes.c_int64),
        ("exe", ctypes.c_char_p),
        ("sysroot", ctypes.c_char_p),
        ("layout", ctypes.c_char_p),
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


_FUNCTIONS = {
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


class LibraryError(Exception):
    """The library cannot be used. One sentence, and what to do next."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


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


class Session:
    """An opened target. Used by one thread at a time."""

    def __init__(self, library: Library, handle: ctypes.c_void_p) -> None:
        self._library = library
        self.handle = handle

    def close(self) -> None:
        self._library.functions.inspect_session_close(self.handle)
        self.handle = ctypes.c_void_p()


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

    def quiet(self) -> bool:
        return bool(self._library.functions.inspect_invocation_quiet(self.handle))

    def open(
        self,
        core: str,
        exe: Optional[str],
        sysroot: Optional[str],
        layout: Optional[str],
        io: Io,
    ) -> Session:
        """Opens a target for this invocation; an error is reported as the invocation asks."""
        target = _Target(_path(core), 0, _path(exe), _path(sysroot), _path(layout))
        handle = ctypes.c_void_p()
        error = self._library.functions.inspect_session_open(
            ctypes.byref(target), ctypes.byref(handle)
        )
        if error:
            self._library.report(self.handle, error, io)
            raise CommandFailed
        return Session(self._library, handle)

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
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(self.functions, name)
            function.restype, function.argtypes = result, arguments

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
        if not memory:
            return ""
        try:
            return _text(ctypes.string_at(memory))
        finally:
            self.functions.inspect_free(memory)


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
