"""Golden output: what a command prints about a kept core, beside the tests, for reading and review.

`pytest --update-golden` writes the files anew instead of comparing; the diff is then reviewed.
"""

import pytest


def pytest_addoption(parser):
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write tests/e2e/golden/*.txt anew instead of comparing",
    )


@pytest.fixture
def update_golden(request):
    return request.config.getoption("--update-golden")
