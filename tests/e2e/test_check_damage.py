"""`check` finds each kind of damage that is done to a heap, and names the object."""

import pytest
from core_image import (
    ALLGC,
    ARRAY,
    BLACK,
    BUCKET_NEXT,
    BYTES,
    CI_PREVIOUS,
    COLLECTABLE,
    FINALIZER,
    FREE,
    FUNCTION,
    GRAYAGAIN,
    HASH,
    KEY,
    KEY_TAG,
    LENGTH,
    L_CI,
    L_OPEN,
    L_STACK,
    L_TOP,
    MARK,
    NEXT,
    NODES,
    NODE_NEXT,
    NUSE,
    STRT,
    STRT_SIZE,
    SURVIVAL,
    SWEEP,
    TABLE,
    TAG,
    TWUPS,
    UPVALUE_OWN,
    UPVALUE_V,
    VALUE_TAG,
    WHITE,
    WHITES,
    Image,
)
from support import document

WILD = 0x1234567890

# Each does damage and returns the address that has to be named.


def short_hash(image):
    text = image.object("zoo.text")
    image.set(text + HASH, image.get(text + HASH, "<I") ^ 0x80000000, "<I")
    return text


def string_bytes(image):
    text = image.object("zoo.text")
    image.set(text + BYTES, ord("A"), "<B")
    return text


def string_end(image):
    text = image.object("zoo.text")
    image.set(text + BYTES + image.get(text + LENGTH, "<B"), 7, "<B")
    return text


def long_hash(image):
    text = image.object("zoo.long")
    image.set(text + HASH, image.get(text + HASH, "<I") ^ 1, "<I")
    return text


def take_out_of_bucket(image, text):
    size = image.global_(STRT_SIZE, "<I")
    link = image.global_(STRT) + 8 * (image.get(text + HASH, "<I") & (size - 1))
    while image.get(link) != text:
        link = image.get(link) + BUCKET_NEXT
    image.set(link, image.get(text + BUCKET_NEXT))


def string_not_interned(image):
    text = image.object("zoo.text")
    take_out_of_bucket(image, text)
    return text


def string_in_wrong_bucket(image):
    text = image.object("zoo.text")
    take_out_of_bucket(image, text)
    size = image.global_(STRT_SIZE, "<I")
    bucket = image.global_(STRT) + 8 * ((image.get(text + HASH, "<I") + 1) & (size - 1))
    image.set(text + BUCKET_NEXT, image.get(bucket))
    image.set(bucket, text)
    return text


def string_duplicate(image):
    """Makes one string the twin of another, in the bucket of the other."""
    first, second = (image.object(f"zoo.tree[{i}].right[1]") for i in (101, 102))
    take_out_of_bucket(image, second)
    for field, form in ((HASH, "<I"), (BYTES, "<I"), (BUCKET_NEXT, "<Q")):
        image.set(second + field, image.get(first + field, form), form)
    image.set(first + BUCKET_NEXT, second)
    return second


def string_count(image):
    image.set(image.state + NUSE, image.global_(NUSE, "<I") + 1, "<I")
    return image.state


def string_bucket(image):
    image.set(image.global_(STRT) + 8 * 3, image.object("zoo.array"))
    return image.state


def list_bit(image):
    table = image.object("zoo.array")
    image.change(table + MARK, lambda mark: mark | FINALIZER)
    return table


def list_broken(image):
    head = image.global_(ALLGC)
    image.set(head + NEXT, WILD & ~7)
    return head


def list_cycle(image):
    table = image.object("zoo.tree[300]")
    image.set(table + NEXT, table)
    return table


def list_shared(image):
    finalized = image.object("zoo.finalized[1]")
    image.set(finalized + NEXT, image.object("zoo.array"))
    return finalized


def list_without_main_thread(image):
    """The main thread is the last on allgc."""
    address = image.global_(ALLGC)
    while image.get(address + NEXT) != image.thread:
        address = image.get(address + NEXT)
    image.set(address + NEXT, 0)
    return image.thread


def list_pointer(image):
    image.set(image.state + SURVIVAL, image.object("zoo.finalized[1]"))
    return image.state


def kind_of_object(image):
    table = image.object("zoo.array[7]")
    image.set(table + TAG, 0x2D, "<B")
    return table


def kind_of_reference(image):
    table = image.object("zoo.array")
    image.set(image.get(table + ARRAY) + 16 * 6 + 8, FUNCTION | COLLECTABLE, "<B")
    return table


def kind_of_second_reference(image):
    """Not the reference that is met first: the same object also is zoo.array[7]."""
    table = image.object("zoo.weak_values")
    image.set(image.get(table + ARRAY) + 16 * 6 + 8, FUNCTION | COLLECTABLE, "<B")
    return table


def reference_into_an_object(image):
    table = image.object("zoo.array")
    slot = image.get(table + ARRAY) + 16 * 6
    image.set(slot, image.get(slot) + 16)
    return table


def part_of_an_object(image):
    table = image.object("zoo.array")
    image.set(table + ARRAY, WILD & ~7)
    return table


def reference_to_dead(image):
    other = image.global_(WHITE, "<B") ^ WHITES
    image.change(
        image.object("zoo.array[7]") + MARK, lambda mark: mark & ~WHITES | other
    )
    return image.object("zoo.array")


def reachable_dead(image):
    reference_to_dead(image)
    return image.object("zoo.array[7]")


def several_colors(image):
    table = image.object("zoo.array[7]")
    image.change(table + MARK, lambda mark: mark | WHITES)
    return table


def black_between_cycles(image):
    table = image.object("zoo.array[7]")
    image.change(table + MARK, lambda mark: mark & ~WHITES | BLACK)
    return table


def missing_barrier(image):
    """In the mark phase: a black table that refers to a table which now is white."""
    white = image.global_(WHITE, "<B") & WHITES
    table = image.global_(ALLGC)
    while table:
        if image.get(table + TAG, "<B") == TABLE and image.color(table) == "black":
            for node in image.nodes(table) if image.get(table + FREE) else ():
                value = image.get(node)
                is_table = image.get(node + VALUE_TAG, "<B") == TABLE | COLLECTABLE
                if is_table and image.color(value) == "black":
                    image.change(value + MARK, lambda mark: mark & ~BLACK | white)
                    return table
        table = image.get(table + NEXT)
    raise AssertionError("no black table refers to a black one")


def missing_barrier_to_young(image):
    """In generational mode: an old table that refers to a new one."""
    white = image.global_(WHITE, "<B") & WHITES
    table = image.object("zoo.array")
    image.set(image.object("zoo.array[7]") + MARK, white, "<B")
    assert image.get(table + MARK, "<B") & 7 == 4
    return table


def old_and_white(image):
    table = image.object("zoo.array")
    white = image.global_(WHITE, "<B") & WHITES
    image.change(table + MARK, lambda mark: mark & 7 | white)
    return table


def young_among_old(image):
    missing_barrier_to_young(image)
    return image.object("zoo.array[7]")


def gray_lists(image):
    image.set(image.state + GRAYAGAIN, 0)
    return image.thread  # an old thread is gray


def sweep_outside(image):
    image.set(image.state + SWEEP, image.object("zoo.array"))
    return image.state


def node_next(image):
    table = image.object("zoo.words")
    image.set(image.nodes(table)[5] + NODE_NEXT, 100000, "<i")
    return table


def node_ring(image):
    table = image.object("zoo.words")
    image.set(image.nodes(table)[5] + NODE_NEXT, 1, "<i")
    image.set(image.nodes(table)[6] + NODE_NEXT, -1, "<i")
    return table


def node_key(image):
    table = image.object("zoo.numbers")
    image.set(image.live_nodes(table, 3)[0] + KEY_TAG, 0, "<B")
    return table


def node_integer(image):
    table = image.object("zoo.numbers")
    node = image.live_nodes(table, 3)[0]
    image.set(node + KEY, image.get(node + KEY) + 1)
    return table


def node_float(image):
    table = image.object("zoo.numbers")
    node = image.live_nodes(table, 0x13)[-1]  # the first is infinity, which hashes to 0
    image.set(node + KEY, image.get(node + KEY) ^ (1 << 51))
    return table


def node_free(image):
    table = image.object("zoo.words")
    image.set(table + FREE, image.get(table + NODES) + 24 * 1000)
    return table


def upvalue_order(image):
    first, second, third = (image.upvalues(f"zoo.captured[{i}]")[0] for i in (1, 2, 3))
    a, b = image.get(first + UPVALUE_V), image.get(second + UPVALUE_V)
    image.set(first + UPVALUE_V, b)
    image.set(second + UPVALUE_V, a)
    return first


def upvalue_place(image):
    upvalue = image.upvalues("zoo.captured[2]")[0]
    image.set(upvalue + UPVALUE_V, image.get(image.thread + L_STACK))
    return upvalue


def upvalue_closed(image):
    upvalue = image.upvalues("zoo.captured[2]")[0]
    image.set(upvalue + UPVALUE_V, upvalue + UPVALUE_OWN)
    return upvalue


def upvalue_lost(image):
    image.set(image.object("zoo.coroutine") + L_OPEN, 0)
    return image.upvalues("zoo.captured[1]")[0]


def upvalue_list(image):
    image.set(image.object("zoo.coroutine") + L_OPEN, image.object("zoo.array"))
    return image.object("zoo.coroutine")


def thread_not_on_twups(image):
    image.set(image.state + TWUPS, 0)
    return image.object("zoo.coroutine")


def thread_top(image):
    thread = image.object("zoo.coroutine")
    image.set(thread + L_TOP, image.get(thread + L_TOP) + 16 * 100000)
    return thread


def thread_call(image):
    thread = image.object("zoo.coroutine")
    image.set(image.get(thread + L_CI) + CI_PREVIOUS, 0)
    return thread


DAMAGE = [
    (short_hash, "string-hash", "pause"),
    (string_bytes, "string-hash", "pause"),
    (long_hash, "string-hash", "pause"),
    (string_end, "string-end", "pause"),
    (string_not_interned, "string-interned", "pause"),
    (string_in_wrong_bucket, "string-interned", "pause"),
    (string_duplicate, "string-duplicate", "pause"),
    (string_count, "string-count", "pause"),
    (string_bucket, "string-table", "pause"),
    (list_bit, "list-wrong", "pause"),
    (list_broken, "list-broken", "pause"),
    (list_cycle, "list-cycle", "pause"),
    (list_shared, "list-shared", "pause"),
    (list_without_main_thread, "list-missing", "pause"),
    (list_pointer, "list-pointer", "churned"),
    (list_pointer, "list-pointer", "pause"),
    (kind_of_object, "object-kind", "pause"),
    (kind_of_reference, "reference-kind", "pause"),
    (kind_of_second_reference, "reference-kind", "pause"),
    (reference_into_an_object, "reference-nowhere", "pause"),
    (part_of_an_object, "object-unreadable", "pause"),
    (reference_to_dead, "reference-dead", "pause"),
    (reachable_dead, "reachable-dead", "pause"),
    (several_colors, "color-bits", "pause"),
    (black_between_cycles, "color-phase", "pause"),
    (missing_barrier, "barrier", "marking"),
    (missing_barrier_to_young, "barrier-age", "generational"),
    (old_and_white, "color-age", "generational"),
    (young_among_old, "age-list", "generational"),
    (gray_lists, "gray-list", "generational"),
    (sweep_outside, "sweep-pointer", "pause"),
    (node_next, "node-next", "pause"),
    (node_ring, "node-next", "pause"),
    (node_key, "node-key", "pause"),
    (node_integer, "node-place", "pause"),
    (node_float, "node-place", "pause"),
    (node_free, "node-free", "pause"),
    (upvalue_order, "upvalue-order", "pause"),
    (upvalue_place, "upvalue-place", "pause"),
    (upvalue_closed, "upvalue-closed", "pause"),
    (upvalue_lost, "upvalue-lost", "pause"),
    (upvalue_list, "upvalue-list", "pause"),
    (thread_not_on_twups, "thread-twups", "pause"),
    (thread_top, "thread-stack", "pause"),
    (thread_call, "thread-call", "pause"),
]


def pick(stages, name):
    """A stage by name; "marking" is the last one in the mark phase of a cycle."""
    if name != "marking":
        return stages[name]
    cycles = [stage for key, stage in stages.items() if key.startswith("cycle")]
    phases = [document(stage.core, "gc")["gc"][0]["phase"] for stage in cycles]
    return [s for s, phase in zip(cycles, phases) if phase == "propagate"][-1]


@pytest.mark.parametrize(
    "damage, code, stage", DAMAGE, ids=[f"{d.__name__}-{s}" for d, _, s in DAMAGE]
)
def test_damage_is_found(stages, tmp_path, damage, code, stage):
    image = Image(pick(stages, stage).core)
    address = damage(image)
    status, answer = image.check(tmp_path)
    assert status == 1
    found = {(each["code"], int(each["address"], 16)) for each in answer["violations"]}
    assert (code, address) in found, [each["message"] for each in answer["violations"]]
    assert code in {each["code"] for each in answer["kinds"]}
