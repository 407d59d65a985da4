"""A core that ends too early, at every page: what is there is read, what may hang on the missing part
is not called garbage, and what is said about the missing bytes is that they are missing."""

import json
import os

import pytest

from support import document, inspect

PAGE = 4096
LONG = bool(os.environ.get("LUA_INSPECT_LONG"))
CORES = ["debian-5.4.4", "debian-5.4.4-gcore", "debian-5.5.1"]
REACHED = {"leaked", "unknown"}


def answer(core, *arguments):
    """The document, or None if there was a sentence instead."""
    result = inspect(core, *arguments, "--json")
    assert result.returncode in (0, 1, 2), result.stderr
    said = json.loads(result.stdout)
    assert ("error" in said) == (result.returncode == 2)
    return None if result.returncode == 2 else said


def by_address(leaks):
    return {
        (one["tracker"], one["address"]): one["verdict"] for one in leaks["entries"]
    }


@pytest.mark.parametrize("name", CORES)
def test_every_page(kept_core, tmp_path, name):
    whole = kept_core(name)
    expected = by_address(document(whole, "leaks"))
    content = whole.read_bytes()
    cut = tmp_path / "cut.core"
    answers = torn = 0
    for size in range(PAGE, len(content), PAGE if LONG else 3 * PAGE):
        cut.write_bytes(content[:size])
        leaks = answer(cut, "leaks")
        if leaks is None:
            continue
        answers += 1
        for entry, verdict in by_address(leaks).items():
            if expected.get(entry) == "leaked":
                assert verdict in REACHED, (size, entry)
        (vm,) = answer(cut, "states")["vms"]
        if vm["residual_bytes"]:
            torn += 1
            assert leaks["target"]["missing_bytes"] > 0
            assert "missing in the dump" in vm["residual_explanation"], size
        page = inspect(cut, "states").stdout
        assert "being moved" not in page and "block in flight" not in page, size
        is_said = "cut off at the end of the core file" in page
        assert is_said == (leaks["target"]["missing_bytes"] > 0)
    assert answers > 30 and torn > 3
