"""What a user would write in gdb: the list of objects and their references, over gdb.Value.

Run by scripts/bench inside gdb on a core, with the debug info of liblua. Stops after the seconds of
$LUA_BENCH_SECONDS; prints objects, references, seconds and whether it came to the end, as JSON.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any, Dict

import gdb

COLLECTABLE = 64  # BIT_ISCOLLECTABLE of lobject.h
TABLE, LUA_CLOSURE, USERDATA, UPVALUE = 0x05, 0x06, 0x07, 0x09


def lua_state() -> Any:
    frame = gdb.newest_frame()
    while frame is not None:
        try:
            return frame.read_var("L")
        except ValueError:
            frame = frame.older()
    raise gdb.GdbError("no frame has a lua_State: is there debug info of liblua?")


def collectable(value: Any) -> bool:
    return bool(int(value["tt_"]) & COLLECTABLE)


class Walk:
    def __init__(self) -> None:
        self.objects = self.references = 0
        self.types = {
            tag: gdb.lookup_type(name).pointer()
            for tag, name in (
                (TABLE, "struct Table"),
                (LUA_CLOSURE, "struct LClosure"),
                (USERDATA, "struct Udata"),
                (UPVALUE, "struct UpVal"),
            )
        }

    def table(self, table: Any) -> None:
        self.references += bool(table["metatable"])
        array = table["array"]
        for i in range(int(table["alimit"])):
            self.references += collectable(array[i])
        node = table["node"]
        for i in range(1 << int(table["lsizenode"])):
            entry = node[i]
            self.references += collectable(entry["i_val"])
            self.references += bool(int(entry["u"]["key_tt"]) & COLLECTABLE)

    def visit(self, thing: Any) -> None:
        self.objects += 1
        tag = int(thing["tt"]) & 0x3F
        if tag not in self.types:
            return
        thing = thing.cast(self.types[tag]).dereference()
        if tag == TABLE:
            self.table(thing)
        elif tag == LUA_CLOSURE:
            for i in range(int(thing["nupvalues"])):
                self.references += bool(thing["upvals"][i])
        elif tag == USERDATA:
            self.references += bool(thing["metatable"])
            for i in range(int(thing["nuvalue"])):
                self.references += collectable(thing["uv"][i]["uv"])
        else:
            self.references += collectable(thing["v"].dereference())

    def run(self, seconds: float) -> Dict[str, Any]:
        start = time.monotonic()
        thing = lua_state()["l_G"]["allgc"]
        while thing and time.monotonic() - start < seconds:
            self.visit(thing)
            thing = thing["next"]
        return {
            "objects": self.objects,
            "references": self.references,
            "seconds": time.monotonic() - start,
            "complete": not thing,
        }


print(json.dumps(Walk().run(float(os.environ["LUA_BENCH_SECONDS"]))))
