"""Core files as a debugger's adapter sees them: what is one, and which of several is loaded."""

from __future__ import annotations

import mmap
import struct
from typing import Callable, Iterator, Tuple

_CORE, _LOAD = 4, 1  # ET_CORE, PT_LOAD
_SAMPLE = 1 << 20


def is_core(path: str) -> bool:
    """Whether the file is an ELF core, of either byte order."""
    try:
        with open(path, "rb") as file:
            header = file.read(18)
    except OSError:
        return False
    return header[:4] == b"\x7fELF" and len(header) == 18 and _CORE in header[16:18]


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
                    for at in range(0, length, _SAMPLE):
                        size = min(_SAMPLE, length - at)
                        if file[offset + at : offset + at + size] != read(
                            address + at, size
                        ):
                            return False
    except (OSError, ValueError, struct.error):
        return False
    return True
