"""Whole pages, as a person reads them. See conftest.py: golden."""

import pytest

PAGES = {
    "bt": ["bt", "--locals"],
    "bt-all": ["bt", "--all", "--frames", "5", "--limit", "9"],
    "bt-thread": ["bt", "_G.parked"],
    "coroutines": ["coroutines", "--limit", "6"],
    "coroutines-status": ["coroutines", "--by", "status"],
    "globals": ["globals", "--limit", "20"],
    "heap": ["heap", "--limit", "12"],
    "heap-garbage": ["heap", "--garbage", "--by", "shape"],
    "heap-source": ["heap", "--by", "source", "--sort", "retained"],
    "print": ["print", "_G.cycle", "--depth", "3"],
    "print-function": ["print", 'package.loaded["game.arena"].listeners[1]'],
    "print-thread": ["print", "_G.recursing", "--limit", "3"],
    "refs": ["refs", "_G.cycle"],
    "refs-limited": ["refs", "_G", "--limit", "5"],
    "find": ["find", "--retained", "2K", "--limit", "8"],
    "find-strings": ["find", "--string", "*garbage*", "--garbage"],
    "retained": ["retained"],
    "retained-object": ["retained", "package.loaded", "--depth", "3", "--limit", "3"],
    "registry": ["registry"],
    "strings": ["strings"],
    "strings-duplicates": ["strings", "--duplicates"],
    "tables": ["tables", "--limit", "8"],
    "tables-waste": ["tables", "--waste"],
    "triage": ["triage"],
    "paths": ["paths", "_G.parked:local(session)"],
}


@pytest.mark.parametrize("name", PAGES)
def test_page(golden, name):
    golden(name, *PAGES[name])


def test_diff(golden, kept_core):
    """Two runs of one program, one of them dumped by gcore."""
    golden("diff", "diff", kept_core("debian-5.4.4-gcore"))
