"""A core of Lua 5.4.4 on x86-64 in memory, to be damaged at the target's addresses.

An address becomes a place in the file through the program headers, objects are found by their
paths, and fields lie where Lua 5.4.4 has them.
"""

import json
import struct

from support import document, inspect

# lobject.h, lstate.h, ltable.h of 5.4.4; global_State lies behind lua_State.
NEXT, TAG, MARK = 0, 8, 9
HASH, LENGTH, BUCKET_NEXT, BYTES = 12, 11, 16, 24
ARRAY, NODES, FREE = 16, 24, 32
NODE, VALUE_TAG, KEY_TAG, NODE_NEXT, KEY = 24, 8, 9, 12, 16
UPVALUE_V, UPVALUE_OWN, UPVALS = 16, 24, 32
L_TOP, L_CI, L_STACK, L_OPEN, CI_PREVIOUS = 16, 32, 48, 56, 16
STATE = 200
STRT, NUSE, STRT_SIZE, WHITE, ALLGC, SWEEP = 48, 56, 60, 100, 112, 120
GRAYAGAIN, SURVIVAL, TWUPS = 144, 192, 248
WHITES, BLACK, FINALIZER = 0x18, 0x20, 0x40
TABLE, FUNCTION, COLLECTABLE = 5, 6, 0x40


class Image:
    """A core in memory that can be changed at the target's addresses."""

    def __init__(self, core):
        self.core = core
        self.bytes = bytearray(core.read_bytes())
        self.segments = []
        first, size, count = struct.unpack_from("<Q14xHH", self.bytes, 32)
        for i in range(count):
            kind, _, offset, address, _, length = struct.unpack_from(
                "<IIQQQQ", self.bytes, first + i * size
            )
            if kind == 1:
                self.segments.append((address, length, offset))
        vm = document(core, "states")["vms"][0]
        self.thread = int(vm["address"], 16)
        self.state = self.thread + STATE

    def place(self, address):
        for start, length, offset in self.segments:
            if start <= address < start + length:
                return offset + address - start
        raise KeyError(hex(address))

    def get(self, address, form="<Q"):
        return struct.unpack_from(form, self.bytes, self.place(address))[0]

    def set(self, address, value, form="<Q"):
        struct.pack_into(form, self.bytes, self.place(address), value)

    def change(self, address, function):
        self.set(address, function(self.get(address, "<B")) & 0xFF, "<B")

    def global_(self, field, form="<Q"):
        return self.get(self.state + field, form)

    def object(self, path):
        """The address of what a path names."""
        answer = document(self.core, "paths", path)
        return int(answer["paths"][0]["chain"][-1]["address"], 16)

    def nodes(self, table):
        first = self.get(table + NODES)
        return [first + i * NODE for i in range(1 << self.get(table + 11, "<B"))]

    def live_nodes(self, table, key_tag):
        return [
            node
            for node in self.nodes(table)
            if self.get(node + KEY_TAG, "<B") == key_tag
            and self.get(node + VALUE_TAG, "<B") & 15
        ]

    def color(self, address):
        mark = self.get(address + MARK, "<B")
        return "white" if mark & WHITES else "black" if mark & BLACK else "gray"

    def upvalues(self, path):
        function = self.object(path)
        count = self.get(function + 10, "<B")
        return [self.get(function + UPVALS + 8 * i) for i in range(count)]

    def check(self, folder):
        damaged = folder / "damaged.core"
        damaged.write_bytes(self.bytes)
        result = inspect(damaged, "check", "--json")
        return result.returncode, json.loads(result.stdout)
