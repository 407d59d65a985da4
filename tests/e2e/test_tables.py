"""`tables`: what it calls waste is what Lua gives back when it rehashes."""

import subprocess

import pytest
from minicore import write_core
from support import ROOT, clean_environment, document, inspect

NODE = 24  # bytes of a node of a hash part
# 5.5 leaves the array part alone if no integer key is to move there, and takes a quarter more nodes
# where keys were deleted: of these tables the size is the same.
COMPARABLE_IN_55 = {"names", "emptied", "negative", "sparse"}


class Wasteful:
    def __init__(self, command, folder):
        self.core = folder / "waste.core"
        process = subprocess.Popen(
            [*command, str(ROOT / "tests" / "e2e" / "waste.lua")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            env=clean_environment(),
        )
        assert process.stdout.readline() == "READY\n"
        write_core(process.pid, self.core)
        lines = process.communicate("\n", timeout=60)[0].splitlines()
        self.given = {name: int(count) for name, count in map(str.split, lines)}
        self.answer = document(self.core, "tables", "--waste", "--limit", "1000")


@pytest.fixture(scope="module")
def wasteful(tmp_path_factory):
    return Wasteful(["lua5.4"], tmp_path_factory.mktemp("waste"))


def named(answer):
    prefix = "_G.cases."
    return {
        row["path"][len(prefix) :]: row
        for row in answer["tables"]
        if row["path"].startswith(prefix)
    }


def compare(wasteful, names):
    found = named(wasteful.answer)
    for name in names:
        given = wasteful.given[name]
        if given < 0:  # it had to grow
            assert name not in found
            continue
        # the key that makes Lua rehash needs a node, too
        extra = NODE if found[name]["best_hash_nodes"] == 0 else 0
        assert found[name]["waste_bytes"] - extra == given, name


def test_waste_is_what_a_rehash_gives_back(wasteful):
    assert len(wasteful.given) == 10
    compare(wasteful, wasteful.given)


def test_waste_in_other_releases(tmp_path, release):
    wasteful = Wasteful(release.command, tmp_path)
    compare(wasteful, COMPARABLE_IN_55 if release.number >= "5.5" else wasteful.given)


def test_sizes_of_single_tables(wasteful):
    found = named(wasteful.answer)
    assert found["names"]["hash_nodes"] == 1024
    assert found["names"]["hash_used"] == 300
    assert found["names"]["best_hash_nodes"] == 512
    assert (found["array"]["array_slots"], found["array"]["array_used"]) == (1024, 10)
    assert found["array"]["best_array_slots"] == 16
    assert found["holes"]["best_array_slots"] == 0
    assert found["emptied"]["best_hash_nodes"] == 32
    assert found["objects"]["class"] == "{[{}] = number}"


@pytest.mark.parametrize("arguments", [[], ["--waste"]])
def test_sums(packed_core, arguments):
    answer = document(packed_core.path, "tables", "--limit", "100000", *arguments)
    total, classes, tables = (answer[key] for key in ("total", "classes", "tables"))
    assert answer["more"] == 0
    for key in ("waste_bytes", "wasteful_tables"):
        assert sum(row[key] for row in classes) == total[key]
    assert sum(row["waste_bytes"] for row in tables) == total["waste_bytes"]
    key = "waste_bytes" if arguments else "bytes"
    assert [row[key] for row in tables] == sorted(
        (row[key] for row in tables), reverse=True
    )
    for row in [total, *classes, *tables]:
        assert row["array_used"] <= row["array_slots"]
        assert row["hash_used"] <= row["hash_nodes"]
    if arguments:
        assert all(row["waste_bytes"] for row in tables + classes)
    else:
        assert sum(row["tables"] for row in classes) == total["tables"] == len(tables)
        groups = document(packed_core.path, "heap", "--by", "type", "--live")["groups"]
        heap = next(group for group in groups if group["name"] == "table")
        assert (heap["count"], heap["bytes"]) == (total["tables"], total["bytes"])


def test_page(wasteful):
    result = inspect(wasteful.core, "tables", "--waste", "--limit", "3")
    assert result.returncode == 0
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 100
    first = next(line for line in lines if "_G.cases" in line)
    assert "_G.cases.emptied" in first and "20 of 4,096" in first
    assert lines[-1].startswith("next")
    assert any("more tables: --limit" in line for line in lines)
