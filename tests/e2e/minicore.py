"""A core of a process that waits for input, written in a few milliseconds and without stopping it.

The writable private memory, and the names of the mapped files, as the kernel would write them.
Nothing keeps the process from running on meanwhile but the read that it waits in.
"""

import re
import struct
import time

PT_LOAD, PT_NOTE, NT_FILE = 1, 4, 0x46494C45
READ_WRITE, PAGE = 6, 4096
HEADER, SEGMENT = struct.Struct("<16sHHIQQQIHHHHHH"), struct.Struct("<IIQQQQQQ")
MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S+) ([0-9a-f]+) \S+ \d+ *(.*)")


def mappings(pid):
    with open(f"/proc/{pid}/maps", encoding="utf-8") as lines:
        for line in lines:
            start, end, rights, offset, path = MAPPING.match(line).groups()
            yield int(start, 16), int(end, 16), rights, int(offset, 16), path


def file_note(files):
    """NT_FILE: count, page size, rows of start, end and offset in pages, and the paths."""
    body = struct.pack("<QQ", len(files), PAGE)
    for start, end, offset, _ in files:
        body += struct.pack("<QQQ", start, end, offset // PAGE)
    body += b"".join(path.encode() + b"\0" for *_, path in files)
    note = struct.pack("<III", 5, len(body), NT_FILE) + b"CORE\0\0\0\0" + body
    return note + b"\0" * (-len(note) % 4)


def wait_for_read(pid, descriptor=0, timeout=60):
    """Returns once the process is blocked in a read of the descriptor (x86-64)."""
    blocked = f"0 {descriptor:#x} "
    end = time.monotonic() + timeout
    while True:
        with open(f"/proc/{pid}/syscall", encoding="ascii") as state:
            if state.read().startswith(blocked):
                return
        assert time.monotonic() < end, "the process does not read"
        time.sleep(0.0005)


def write_core(pid, path):
    wait_for_read(pid)
    found = list(mappings(pid))
    memory = [
        (start, end)
        for start, end, rights, _, name in found
        if rights.startswith("rw") and rights.endswith("p") and name != "[vvar]"
    ]
    note = file_note(
        [
            (start, end, offset, name)
            for start, end, _, offset, name in found
            if name.startswith("/")
        ]
    )
    count = len(memory) + 1
    identity = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    kind = (4, 62, 1)  # a core, of x86-64
    places = (0, HEADER.size, 0, 0, HEADER.size, SEGMENT.size, count, 0, 0, 0)
    header = HEADER.pack(identity, *kind, *places)
    place = HEADER.size + count * SEGMENT.size
    segments = SEGMENT.pack(PT_NOTE, 0, place, 0, 0, len(note), 0, 4)
    parts = [note + b"\0" * (-(place + len(note)) % PAGE)]
    place += len(parts[0])
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as process:
        for start, end in memory:
            process.seek(start)
            part = process.read(end - start)
            assert len(part) == end - start, f"{len(part):#x} of {start:#x}-{end:#x}"
            segments += SEGMENT.pack(
                PT_LOAD, READ_WRITE, place, start, 0, end - start, end - start, 1
            )
            place += end - start
            parts.append(part)
    with open(path, "wb") as core:
        core.write(b"".join([header, segments, *parts]))
