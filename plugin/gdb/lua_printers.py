"""Lua's own structures as gdb prints them: TValue, GCObject *, TString *, Table *, lua_State *.

For programs with debug info of Lua, and for its C code: `print *L->top`, `bt full`. One line each,
text escaped. Nothing is called in the program, little is read, and what cannot be read is said, not
raised. `print/r` shows the structure as it is; `disable pretty-printer global lua` all of them.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Optional

import gdb
import gdb.printing

LONGEST = 80  # bytes of a string that are shown
SHORT_STRING, LONG_STRING = 0x04, 0x14
COLLECTABLE = 0x40
TYPES = {
    5: "table",
    6: "function",
    7: "userdata",
    8: "thread",
    9: "upvalue",
    10: "prototype",
}
STRUCTURES = {4: "TString", 5: "Table", 8: "lua_State"}


def quoted(raw: bytes, size: int) -> str:
    """As Lua would write it; no byte of it reaches the terminal as it is but printable ASCII."""
    named = {10: "\\n", 13: "\\r", 9: "\\t", 34: '\\"', 92: "\\\\"}
    text = "".join(
        named.get(byte) or (chr(byte) if 32 <= byte < 127 else f"\\{byte:03d}")
        for byte in raw
    )
    return f'"{text}"' + (f"...  -- {size} bytes" if len(raw) < size else "")


def field(value: Any, *names: str) -> Any:
    """The first of these fields that this release has."""
    known = {each.name for each in value.type.strip_typedefs().fields()}
    return value[next(name for name in names if name in known)]


def string(pointer: Any) -> str:
    value = pointer.dereference()
    contents = field(value, "contents")
    is_long = int(value["tt"]) & 0x3F == LONG_STRING
    size = int(value["u"]["lnglen"]) if is_long else int(value["shrlen"])
    is_apart = is_long and contents.type.strip_typedefs().code == gdb.TYPE_CODE_PTR
    start = int(contents) if is_apart else int(contents.address)
    shown = min(size, LONGEST)
    raw = gdb.selected_inferior().read_memory(start, shown).tobytes() if shown else b""
    return quoted(raw, size)


def table(pointer: Any) -> str:
    value = pointer.dereference()
    array, nodes = int(field(value, "alimit", "asize")), 1 << int(value["lsizenode"])
    return f"table {int(pointer):#x} (array {array}, hash {nodes})"


def thread(pointer: Any) -> str:
    value = pointer.dereference()
    states = {0: "", 1: " (suspended)"}
    return f"thread {int(pointer):#x}{states.get(int(value['status']), ' (error)')}"


def collectable(pointer: Any) -> str:
    kind = int(pointer.dereference()["tt"]) & 0x0F
    if kind in STRUCTURES:
        pointer = pointer.cast(gdb.lookup_type(STRUCTURES[kind]).pointer())
        return {4: string, 5: table, 8: thread}[kind](pointer)
    name = TYPES.get(kind)
    return f"{name} {int(pointer):#x}" if name else f"no object ({int(pointer):#x})"


def tagged(value: Any) -> str:
    tag, content = int(value["tt_"]) & 0x7F, value["value_"]
    if tag & COLLECTABLE:
        return collectable(content["gc"])
    if tag & 0x0F == 0:
        return "nil"
    simple: Dict[int, Callable[[], str]] = {
        0x01: lambda: "false",
        0x11: lambda: "true",
        0x02: lambda: f"light userdata {int(content['p']):#x}",
        0x03: lambda: str(int(content["i"])),
        0x13: lambda: repr(float(content["n"])),
        0x16: lambda: f"C function {content['f'].format_string(symbols=True)}",
    }
    return simple[tag]() if tag in simple else f"no value (tag {tag:#x})"


class Printer:
    """One value; gdb asks for its text when it prints it."""

    def __init__(self, words: Callable[[Any], str], value: Any) -> None:
        self._words = words
        self._value = value

    def to_string(self) -> str:
        try:
            return self._words(self._value)
        except (
            Exception
        ):  # damaged, or of another Lua: then gdb's user sees the address
            place = self._value
            is_pointer = place.type.strip_typedefs().code == gdb.TYPE_CODE_PTR
            return f"{int(place):#x} (unreadable)" if is_pointer else "(unreadable)"


def has(structure: Any, *names: str) -> bool:
    """Another program may call structures by the same names."""
    known = {each.name for each in structure.fields()}
    return known.issuperset(names)


class Printers(gdb.printing.PrettyPrinter):  # type: ignore[misc]
    POINTERS = {
        "TString": string,
        "Table": table,
        "lua_State": thread,
        "GCObject": collectable,
    }

    def __call__(self, value: Any) -> Optional[Printer]:
        kind = value.type.strip_typedefs().unqualified()
        if kind.code == gdb.TYPE_CODE_STRUCT:
            is_tagged = kind.tag == "TValue" and has(kind, "value_", "tt_")
            return Printer(tagged, value) if is_tagged else None
        if kind.code != gdb.TYPE_CODE_PTR or not int(value):
            return None
        target = kind.target().strip_typedefs().unqualified()
        words = self.POINTERS.get(target.tag or "")
        is_lua = words and has(target, "next", "tt", "marked")
        return Printer(words, value) if words and is_lua else None


def register() -> None:
    gdb.printing.register_pretty_printer(None, Printers("lua"), replace=True)
