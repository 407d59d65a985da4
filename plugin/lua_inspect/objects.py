"""Objects and references of a session as Python sees them.

Millions of objects are rows in memory of the library; here they become Python objects only when
asked for, one at a time. The library is asked in batches, and every stage of its work (what a full
collection would leave, what is retained, classes) is done when the first attribute needs it.
"""

from __future__ import annotations

import re
import struct
from array import array
from typing import (
    TYPE_CHECKING,
    Any,
    Dict,
    Generic,
    Iterable,
    Iterator,
    List,
    Optional,
    Sequence,
    Set,
    Tuple,
    TypeVar,
    Union,
    overload,
)

from .library import Error

if TYPE_CHECKING:
    from .api import Session

NO_OBJECT = 0xFFFFFFFF  # INSPECT_NO_OBJECT
BATCH = 4096  # rows that the library is asked for at a time

# enum inspect_stage
GRAPH, LIVE, RETAINED, CLASSES = 1, 2, 4, 8

# enum inspect_object_flag: where an object says so, and the names that where(flags=...) takes.
LEFT_LIVE, LEFT_FINALIZER = 1, 2
FLAGS = {
    "has-finalizer": 4,
    "pending": 8,
    "fixed": 16,
    "weak-keys": 32,
    "weak-values": 64,
    "dead": 128,
    "damaged": 256,
}

# The rows: struct inspect_object and struct inspect_reference.
_OBJECT = struct.Struct("=QQQIIIIII")
_REFERENCE = struct.Struct("=QIHBB")

# Columns: name -> type code, position in units of that type, the stage that fills it in.
Columns = Dict[str, Tuple[str, int, int]]
_OBJECT_COLUMNS: Columns = {
    "address": ("Q", 0, GRAPH),
    "bytes": ("Q", 1, GRAPH),
    "retained": ("Q", 2, RETAINED),
    "number": ("I", 6, GRAPH),
    "cls": ("I", 7, CLASSES),
    "vm": ("I", 8, GRAPH),
    "dominator": ("I", 9, RETAINED),
    "type": ("I", 10, GRAPH),
    "flags": ("I", 11, LIVE),
}
_REFERENCE_COLUMNS: Columns = {
    "address": ("Q", 0, GRAPH),
    "target": ("I", 2, GRAPH),
    "kind": ("H", 6, GRAPH),
    "strength": ("B", 14, GRAPH),
}

Text = Union[str, "re.Pattern[str]"]
Wanted = Union[None, Text, Iterable[Text]]
Numbers = Union[range, "array[int]"]
Bytes = bytes  # `bytes` is an attribute below
Item = TypeVar("Item")


def _columns_of(
    table: Columns, names: Sequence[str]
) -> Tuple[List[Tuple[str, int]], int]:
    """The columns that are asked for, and the stages that fill them in."""
    unknown = [name for name in names if name not in table]
    if unknown or not names:
        raise Error(
            "usage",
            f"there is no column {unknown[0]!r}" if unknown else "no column is named",
            "columns are " + ", ".join(table),
        )
    stages = 0
    for name in names:
        stages |= table[name][2]
    return [table[name][:2] for name in names], stages


def _add_rows(
    columns: List[Tuple[str, int]],
    results: Sequence["array[int]"],
    rows: memoryview,
    size: int,
) -> None:
    """Takes the columns out of rows of `size` bytes without an int object for each number."""
    for (code, position), result in zip(columns, results):
        view = rows.cast(code)
        result.frombytes(view[position :: size // view.itemsize].tobytes())


def _matches(name: str, wanted: Wanted) -> bool:
    if isinstance(wanted, str):
        return name == wanted
    if isinstance(wanted, re.Pattern):
        return wanted.search(name) is not None
    return any(_matches(name, one) for one in wanted or ())


def _known(wanted: Wanted, names: Sequence[str], what: str) -> Set[int]:
    """The numbers of the names that match; a plain word that is no name is a mistake."""
    words = [wanted] if isinstance(wanted, (str, re.Pattern)) else list(wanted or ())
    for word in words:
        if isinstance(word, str) and word not in names:
            raise Error(
                "usage", f"there is no {what} {word!r}", "one of: " + ", ".join(names)
            )
    return {i for i, name in enumerate(names) if _matches(name, words)}


class Batched(Sequence[Item], Generic[Item]):
    """A sequence whose items come from the library in batches. Items and slices as of a list."""

    __slots__ = ()

    def _part(self, numbers: Numbers) -> Batched[Item]:
        raise NotImplementedError

    def _items(self, numbers: Numbers) -> Iterator[Item]:
        raise NotImplementedError

    def _all(self) -> Numbers:
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self._all())

    @overload
    def __getitem__(self, index: int) -> Item:
        ...

    @overload
    def __getitem__(self, index: slice) -> Batched[Item]:
        ...

    def __getitem__(self, index: Union[int, slice]) -> Union[Item, Batched[Item]]:
        numbers = self._all()
        if isinstance(index, slice):
            return self._part(numbers[index])
        number = numbers[index]  # raises IndexError
        return next(self._items(range(number, number + 1)))

    def __iter__(self) -> Iterator[Item]:
        return self._items(self._all())

    def __reversed__(self) -> Iterator[Item]:
        return self._items(self._all()[::-1])


class Objects(Batched["Object"]):
    """Objects of a session, in the order of their addresses.

    A sequence: `len(objects)`, `objects[0]`, `objects[-10:]`, `for object in objects`. Making one,
    a slice of one, or a selection costs no Python object for each object in it.

        big = session.objects.where(type="table", min_bytes=1 << 20)
        for table in big:
            print(hex(table.address), table.cls, table.retained)
        addresses, sizes = session.objects.columns("address", "bytes")
    """

    __slots__ = ("session", "_numbers")

    def __init__(self, session: Session, numbers: Optional[Numbers] = None) -> None:
        self.session = session
        if numbers is None:
            session._need(GRAPH)
            numbers = range(session._cursors.object_count())
        self._numbers = numbers

    def __repr__(self) -> str:
        return f"<{len(self)} objects>"

    def __contains__(self, item: object) -> bool:
        return (
            isinstance(item, Object)
            and item._session_key() is self.session._key()
            and item.number in self._numbers
        )

    def where(
        self,
        type: Wanted = None,
        cls: Wanted = None,
        min_bytes: int = 0,
        min_retained: int = 0,
        live: Optional[bool] = None,
        vm: Optional[int] = None,
        flags: Wanted = None,
    ) -> Objects:
        """Those of the objects for which all that is given is true, found by the library.

        type, cls     a name, a compiled regular expression (searched for), or several of them;
                      classes are named as `heap` names its groups: "Npc", "{desc, time}", "string"
        min_bytes     of the object alone
        min_retained  of what would be freed with it
        live          True: left by every full collection. False: freed, at once or after a
                      finalizer
        vm            number of the VM, from 1
        flags         of "has-finalizer", "pending", "fixed", "weak-keys", "weak-values", "dead",
                      "damaged": all that are named

            session.objects.where(cls=re.compile("^game[.]"), live=True)
        """
        session, wanted = self.session, self._filter(min_bytes, min_retained, vm)
        if type is not None:
            for number in _known(type, session.type_names, "type"):
                wanted["types"] |= 1 << number
            if not wanted["types"]:
                return Objects(session, array("I"))
        if cls is not None:
            names = session.class_names
            wanted["classes"] = Bytes(_matches(name, cls) for name in names)
            wanted["class_count"] = len(names)
        if live is not None:
            session._need(LIVE)
            wanted["flags" if live else "without_flags"] |= LEFT_LIVE
        if flags is not None:
            names = tuple(FLAGS)
            for number in _known(flags, names, "flag"):
                wanted["flags"] |= FLAGS[names[number]]
        return self._select(wanted)

    def _filter(
        self, min_bytes: int, min_retained: int, vm: Optional[int]
    ) -> Dict[str, Any]:
        if min_retained:
            self.session._need(RETAINED)
        if vm is not None and not 1 <= vm <= len(self.session.vms):
            raise Error(
                "not-found",
                f"there is no VM {vm}: the target has {len(self.session.vms)}",
                "VMs are numbered from 1",
            )
        return {
            "least_bytes": max(min_bytes, 0),
            "least_retained": max(min_retained, 0),
            "types": 0,
            "flags": 0,
            "without_flags": 0,
            "vm": vm or 0,
        }

    def _select(self, wanted: Dict[str, Any]) -> Objects:
        """Batch by batch, so that the selection takes no more memory than what is selected."""
        size = 16 * BATCH
        found, batch = array("I"), array("I", Bytes(4 * size))
        for numbers, first, count in self._batches(self._numbers, size):
            selected = self.session._cursors.select(
                wanted, numbers, first, count, batch.buffer_info()[0]
            )
            found.extend(batch[:selected])
        return Objects(self.session, found)

    def columns(self, *names: str) -> Tuple["array[int]", ...]:
        """Attributes of all the objects, as one array of numbers for each name.

        address, bytes, retained  64 bits each
        number, dominator, vm     32 bits; no dominator is 0xffffffff
        type, cls                 32 bits, positions in session.type_names and class_names
        flags                     32 bits: 1 live, 2 until finalized, see FLAGS for the others

            sizes, retained = session.objects.where(type="table").columns("bytes", "retained")
            print(sum(sizes), max(retained))

        Arrays are buffers: memoryview(sizes), numpy.frombuffer(sizes, "u8").
        """
        columns, stages = _columns_of(_OBJECT_COLUMNS, names)
        self.session._need(stages)
        results = [array(code) for code, _ in columns]
        for rows, _ in self._rows(self._numbers):
            _add_rows(columns, results, rows, _OBJECT.size)
        return tuple(results)

    def _all(self) -> Numbers:
        return self._numbers

    def _part(self, numbers: Numbers) -> Objects:
        return Objects(self.session, numbers)

    def _items(self, numbers: Numbers) -> Iterator[Object]:
        for rows, prepared in self._rows(numbers):
            for row in _OBJECT.iter_unpack(rows):
                yield Object(self.session, row, prepared)

    @staticmethod
    def _batches(
        numbers: Numbers, size: int
    ) -> Iterator[Tuple[Optional[int], int, int]]:
        """What the library is asked for: address of numbers or None, first number, count."""
        if isinstance(numbers, range) and numbers.step != 1:
            numbers = array("I", numbers)
        for start in range(0, len(numbers), size):
            count = min(size, len(numbers) - start)
            if isinstance(numbers, range):
                yield None, numbers[start], count
            else:
                yield numbers.buffer_info()[0] + 4 * start, 0, count

    def _rows(self, numbers: Numbers) -> Iterator[Tuple[memoryview, int]]:
        """The rows of the numbers in batches, and the stages that were known then."""
        size = min(BATCH, max(len(numbers), 1))
        for where, first, count in self._batches(numbers, size):
            buffer = array("Q", Bytes(_OBJECT.size * count))
            prepared = self.session._cursors.prepared()
            self.session._cursors.objects(where, first, count, buffer.buffer_info()[0])
            yield memoryview(buffer).cast("B"), prepared


class Object:
    """One object of a target. Equal to another if it is the same object of the same session.

    Attributes that need more than the graph (live, state, retained, dominator, cls) are computed
    for the whole target when the first object is asked for them.
    """

    __slots__ = ("session", "_row", "_prepared")

    def __init__(self, session: Session, row: Tuple[int, ...], prepared: int) -> None:
        self.session = session
        self._row = row
        self._prepared = prepared

    def _session_key(self) -> object:
        return self.session._key()

    def _with(self, stage: int) -> Tuple[int, ...]:
        """The row, with what the stage fills in."""
        if not self._prepared & stage:
            self.session._need(stage)
            other = self.session.objects[self.number]
            self._row, self._prepared = other._row, other._prepared
        return self._row

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Object):
            return NotImplemented
        return (
            self.number == other.number and self._session_key() is other._session_key()
        )

    def __hash__(self) -> int:
        return hash(self.number)

    def __repr__(self) -> str:
        return f"<{self.words} at {self.address:#x}>"

    @property
    def address(self) -> int:
        """Where it lies in the target."""
        return self._row[0]

    @property
    def bytes(self) -> int:
        """Its own size, as the VM counts it."""
        return self._row[1]

    @property
    def retained(self) -> int:
        """Bytes that would be freed if it were freed: its own and those that only it holds.
        0 if it is not live."""
        return self._with(RETAINED)[2]

    @property
    def number(self) -> int:
        """Its rank by address: its position in session.objects."""
        return self._row[3]

    @property
    def cls(self) -> str:
        """What the program calls objects like it ("Npc", "function room.lua:41"), or for want of a
        name its shape ("{desc, time}") or type ("string"): its group in `heap`."""
        return self.session.class_names[self._with(CLASSES)[4]]

    @property
    def vm(self) -> int:
        """The number of its VM, from 1."""
        return self._row[5]

    @property
    def dominator(self) -> Optional[Object]:
        """The object that alone holds it: freed if that were freed. None if it is held by several
        roots, or is not live."""
        number = self._with(RETAINED)[6]
        return None if number == NO_OBJECT else self.session.objects[number]

    @property
    def type(self) -> str:
        """ "string", "table", "function", "cfunction", "userdata", "thread", "upvalue" or
        "prototype"."""
        return self.session.type_names[self._row[7]]

    @property
    def live(self) -> bool:
        """Whether every full collection would leave it."""
        return bool(self._with(LIVE)[8] & LEFT_LIVE)

    @property
    def state(self) -> str:
        """ "live", "garbage" (the next full collection frees it) or "finalizer" (the one after,
        when a finalizer has run)."""
        flags = self._with(LIVE)[8]
        if flags & LEFT_LIVE:
            return "live"
        return "finalizer" if flags & LEFT_FINALIZER else "garbage"

    @property
    def flags(self) -> Tuple[str, ...]:
        """Of FLAGS those that it has: ("weak-keys",)."""
        return tuple(name for name, bit in FLAGS.items() if self._row[8] & bit)

    @property
    def words(self) -> str:
        """It in words, as reports have it: "table, 3 entries", "function room.lua:41"."""
        return self.session._cursors.words(self.number)

    @property
    def string(self) -> Optional[Bytes]:
        """The bytes of a string; None for other objects and for what cannot be read."""
        return self.session._cursors.string(self.number)

    @property
    def refs(self) -> References:
        """The references from it, weak ones too."""
        return References(self)

    @property
    def referrers(self) -> Referrers:
        """The references to it, weak ones and those of garbage too. Takes a pass over all
        references of the target."""
        return Referrers(self)

    def paths(self, k: int = 1) -> List[Dict[str, Any]]:
        """The k best chains from a root to it, as `paths` has them.

        >>> [step["text"] for step in session.object("_G.npcs[42]").paths()[0]["chain"]]
        ['_G', '.npcs', '[42]']
        """
        answer = self.session.run("paths", self, "-k", k)
        found: List[Dict[str, Any]] = answer["paths"]
        return found

    def print(self, *options: str) -> str:
        """What the command `print` says of it: the value in Lua's syntax."""
        return self.session.text("print", self, *options)


class References(Batched["Reference"]):
    """The references of one object to others, in a fixed order. A sequence, as Objects is."""

    __slots__ = ("source", "_numbers")

    def __init__(self, source: Object, numbers: Optional[Numbers] = None) -> None:
        self.source = source
        if numbers is None:
            cursors = source.session._cursors
            numbers = range(cursors.reference_count(source.number))
        self._numbers = numbers

    def __repr__(self) -> str:
        return f"<{len(self)} references>"

    def columns(self, *names: str) -> Tuple["array[int]", ...]:
        """As Objects.columns: address and target (its number) of what is referred to; kind and
        strength, positions in session.kind_names and strength_names."""
        columns, _ = _columns_of(_REFERENCE_COLUMNS, names)
        results = [array(code) for code, _ in columns]
        for _, rows in self._rows(self._numbers):
            _add_rows(columns, results, rows, _REFERENCE.size)
        return tuple(results)

    def _all(self) -> Numbers:
        return self._numbers

    def _part(self, numbers: Numbers) -> References:
        return References(self.source, numbers)

    def _items(self, numbers: Numbers) -> Iterator[Reference]:
        for positions, rows in self._rows(numbers):
            for position, row in zip(positions, _REFERENCE.iter_unpack(rows)):
                yield Reference(self.source, position, row)

    def _rows(self, numbers: Numbers) -> Iterator[Tuple[range, memoryview]]:
        cursors, source = self.source.session._cursors, self.source.number
        for part in self._ranges(numbers):
            buffer = array("Q", Bytes(_REFERENCE.size * len(part)))
            cursors.references(source, part[0], len(part), buffer.buffer_info()[0])
            yield part, memoryview(buffer).cast("B")

    @staticmethod
    def _ranges(numbers: Numbers) -> Iterator[range]:
        if isinstance(numbers, range) and numbers.step == 1:
            for start in range(0, len(numbers), BATCH):
                yield numbers[start : start + BATCH]
        else:
            for number in numbers:
                yield range(number, number + 1)


class Referrers(Batched["Reference"]):
    """The references to one object, by the address of their source. A sequence, as Objects is.

    >>> [(hex(each.source.address), each.label) for each in room.referrers]
    [('0x55f70b4992d0', '.room'), ('0x55f70b79c660', '["lobby"]')]
    """

    __slots__ = ("target", "_rows", "_numbers")

    def __init__(
        self,
        target: Object,
        rows: Optional["array[int]"] = None,
        numbers: Optional[Numbers] = None,
    ) -> None:
        self.target = target
        if rows is None:
            rows = array("Q", target.session._referrers(target.number))
        self._rows = rows  # source, position, source, position, ...
        self._numbers = range(len(rows) // 2) if numbers is None else numbers

    def __repr__(self) -> str:
        return f"<{len(self)} referrers>"

    def _all(self) -> Numbers:
        return self._numbers

    def _part(self, numbers: Numbers) -> Referrers:
        return Referrers(self.target, self._rows, numbers)

    def _items(self, numbers: Numbers) -> Iterator[Reference]:
        objects = self.target.session.objects
        for number in numbers:
            source, position = self._rows[2 * number : 2 * number + 2]
            yield objects[source].refs[position]


class Reference:
    """One reference: `source` refers to `target`."""

    __slots__ = ("source", "_position", "_row")

    def __init__(self, source: Object, position: int, row: Tuple[int, ...]) -> None:
        self.source = source
        self._position = position
        self._row = row

    def __repr__(self) -> str:
        return f"<{self.kind} {self.label} to {self._row[0]:#x}>"

    @property
    def target(self) -> Object:
        """What is referred to. The value of a function's variable lies behind an object of type
        "upvalue"."""
        return self.source.session.objects[self._row[1]]

    @property
    def kind(self) -> str:
        """ "field", "index", "key", "metatable", "upvalue", "stack", "uservalue", ..."""
        return self.source.session.kind_names[self._row[2]]

    @property
    def strength(self) -> str:
        """ "strong" (holds the target), "weak", or "ephemeron" (holds it as long as the weak key of
        its entry is held)."""
        return self.source.session.strength_names[self._row[3]]

    @property
    def weak(self) -> bool:
        """Whether it does not hold its target."""
        return self.strength == "weak"

    @property
    def maybe(self) -> bool:
        """Whether it lies in a part of a stack that may be stale."""
        return bool(self._row[4])

    @property
    def label(self) -> str:
        """What it is called, in the syntax of paths: ".members", "[17]", ":upvalue(rooms)"; empty
        for the value of an upvalue object, which goes by the name of the upvalue."""
        cursors = self.source.session._cursors
        return cursors.label(self.source.number, self._position)
