"""Errands: what the thread that works has done by the thread that waits, whatever comes between."""

import threading

import pytest
from one_session import Errands


def ask(errands, *works):
    """A thread that asks for each of `works`; what came of them."""
    results = []

    def run():
        for work in works:
            try:
                results.append((threading.get_ident(), errands.ask(work)))
            except BaseException as error:
                results.append((None, repr(error)))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, results


def run_until_it_ends(errands, thread):
    interrupts = 0
    while thread.is_alive():
        errands.wake.wait(0.01)
        errands.wake.clear()
        try:
            errands.run()
        except KeyboardInterrupt:
            interrupts += 1
    return interrupts


def fail():
    raise ValueError("no")


def interrupt():
    raise KeyboardInterrupt


def test_errands_run_where_it_is_waited():
    errands = Errands()
    thread, results = ask(errands, threading.get_ident, fail, lambda: 3)
    assert run_until_it_ends(errands, thread) == 0
    assert results[0][1] == threading.get_ident() != results[0][0]
    assert results[1] == (None, "ValueError('no')")
    assert results[2][1] == 3


def test_interrupt_ends_the_errand_and_is_passed_on():
    errands = Errands()
    thread, results = ask(errands, interrupt, lambda: 4)
    assert run_until_it_ends(errands, thread) == 1
    assert results[0] == (None, "KeyboardInterrupt()")
    assert results[1][1] == 4


def test_nobody_waits_any_more():
    errands = Errands()
    thread, results = ask(errands, lambda: 5)
    errands.wake.wait(5)
    errands.refuse()
    thread.join(5)
    assert results == [(None, "KeyboardInterrupt()")]
    errands.run()  # nothing is left


def test_interrupt_beside_an_errand():
    """Struck after the work and before the answer: the errand is done once more, not forgotten."""
    errands = Errands()
    done = []
    thread, results = ask(errands, lambda: done.append(1))
    errands.wake.wait(5)
    event = errands._waiting[0].done
    original, struck = event.set, []

    def strike():
        if not struck:
            struck.append(True)
            raise KeyboardInterrupt
        original()

    event.set = strike
    with pytest.raises(KeyboardInterrupt):
        errands.run()
    errands.run()
    thread.join(5)
    assert not thread.is_alive() and len(results) == 1 and len(done) == 2
