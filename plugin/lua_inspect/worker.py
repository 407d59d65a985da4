"""Long work of the library, on a thread of its own.

Ctrl-C becomes a KeyboardInterrupt on the thread that waits, at any point; on the thread that works
it can never strike inside a callback of the library. The invariant: whoever waits does not go on
before the work has ended, so that the library is never entered twice.

What only the debugger's own thread may do - read the memory of a remote target - the thread that
works asks for: an errand, which the thread that waits runs.
"""

from __future__ import annotations

import signal
import threading
from collections import deque
from typing import Any, Callable, Deque, List, Optional, TypeVar

Result = TypeVar("Result")

# Signals belong to the thread that waits: a debugger's own, or the program's main thread.
_SIGNALS = (signal.SIGINT, signal.SIGCHLD, signal.SIGALRM, signal.SIGWINCH)


class _Errand:
    def __init__(self, work: Callable[[], Any]) -> None:
        self.work = work
        self.done = threading.Event()
        self.result: Any = None
        self.failure: Optional[BaseException] = None


class Errands:
    """What the thread that works wants done by the thread that waits."""

    def __init__(self) -> None:
        self._waiting: Deque[_Errand] = deque()
        self.wake = (
            threading.Event()
        )  # set when the thread that waits has something to do

    def ask(self, work: Callable[[], Result]) -> Result:
        """On the thread that works: has `work` done, and returns or raises what came of it."""
        errand = _Errand(work)
        self._waiting.append(errand)
        self.wake.set()
        errand.done.wait()
        if errand.failure:
            raise errand.failure
        result: Result = errand.result
        return result

    def run(self) -> None:
        """On the thread that waits: does all there is. Ctrl-C ends an errand, and this as well."""
        while self._waiting:
            errand = self._waiting[
                0
            ]  # until it is done: Ctrl-C may strike at any point
            if not errand.done.is_set():
                try:
                    errand.result = errand.work()
                except BaseException as error:
                    errand.failure = error
                errand.done.set()
            self._waiting.popleft()
            if isinstance(errand.failure, KeyboardInterrupt):
                raise errand.failure

    def refuse(self) -> None:
        """Ends the errands of a thread that nobody waits for any more, as Ctrl-C would."""
        while self._waiting:
            errand = self._waiting[0]
            errand.failure = errand.failure or KeyboardInterrupt()
            errand.done.set()
            self._waiting.popleft()


errands = Errands()  # one thread works at a time


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
        ended = False

        def run() -> None:
            nonlocal failure, ended
            try:
                results.append(work())
            except BaseException as error:
                failure = error
            ended = True
            errands.wake.set()

        start(run)
        while True:
            try:
                while not ended:
                    errands.wake.wait(0.1)
                    errands.wake.clear()
                    errands.run()
                break
            except KeyboardInterrupt:
                self._cancelled = True
        if self._cancelled:
            raise KeyboardInterrupt
        if failure:
            raise failure
        return results[0]
