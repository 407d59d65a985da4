"""What all tests share: Ctrl-C, and golden output.

Golden output is what a command prints about a kept core, beside the tests, for reading and review.
`pytest --update-golden` writes the files anew instead of comparing; the diff is then reviewed.
"""

import signal

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


def pytest_configure():
    """A shell's background jobs ignore Ctrl-C, and so would every program that a test starts."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
