"""`globals`: what is not of the standard library, by the program's own account."""

import json
import subprocess

import pytest
from support import ROOT, Server, document, gcore, inspect

# Runs a program as lua would, and prints which names it has added to _G.
LIST_NAMES = """
local standard = {}
for name in pairs(_G) do standard[name] = true end
dofile(arg[1])
for name in pairs(_G) do
  if not standard[name] then io.stderr:write(name, "\\n") end
end
"""


@pytest.fixture(scope="module")
def globals_core(tmp_path_factory):
    folder = tmp_path_factory.mktemp("globals")
    core = folder / "globals.core"
    server = Server(ROOT / "tests" / "e2e" / "globals.lua", folder)
    gcore(server.process, core)
    server.answer()
    return core


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """Of a program of cores/, the globals it makes."""
    script = tmp_path_factory.mktemp("names") / "names.lua"
    script.write_text(LIST_NAMES)

    def run(program):
        result = subprocess.run(
            ["lua5.4", script, ROOT / "cores" / program],
            input="\n",
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        return set(result.stderr.split())

    return run


def test_globals_of_kept_cores(packed_core, names):
    """No standard name of any release is taken for one of the program's, and none is missed."""
    provenance = json.loads((ROOT / "cores" / "provenance.json").read_text())
    origin = provenance.get(packed_core.path.name[: -len(".core")])
    expected = names(origin["program"] if origin else "server.lua")
    found = document(packed_core.path, "globals")["globals"]
    assert {row["path"] for row in found} == {f"_G.{name}" for name in expected}
    assert {row["kind"] for row in found} == {"global"}


def test_kinds_and_values(globals_core):
    answer = document(globals_core, "globals")
    found = {row["path"]: row for row in answer["globals"]}
    kinds = {path: row["kind"] for path, row in found.items()}
    assert kinds == {
        "_G.a_table": "global",
        "_G.a_number": "global",
        "_G.a_float": "global",
        "_G.a_boolean": "global",
        "_G.a_string": "global",
        '_G["not a name"]': "global",
        "_G[7]": "global",
        "_G.a_function": "global",
        "_G.c_function": "global",
        "string.trim": "field",
        "math.tau": "field",
        "table.insert": "replaced",
        "_G.print": "replaced",
    }
    assert found["_G.a_number"]["value"] == 42
    assert found["_G.a_float"]["value"] == 1.5
    assert found["_G.a_boolean"]["value"] is False
    assert found["_G.a_string"]["value"] == "some\x1btext"
    assert found["_G[7]"]["type"] == "number" and found["_G[7]"]["address"] is None
    assert found["_G.a_table"]["value"] == "table, 1,000 entries"
    assert found["_G.a_table"]["class"] == "[string]"
    assert found["_G.c_function"]["type"] == "cfunction"
    assert found["string.trim"]["class"].startswith("function globals.lua:")
    assert answer["globals"][0] is found["_G.a_table"]
    retained = found["_G.a_table"]["retained_bytes"]
    assert retained > found["_G.a_table"]["bytes"] + 1000 * 30
    whole = [row["retained_bytes"] or 0 for row in answer["globals"]]
    assert whole == sorted(whole, reverse=True)
    assert max(whole) <= answer["retained_together"] <= sum(whole)


def test_paths_can_be_typed(globals_core):
    for row in document(globals_core, "globals")["globals"]:
        if row["address"]:
            assert row["address"] in inspect(globals_core, "paths", row["path"]).stdout


def test_page(globals_core):
    result = inspect(globals_core, "globals", "--limit", "3")
    assert result.returncode == 0
    lines = result.stdout.splitlines()
    assert lines[2].startswith(
        "9 globals of the program, 2 fields put into standard tables, "
        "2 standard functions replaced; together"
    )
    assert r"\u{001B}" in inspect(globals_core, "globals").stdout
    assert "10 more entries: --limit 13" in lines
    assert max(map(len, lines)) <= 100
    assert lines[-1].startswith("next")
