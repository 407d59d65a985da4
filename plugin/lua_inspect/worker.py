"""Long work of the library, on a thread of its own.

Ctrl-C becomes a KeyboardInterrupt on the thread that waits, at any point; on the thread that works
it can never strike inside a callback of the library. The invariant: whoever waits does not go on
before the work has ended, so that the library is never entered twice.
"""

from __future__ import annotations

import signal
import threading
from typing import Callable, List, Optional, TypeVar

Result = TypeVar("Result")

# Signals belong to the thread that waits: a debugger's own, or the program's main thread.
_SIGNALS = (signal.SIGINT, signal.SIGCHLD, signal.SIGALRM, signal.SIGWINCH)


def start(work: Callable[[], None]) -> threading.Thread:
    """A thread that does the work and takes no signals."""
    thread = threading.Thread(target=work, daemon=True)
    old = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        thread.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)
    return thread


class Patience:
    """Waits for work that can be cancelled: `wait(work)` returns what the work returns.

    The work asks `cancelled()` from time to time. On Ctrl-C it is told so; when it has ended,
    KeyboardInterrupt is raised whatever it returned.
    """

    def __init__(self) -> None:
        self._cancelled = False

    def cancelled(self) -> bool:
        return self._cancelled

    def wait(self, work: Callable[[], Result]) -> Result:
        results: List[Result] = []
        failure: Optional[BaseException] = None

        # Not Thread.join: interrupted by a signal, it takes a running thread for an ended one.
        ended = threading.Event()

        def run() -> None:
            nonlocal failure
            try:
                results.append(work())
            except BaseException as error:
                failure = error
            ended.set()

        start(run)
        while True:
            try:
                while not ended.wait(0.1):
                    pass
                break
            except KeyboardInterrupt:
                self._cancelled = True
        if self._cancelled:
            raise KeyboardInterrupt
        if failure:
            raise failure
        return results[0]
