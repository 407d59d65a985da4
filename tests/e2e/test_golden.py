"""Whole pages, as a person reads them. See conftest.py: golden."""

import pytest

PAGES = {
    "paths": ["paths", "_G.parked:local(session)"],
}


@pytest.mark.parametrize("name", PAGES)
def test_page(golden, name):
    golden(name, *PAGES[name])
