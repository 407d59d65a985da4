"""`find`: every condition against the list of all objects, and its list named by other commands."""

import fnmatch
import json
import re
import shutil

import pytest
from one_session import OneSession, Refused
from support import document, inspect


@pytest.fixture(scope="module", params=["debian-5.4.4", "debian-5.5.1"])
def session(request, kept_core):
    opened = OneSession(kept_core(request.param))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def everything(session):
    """All objects, with what they retain."""
    return session.document("find", "--sort retained")["objects"]


def addresses(objects):
    return {each["address"] for each in objects}


def found(session, arguments):
    answer = session.document("find", arguments)
    assert answer["count"] == len(answer["objects"])
    assert answer["bytes"] == sum(each["bytes"] for each in answer["objects"])
    return answer["objects"]


def test_all_objects_are_there_once(session, everything):
    answer = session.document("find")
    assert answer["count"] == len(addresses(everything)) == len(everything)
    assert answer["count"] == answer["vms"][0]["objects"]
    groups = session.document("heap")["groups"]
    assert answer["bytes"] == sum(group["bytes"] for group in groups)
    assert all(each["retained_bytes"] is None for each in answer["objects"])


CONDITIONS = {
    "--type string": lambda o: o["type"] == "string",
    "--type thread": lambda o: o["type"] == "thread",
    "--type cfunction": lambda o: o["type"] == "cfunction",
    "--type prototype --min-bytes 300": lambda o: o["type"] == "prototype"
    and o["bytes"] >= 300,
    "--min-bytes 1K": lambda o: o["bytes"] >= 1000,
    "--min-bytes 1Ki": lambda o: o["bytes"] >= 1024,
    "--retained 1.5K": lambda o: (o["retained_bytes"] or 0) >= 1500,
    "--class Npc": lambda o: o["class"] == "Npc",
    "--class '*'": lambda o: True,
    "--class string": lambda o: o["type"] == "string",
    "--class N?c": lambda o: o["class"] == "Npc",
    "--class '*leaky.lua*'": lambda o: "leaky.lua" in (o["class"] or ""),
    "--class 'FILE*'": lambda o: (o["class"] or "").startswith("FILE"),
    "--source leaky.lua": lambda o: re.search(r" leaky\.lua:\d+$", o["class"] or ""),
    "--source leaky.lua:1?": lambda o: re.search(r" leaky\.lua:1\d$", o["class"] or ""),
    "--source nowhere.lua": lambda o: False,
    "--type table --class Npc --retained 200": lambda o: o["class"] == "Npc"
    and o["retained_bytes"] >= 200,
}


@pytest.mark.parametrize("arguments", CONDITIONS)
def test_conditions(session, everything, arguments):
    expected = [each for each in everything if CONDITIONS[arguments](each)]
    assert addresses(found(session, arguments)) == addresses(expected)
    assert expected or "nowhere" in arguments


def test_live_and_garbage_are_all(session, everything):
    live, garbage = found(session, "--live"), found(session, "--garbage")
    assert addresses(live) | addresses(garbage) == addresses(everything)
    assert not addresses(live) & addresses(garbage) and garbage
    assert not any(each["live"] for each in garbage)
    assert addresses(found(session, "--live --garbage")) == addresses(everything)


@pytest.mark.parametrize("glob", ["npc#*", "*a*", "__gc", "*#1?", "?"])
def test_strings_by_text(session, everything, glob):
    texts = {}
    for each in everything:
        if each["type"] == "string":
            value = session.document("print", each["address"])["values"][0]["value"]
            if value["value"] is not None:  # in a file that is not at hand
                texts[each["address"]] = value["value"]
    expected = {a for a, text in texts.items() if fnmatch.fnmatchcase(text, glob)}
    assert addresses(found(session, f"--string '{glob}'")) == expected and expected


def string_keys(session, everything):
    """The string keys of each table, from its references."""
    result = {}
    for each in everything:
        if each["type"] != "table":
            continue
        rows = session.document("refs", f"{each['address']} --out")["objects"][0][
            "outgoing"
        ]
        keys = [row["label"] for row in rows if row["kind"] == "key"]
        result[each["address"]] = {
            json.loads(key[5:-1]) for key in keys if re.match(r':key\("[ -~]*"\)$', key)
        }
    return result


def test_tables_by_keys(session, everything):
    keys = string_keys(session, everything)
    for name in ("id", "description", "time", "nothing has this"):
        expected = {address for address, names in keys.items() if name in names}
        assert addresses(found(session, f"--key '{name}'")) == expected
    for names in ({"description", "time"}, {"id", "pos", "hp"}, {"x"}):
        expected = {address for address, has in keys.items() if names <= has}
        assert (
            addresses(found(session, "--shape " + ",".join(names))) == expected
            and expected
        )
    expected = {
        address for address, has in keys.items() if {"time", "description"} <= has
    }
    assert addresses(found(session, "--key time --shape description")) == expected


def test_tables_by_shape(session):
    """As `heap --by shape` counts them."""
    groups = session.document("heap", "--by shape")["groups"]
    for group in groups:
        if group["type"] == "table" and group["name"] != "table":
            pattern = group["name"].replace("\\", "\\\\\\\\").replace("*", "\\\\*")
            objects = found(session, f"--shape '{pattern}'")
            assert len(objects) == group["count"], group
            assert sum(each["bytes"] for each in objects) == group["bytes"]


@pytest.mark.parametrize("order", ["biggest", "bytes", "retained", "address", "class"])
def test_orders(session, everything, order):
    objects = session.document("find", f"--sort {order}")["objects"]
    assert addresses(objects) == addresses(everything)
    keys = {
        "biggest": lambda o: (-o["bytes"], int(o["address"], 16)),
        "bytes": lambda o: (-o["bytes"], int(o["address"], 16)),
        "retained": lambda o: (-(o["retained_bytes"] or 0), int(o["address"], 16)),
        "address": lambda o: int(o["address"], 16),
        "class": lambda o: (o["class"] or o["type"], int(o["address"], 16)),
    }
    assert objects == sorted(objects, key=keys[order])
    some = session.document("find", f"--sort {order} --limit 7")
    assert some["objects"] == objects[:7] and some["count"] == len(objects)


def test_retained_sorts_by_retained(session):
    objects = found(session, "--retained 500")
    sizes = [each["retained_bytes"] for each in objects]
    assert sizes == sorted(sizes, reverse=True) and sizes


def test_lines_can_be_named_afterwards(session):
    page = session.text("find", "--class Npc --limit 5")
    rows = re.findall(r"^@(\d+) +(0x[0-9a-f]+) ", page, re.MULTILINE)
    assert [number for number, _ in rows] == list("12345")
    for number, address in rows:
        session.text("find", "--class Npc --limit 5")
        for command, key in (("print", "values"), ("refs", "objects")):
            session.text("find", "--class Npc --limit 5")
            assert session.document(command, f"@{number}")[key][0]["address"] == address
        session.text("find", "--class Npc --limit 5")
        assert (
            session.document("paths", f"@{number}")["paths"][0]["chain"][-1]["address"]
            == address
        )
    with pytest.raises(Refused, match="the last list has 5 entries"):
        session.text("find", "--class Npc --limit 5")
        session.text("print", "@6")


def test_answers_do_not_depend_on_earlier_ones(session, kept_core):
    """In a debugger the session is kept: what it knows by then must not show."""
    fresh = OneSession(session.core)
    commands = [("find", "--class Npc"), ("refs", "_G.cycle"), ("print", "_G.cycle")]
    session.text("find", "--retained 1")
    for command, arguments in commands:
        assert fresh.text(command, arguments) == session.text(command, arguments)
    fresh.close()


def test_the_next_command_names_a_line(kept_core, debugger):
    core = kept_core("debian-5.4.4")
    commands = ["lua-find --class Npc --limit 3"]
    commands += [
        f"lua-{command} @2" for command in ("print", "refs", "retained", "paths")
    ]
    for command in commands[1:]:
        page = debugger.run(commands[0], command, core=core).stdout
        address = re.search(r"^@2 +(0x[0-9a-f]+) ", page, re.MULTILINE)[1]
        assert f"\n{address}   table, 3 entries   class Npc   alive\n" in page, command


def test_none(kept_core):
    core = kept_core("debian-5.4.4")
    result = inspect(core, "find", "--class", "NoSuchClass")
    assert result.returncode == 0 and "\n0 objects, 0 B\n" in result.stdout
    assert document(core, "find", "--class", "NoSuchClass")["objects"] == []


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        (["--type", "tabel"], "--type: 'tabel' is none of any, string, table,"),
        (["--min-bytes", "10X"], "--min-bytes: '10X' is no size"),
        (["--sort", "count"], "--sort: 'count' is none of biggest, bytes, retained"),
        (["--by", "type"], "find has no option --by"),
        (["something"], "find takes no argument"),
        (["--shape", ",".join(["k"] * 65)], "--shape takes at most 64 keys"),
    ],
)
def test_refused(kept_core, arguments, complaint):
    result = inspect(kept_core("debian-5.4.4"), "find", *arguments)
    assert result.returncode == 2 and complaint in result.stderr
