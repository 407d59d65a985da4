"""Core files as a debugger's adapter sees them: what is one, and which of several is loaded."""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path
from typing import Callable, Iterator, Optional, Tuple

_CORE, _LOAD = 4, 1  # ET_CORE, PT_LOAD
_SAMPLE = 1 << 20
# How files begin that are compressed as the library can read them: zstd, lz4, xz, gzip.
_COMPRESSED = (b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18", b"\xfd7zXZ\0", b"\x1f\x8b")


def is_core(path: str) -> bool:
    """Whether the file is an ELF core, of either byte order."""
    try:
        with open(path, "rb") as file:
            header = file.read(18)
    except OSError:
        return False
    return header[:4] == b"\x7fELF" and len(header) == 18 and _CORE in header[16:18]


def is_compressed(path: str) -> bool:
    """Whether the file is compressed: with what debuggers cannot load and the library can."""
    try:
        with open(path, "rb") as file:
            return os.path.isfile(path) and file.read(6).startswith(_COMPRESSED)
    except OSError:
        return False


def core_argument() -> Optional[str]:
    """The core that the user meant on the debugger's command line, where nothing is loaded.

    `gdb CORE`: gdb takes a single file for a program, says that it is none, and has nothing loaded
    then. `gdb -c core.zst`, `lldb -c core.zst`: debuggers cannot load a compressed one.
    """
    try:
        words = Path("/proc/self/cmdline").read_bytes().split(b"\0")[1:-1]
    except OSError:
        return None
    paths = [os.fsdecode(word) for word in words]
    meant = [path for path in paths if path and is_compressed(path)]
    meant += [path for path in paths[-1:] if is_core(path)]
    return os.path.abspath(meant[0]) if len(meant) == 1 else None


def _loaded(file: mmap.mmap) -> Iterator[Tuple[int, int, int]]:
    """Of each part of memory in a core: offset in the file, address, size."""
    order = ">" if file[5] == 2 else "<"
    is_64 = file[4] == 2
    place, stride = (32, 54) if is_64 else (28, 42)
    (start,) = struct.unpack_from(order + ("Q" if is_64 else "I"), file, place)
    size, count = struct.unpack_from(order + "HH", file, stride)
    for at in range(start, start + size * count, size):
        if is_64:
            kind, _, offset, address, _, length = struct.unpack_from(
                order + "IIQQQQ", file, at
            )
        else:
            kind, offset, address, _, length = struct.unpack_from(
                order + "IIIII", file, at
            )
        if kind == _LOAD and length:
            yield offset, address, length


def same_memory(path: str, read: Callable[[int, int], bytes]) -> bool:
    """Whether the core holds the memory that `read(address, size)` reads. All of it is compared:
    two cores of one process, taken one after the other, differ in little."""
    try:
        with open(path, "rb") as handle:
            with mmap.mmap(handle.fileno(), 0, prot=mmap.PROT_READ) as file:
                for offset, address, length in _loaded(file):
                    length = min(length, len(file) - offset)  # it may be cut off
                    for at in range(0, length, _SAMPLE):
                        size = min(_SAMPLE, length - at)
                        if file[offset + at : offset + at + size] != read(
                            address + at, size
                        ):
                            return False
    except (OSError, ValueError, struct.error):
        return False
    return True
