"""`strings`: what is there twice is what the program made twice."""

import re

import pytest
from support import ROOT, Server, document, gcore, inspect


class Strings:
    def __init__(self, folder):
        self.core = folder / "strings.core"
        server = Server(ROOT / "tests" / "e2e" / "strings.lua", folder)
        gcore(server.process, self.core)
        lines = [line.split() for line in server.answer().splitlines()]
        self.copies = {
            (int(length), int(number)): int(n) for length, number, n in lines
        }


@pytest.fixture(scope="module")
def strings(tmp_path_factory):
    return Strings(tmp_path_factory.mktemp("strings"))


def test_duplicates_are_those_of_the_program(strings):
    answer = document(strings.core, "strings", "--duplicates", "--limit", "100000")
    found = {}
    for row in answer["duplicates"]:
        match = re.match(
            r"a text of some length, which is followed by number (\d+)", row["text"]
        )
        if match:
            found[row["length"], int(match[1])] = row["count"]
    assert len(strings.copies) > 300
    assert found == strings.copies
    hostile = [row for row in answer["duplicates"] if "red" in row["text"]]
    assert [row["count"] for row in hostile] == [2]
    for row in answer["duplicates"]:
        assert row["bytes"] == row["count"] * (24 + row["length"] + 1)
        assert row["saved_bytes"] == row["bytes"] - (24 + row["length"] + 1)
    saved = answer["saved"]
    assert saved["bytes"] == sum(row["saved_bytes"] for row in answer["duplicates"])
    assert saved["strings"] == sum(row["count"] - 1 for row in answer["duplicates"])


def test_alike(strings):
    answer = document(strings.core, "strings", "--limit", "100")
    groups = {row["pattern"]: row for row in answer["groups"]}
    assert groups["session *"]["count"] == 50
    texts = [row for name, row in groups.items() if name.startswith("a text of some")]
    assert sum(row["count"] for row in texts) == 2000 + 1  # and the constant
    sizes = [row["bytes"] for row in answer["groups"]]
    assert sizes == sorted(sizes, reverse=True)


def test_biggest(strings):
    answer = document(strings.core, "strings", "--limit", "3")
    sizes = [row["bytes"] for row in answer["biggest"]]
    assert len(sizes) == 3 and sizes == sorted(sizes, reverse=True)
    path = answer["biggest"][0]["path"]
    address = answer["biggest"][0]["address"]
    assert address in inspect(strings.core, "paths", path).stdout


@pytest.mark.parametrize("arguments", [[], ["--duplicates"]])
def test_counts(packed_core, arguments):
    answer = document(packed_core.path, "strings", *arguments)
    groups = document(packed_core.path, "heap", "--by", "type")["groups"]
    heap = next(group for group in groups if group["name"] == "string")
    parts = [answer[key] for key in ("short", "long", "garbage")]
    assert sum(part["strings"] for part in parts) == heap["count"]
    assert sum(part["bytes"] for part in parts) == heap["bytes"]


def test_contents_are_escaped_and_cut(strings):
    result = inspect(strings.core, "strings", "--duplicates", "--limit", "1000")
    assert result.returncode == 0
    assert "\x1b" not in result.stdout
    assert r"\u{001B}[31mred\n" in result.stdout
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 100
    assert "would be saved by keeping one of each" in result.stdout
    few = inspect(strings.core, "strings", "--duplicates", "--limit", "2").stdout
    assert re.search(r"^\d+ more groups: --limit \d+$", few, re.MULTILINE)
