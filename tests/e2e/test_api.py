"""`import lua_inspect`: what scripts are told is what the commands say, at the price of what they ask."""

import gc
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter

import pytest
from dumped import dumped
from support import PLUGIN, ROOT, clean_environment, document, gdb, inspect

sys.path.insert(0, str(ROOT / "plugin"))
import lua_inspect  # noqa: E402
from lua_inspect import library, objects, worker  # noqa: E402

NPCS, DEAD = 20000, 500
MANY = f"""
collectgarbage("stop")
local Npc = {{__name = "Npc"}}
npcs = {{}}
for i = 1, {NPCS} do
  npcs[i] = setmetatable({{name = "npc " .. i, place = {{x = i, y = i}}}}, Npc)
end
weak = setmetatable({{[npcs[1]] = {{}}, text = npcs[2]}}, {{__mode = "k"}})
caught = setmetatable({{npcs[3]}}, {{__mode = "v"}})
finalized = setmetatable({{}}, {{__gc = function() end}})
odd = "any\\0\\255\\27byte"
for i = 1, {DEAD} do local _ = {{dead = i}} end
do local _ = setmetatable({{}}, {{__gc = function() end}}) end
print("READY") io.stdout:flush() io.read()
"""


@pytest.fixture(scope="module")
def many_core(tmp_path_factory):
    if not shutil.which("lua5.4"):
        pytest.skip("lua5.4 is not installed")
    folder = tmp_path_factory.mktemp("many")
    (folder / "many.lua").write_text(MANY)
    return dumped(folder, "lua5.4", "many.lua", name="many")


@pytest.fixture(scope="module")
def many(many_core):
    with lua_inspect.open(many_core) as session:
        yield session


@pytest.fixture(params=["debian-5.4.2", "debian-5.4.4", "debian-5.5.1", "many"])
def session(request, kept_core):
    name = request.param
    core = request.getfixturevalue("many_core") if name == "many" else kept_core(name)
    with lua_inspect.open(core) as opened:
        yield opened


# ---- The same as the commands say


def test_vms_are_those_of_states(session):
    states = document(session.core, "states")["vms"]
    assert len(session.vms) == len(states)
    for vm, said in zip(session.vms, states):
        assert vm.index == said["index"]
        assert vm.address == int(said["address"], 16)
        assert (vm.lua, vm.release) == (said["lua"], said["release"])
        assert vm.object_count == len(vm.objects) == said["objects"]
        assert vm.coroutines == said["coroutines"]
        assert vm.heap_bytes == said["heap_bytes"]
        assert vm.accounted_bytes == said["accounted_bytes"]
        assert vm.residual_bytes == said["residual_bytes"]
        assert vm.object_bytes == sum(vm.objects.columns("bytes")[0])
    assert len(session.objects) == sum(vm["objects"] for vm in states)


def test_classes_bytes_and_states_are_those_of_heap(session):
    heap = document(session.core, "heap")
    counts, sizes, states = Counter(), Counter(), Counter()
    for each in session.objects:
        counts[each.type, each.cls] += 1
        sizes[each.type, each.cls] += each.bytes
        states[each.state] += 1
    groups = {(group["type"], group["name"]): group for group in heap["groups"]}
    assert counts == {key: group["count"] for key, group in groups.items()}
    assert sizes == {key: group["bytes"] for key, group in groups.items()}
    for state in ("live", "finalizer", "garbage"):
        assert states[state] == heap[state]["objects"], state
    assert states["garbage"] >= (DEAD if "many" in session.core else 1)


def test_columns_are_the_attributes(session):
    names = ["address", "bytes", "retained", "number", "vm"]
    columns = session.objects.columns(*names, "type", "cls", "dominator")
    assert list(columns[0]) == sorted(set(columns[0]))
    assert list(columns[3]) == list(range(len(session.objects)))
    for number in range(0, len(session.objects), 97):
        one = session.objects[number]
        row = [column[number] for column in columns]
        assert [getattr(one, name) for name in names] == row[:5]
        assert session.type_names[row[5]] == one.type
        assert session.class_names[row[6]] == one.cls
        holder = one.dominator
        assert row[7] == (0xFFFFFFFF if holder is None else holder.number)
        assert session.object(one.address) == one


def test_retained_bytes_add_up(session):
    """Of an object: its own, and those of the objects that it alone holds."""
    retained, sizes, holders = session.objects.columns("retained", "bytes", "dominator")
    expected = list(sizes)
    live = {each.number for each in session.objects.where(live=True)}
    for number in range(len(sizes)):
        assert number in live or retained[number] == 0
    below = Counter()
    for number, holder in enumerate(holders):
        if holder != 0xFFFFFFFF:
            below[holder] += retained[number]
    for number in live:
        assert retained[number] == expected[number] + below[number]


def folded(target):
    """refs shows the value that lies behind an upvalue object."""
    return target.refs[0].target if target.type == "upvalue" and target.refs else target


def test_references_are_those_of_refs(session):
    for path in ("_G", "registry", "package.loaded", "_G.string", "_G.require"):
        try:
            one = session.object(path)
        except lua_inspect.Error as error:
            assert error.code == "not-found"
            continue
        said = session.run("refs", path, "--out")["objects"][0]
        assert len(one.refs) == said["outgoing_count"]
        expected = Counter(
            (row["address"], row["label"] or "", row["strength"], row["kind"])
            for row in said["outgoing"]
        )
        assert expected == Counter(
            (hex(folded(each.target).address), each.label, each.strength, each.kind)
            for each in one.refs
        )


def test_referrers_are_the_references_turned_around(session):
    incoming = {}
    step = len(session.objects) // 5
    asked = [session.objects[i] for i in range(0, len(session.objects), step)]
    asked.append(session.object("_G"))
    wanted = {one.number for one in asked}
    for source in session.objects:
        for position, target in enumerate(source.refs.columns("target")[0]):
            if target in wanted:
                incoming.setdefault(target, []).append((source.number, position))
    for one in asked:
        found = one.referrers
        assert [each.source.number for each in found] == [
            number for number, _ in incoming.get(one.number, [])
        ]
        for each, (source, position) in zip(found, incoming.get(one.number, [])):
            assert each.target == one
            assert each.label == session.objects[source].refs[position].label


def test_labels_are_paths(session):
    """The path of an object with a label behind it leads to what is referred to."""
    checked = 0
    for one in session.objects.where(type=["table", "userdata"])[::7]:
        for each in one.refs:
            path = hex(one.address) + each.label
            assert session.object(path) == each.target, path
            checked += 1
    assert checked > 50


def test_commands_are_what_the_shell_prints(session):
    for command in (["states"], ["heap", "--by", "type"], ["paths", "_G.string"]):
        assert session.run(*command) == document(session.core, *command)
        assert session.text(*command) == inspect(session.core, *command).stdout
    one = session.object("_G.string")
    assert one.paths() == document(session.core, "paths", hex(one.address))["paths"]
    assert len(one.paths(k=2)) <= 2
    assert one.print() == inspect(session.core, "print", hex(one.address)).stdout


# ---- What a known program has


def test_known_objects(many):
    npcs = many.objects.where(cls="Npc")
    assert len(npcs) == NPCS
    assert {one.type for one in npcs[::1000]} == {"table"}
    first = many.object("npcs[1]")
    assert first in npcs and first in many.objects and first not in npcs[:0]
    assert first.words.startswith("table, 2 entries")
    assert repr(first) == f"<{first.words} at {first.address:#x}>"
    fields = {each.label: each.target for each in first.refs if each.kind == "field"}
    assert set(fields) == {".name", ".place"} and fields[".place"].cls == "{x, y}"
    assert first.vm == 1 and first.live and first.state == "live"
    assert first.retained > first.bytes
    name = many.object("npcs[1].name")
    assert name.string == b"npc 1" and first.string is None
    assert many.object("odd").string == b"any\0\xff\x1bbyte"
    assert [each.source for each in many.object("npcs[7]").referrers] == [
        many.object("npcs")
    ]


def test_flags_and_strength(many):
    assert many.object("weak").flags == ("weak-keys",)
    assert many.object("caught").flags == ("weak-values",)
    assert many.object("finalized").flags == ("has-finalizer",)
    assert many.object("npcs").flags == ()
    weak = many.object("weak").refs
    strengths = {
        each.kind: each.strength for each in weak if each.target.type == "table"
    }
    assert strengths == {
        "key": "weak",
        "index": "ephemeron",
        "field": "strong",
        "metatable": "strong",
    }
    assert [each.weak for each in weak if each.kind == "metatable"] == [False]
    caught = [each for each in many.object("caught").refs if each.label == "[1]"]
    assert [each.weak for each in caught] == [True]
    assert len(many.objects.where(flags="weak-keys")) >= 1
    assert not many.objects.where(flags=["weak-keys", "weak-values"], cls="Npc")
    dead = many.objects.where(cls="{dead}")
    assert len(dead) == DEAD
    assert {one.state for one in dead} == {"garbage"}
    assert not any(one.live or one.retained or one.dominator for one in dead[:10])
    finalizer = [
        one for one in many.objects.where(live=False) if one.state != "garbage"
    ]
    assert {one.state for one in finalizer} == {"finalizer"}


@pytest.mark.parametrize(
    "wanted, model",
    [
        ({}, lambda one: True),
        ({"type": "table"}, lambda one: one.type == "table"),
        (
            {"type": ["string", "thread"]},
            lambda one: one.type in ("string", "thread"),
        ),
        ({"type": re.compile("func")}, lambda one: "func" in one.type),
        ({"type": []}, lambda one: False),
        ({"cls": "Npc"}, lambda one: one.cls == "Npc"),
        ({"cls": "string"}, lambda one: one.cls == "string"),
        ({"cls": "no such class"}, lambda one: False),
        ({"cls": re.compile("^[{]x, ")}, lambda one: one.cls == "{x, y}"),
        ({"min_bytes": 100}, lambda one: one.bytes >= 100),
        ({"min_retained": 300}, lambda one: one.retained >= 300),
        ({"live": True}, lambda one: one.live),
        (
            {"live": False, "type": "table"},
            lambda one: one.type == "table" and not one.live,
        ),
        ({"vm": 1}, lambda one: one.vm == 1),
        ({"flags": "fixed"}, lambda one: "fixed" in one.flags),
    ],
)
def test_where_finds_what_a_loop_finds(many, wanted, model):
    for part in (many.objects, many.objects[10:-10:3], many.objects[::-1]):
        found = part.where(**wanted)
        assert [one.number for one in found] == [
            one.number for one in part if model(one)
        ]


def test_objects_are_a_sequence(many):
    everything, numbers = many.objects, range(len(many.objects))
    for part in (slice(5, 50), slice(-7, None), slice(None, None, -9000), slice(9, 3)):
        assert [one.number for one in everything[part]] == list(numbers[part])
        assert [one.number for one in everything[3:][part]] == list(numbers[3:][part])
    assert everything[-1].number == numbers[-1]
    assert [one.number for one in reversed(everything[:3])] == [2, 1, 0]
    tables = everything.where(type="table")
    assert tables[1] == tables[:2][-1] == list(tables[:2])[1]
    assert tables.columns("address")[0][1] == tables[1].address
    for index in (len(everything), -len(everything) - 1):
        with pytest.raises(IndexError):
            everything[index]
    with pytest.raises(IndexError):
        everything[:0][0]
    assert not everything[:0] and list(everything[:0]) == []
    refs = many.object("npcs").refs
    assert len(refs) == NPCS
    assert [each.label for each in refs[-2:]] == [f"[{NPCS - 1}]", f"[{NPCS}]"]
    assert [each.label for each in refs[::-5000]] == [each.label for each in refs][
        ::-5000
    ]
    weak = many.object("weak").refs
    targets, kinds, strengths = weak.columns("target", "kind", "strength")
    assert list(targets) == [each.target.number for each in weak]
    assert [many.kind_names[kind] for kind in kinds] == [each.kind for each in weak]
    assert [many.strength_names[each] for each in strengths] == [
        each.strength for each in weak
    ]
    npcs = many.objects.where(cls="Npc").columns("address")[0]
    assert sorted(refs.columns("address")[0]) == list(npcs)


# ---- At the price of what is asked


def test_work_is_done_in_batches(many_core, monkeypatch):
    calls, made = Counter(), Counter()

    def counted(owner, name, counter):
        inner = getattr(owner, name)

        def call(*arguments):
            counter[name] += 1
            return inner(*arguments)

        monkeypatch.setattr(owner, name, call)

    for name in ("objects", "select", "prepare", "references"):
        counted(library.Cursors, name, calls)
    counted(objects.Object, "__init__", made)
    counted(objects.Reference, "__init__", made)
    with lua_inspect.open(many_core) as session:
        assert not calls  # nothing is read before it is asked for
        count = len(session.objects)
        assert count > 3 * NPCS and calls == {"prepare": 1}
        batches = -(-count // objects.BATCH)
        sizes, retained = session.objects.columns("bytes", "retained")
        assert calls == {"prepare": 2, "objects": batches} and not made
        assert len(sizes) == len(retained) == count
        assert memoryview(sizes).nbytes == 8 * count
        calls.clear()
        selected = session.objects.where(type="table", min_bytes=57)
        assert calls["select"] <= batches and not calls["objects"] and not made
        assert 0 < len(selected[10:][::2]) < count and not made
        calls.clear()
        assert sum(one.bytes for one in session.objects) == sum(sizes)
        assert calls == {"objects": batches} and made == {"__init__": count}
        made.clear()
        for one in session.objects[:10000]:  # the first ones need a stage more
            assert one.cls
        assert calls["objects"] <= batches + objects.BATCH + 5 and calls["prepare"] == 1
        session.object("npcs").refs.columns("target")
        assert calls["references"] == -(-NPCS // objects.BATCH)


# ---- Errors


def refused(work):
    with pytest.raises(lua_inspect.Error) as caught:
        work()
    assert caught.value.message and caught.value.hint
    assert caught.value.message in str(caught.value)
    return caught.value


def test_what_is_not_there(many, foreign_core, tmp_path):
    assert refused(lambda: many.object("_G.nothing")).code == "not-found"
    assert refused(lambda: many.object("a..b")).code == "usage"
    error = refused(lambda: many.object(3))
    assert (error.code, error.address) == ("not-found", 3)
    error = refused(lambda: many.object("0x3"))
    assert (error.code, error.address) == ("not-found", 3)
    error = refused(lambda: many.run("paths", "0x3"))
    assert (error.code, error.address) == ("not-found", 3)
    for address in (-1, 1 << 64, many.objects[5].address + 1):
        assert refused(lambda: many.object(address)).code == "not-found"
    assert refused(lambda: many.object("npcs", vm=2)).code == "not-found"
    assert refused(lambda: many.objects.where(vm=2)).code == "not-found"
    assert refused(lambda: many.objects.where(type="tabel")).code == "usage"
    assert refused(lambda: many.objects.where(flags="weak")).code == "usage"
    assert refused(lambda: many.objects.columns("adress")).code == "usage"
    assert refused(lambda: many.objects.columns()).code == "usage"
    assert refused(lambda: many.run("leeks")).code == "usage"
    assert refused(lambda: many.run("leaks", "--no-such")).code == "usage"
    assert refused(lambda: many.run("paths", "_G.nothing")).code == "not-found"
    assert refused(lambda: many.text("paths", "_G.nothing")).code == "not-found"
    assert refused(lambda: lua_inspect.open(tmp_path / "none")).code == "system"
    assert refused(lambda: lua_inspect.open(__file__)).code == "target"
    assert refused(lua_inspect.current).code == "usage"
    with lua_inspect.open(foreign_core) as session:
        assert refused(lambda: session.objects).code == "target"
        assert refused(lambda: session.run("leaks")).code == "target"


def test_a_closed_session_says_so(kept_core):
    session = lua_inspect.open(kept_core("debian-5.4.4"))
    everything, one = session.objects, session.object("_G")
    refs = one.refs
    session.close()
    session.close()
    for work in (
        lambda: session.objects,
        lambda: session.run("states"),
        lambda: next(iter(everything)),
        lambda: everything.columns("bytes"),
        lambda: everything.where(type="table"),
        lambda: one.retained,
        lambda: one.words,
        lambda: one.referrers,
        lambda: refs[0],
        lambda: one == one,
    ):
        assert "closed" in refused(work).message


def test_a_session_that_nobody_has_is_closed(kept_core, monkeypatch):
    closed, close = [], library.Session.close
    monkeypatch.setattr(
        library.Session, "close", lambda self: (closed.append(self), close(self))
    )
    one = lua_inspect.open(kept_core("debian-5.4.4")).object("_G")
    gc.collect()
    assert not closed and one.refs  # an object keeps its session
    del one
    gc.collect()
    assert len(closed) == 1


def test_ctrl_c_waits_for_the_work_to_end():
    patience, ended = worker.Patience(), []

    def work():
        while not patience.cancelled():
            pass
        ended.append(True)

    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        patience.wait(work)
    assert ended
    assert worker.Patience().wait(lambda: 42) == 42
    with pytest.raises(ZeroDivisionError):
        worker.Patience().wait(lambda: 1 // 0)


def test_everything_public_is_documented():
    for name in lua_inspect.__all__:
        public = getattr(lua_inspect, name)
        if name == "FLAGS":
            continue
        assert public.__doc__, name
        for member, value in vars(public).items():
            if not member.startswith("_") and (
                callable(value) or isinstance(value, property)
            ):
                inherited = getattr(objects.Batched, member, None)
                assert value.__doc__ or inherited, f"{name}.{member}"


# ---- In other Pythons


def test_plain_python(kept_core):
    """In a Python of its own, from the folder of the plugin."""
    core = kept_core("debian-5.4.4")
    program = (
        "import lua_inspect, sys\n"
        "with lua_inspect.open(sys.argv[1]) as session:\n"
        "    print(len(session.objects))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, core],
        cwd=ROOT / "plugin",
        env=clean_environment(),
        capture_output=True,
        check=False,
        text=True,
    )
    assert result.stderr == ""
    assert int(result.stdout) == document(core, "states")["vms"][0]["objects"]


def test_debugger_has_the_core_open(debugger, kept_core, tmp_path):
    core = tmp_path / "changing.core"
    shutil.copy2(kept_core("debian-5.4.4"), core)
    python = debugger.python
    result = debugger.run(
        python("import lua_inspect"),
        python("print('none', end=' ')"),
        python("s = lua_inspect.current(); print(len(s.objects))"),
        python("print(s._key() is lua_inspect.current()._key())"),
        python("print(s.run('leaks')['command'], s.core)"),
        "lua-states",
        python("print(lua_inspect.current().object('_G') == s.object('_G'))"),
        python("s.close(); print(len(lua_inspect.current().objects))"),
        debugger.shell(f"touch {core}"),
        python("n = len(lua_inspect.current().objects); print('then', n)"),
        python("s.objects"),
        core=core,
    )
    count = document(core, "states")["vms"][0]["objects"]
    lines = result.stdout.split("none ")[1].splitlines()
    assert lines[:3] == [str(count), "True", f"leaks {core}"]
    then = lines.index(f"then {count}")
    assert lines[then - 2 : then] == ["True", str(count)]
    assert "the session is closed" in result.stderr + result.stdout


def test_debugger_without_a_core(debugger):
    code = "import lua_inspect; lua_inspect.current()"
    result = debugger.run(debugger.python(code))
    assert "no core file is loaded" in result.stderr + result.stdout
    assert PLUGIN.exists()
