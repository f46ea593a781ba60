"""Signals wait for work that must be whole, and none is lost."""

from __future__ import annotations

import signal
import threading

import pytest
from interrupting import interruptions

from turpentine.core.signals import Reverted, sigterm_interrupts, uninterrupted

FILES = ("core/signals.py", "/contextlib.py")


def test_a_signal_waits_until_the_work_is_done_and_then_comes() -> None:
    done: list[int] = []
    before = signal.getsignal(signal.SIGINT)

    @uninterrupted()
    def work() -> None:
        signal.raise_signal(signal.SIGINT)
        with uninterrupted():
            done.append(1)
        signal.raise_signal(signal.SIGINT)
        done.append(2)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == [1, 2] and signal.getsignal(signal.SIGINT) is before


def test_any_signal_with_a_handler_waits_and_the_block_itself_is_interrupted_as_ever() -> None:
    events: list[str] = []

    def handler(*_: object) -> None:
        events.append("signal")

    before = signal.signal(signal.SIGUSR1, handler)

    def undo() -> None:
        signal.raise_signal(signal.SIGUSR1)
        events.append("off")

    with Reverted(1, lambda: events.append("on"), undo):
        signal.raise_signal(signal.SIGUSR1)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        events.append("block")
    assert events == ["on", "signal", "block", "off", "signal"]
    assert signal.signal(signal.SIGUSR1, before) is handler


def test_whenever_ctrl_c_comes_a_block_is_undone_and_ctrl_c_is_passed_on() -> None:
    state: list[str] = []
    before = signal.getsignal(signal.SIGINT)

    def work() -> None:
        with Reverted(None, lambda: state.append("on"), state.clear):
            assert state == ["on"]

    count = 0
    for raised in interruptions(work, *FILES):
        count += 1
        assert raised and not state, f"point {count}"
        assert work() is None and signal.getsignal(signal.SIGINT) is before
    assert count > 30


def test_what_fails_at_the_start_has_no_end() -> None:
    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"), Reverted(None, fail, lambda: pytest.fail("It was not done.")):
        pass
    with pytest.raises(KeyboardInterrupt), uninterrupted():
        signal.raise_signal(signal.SIGINT)


def test_other_threads_get_no_signals_and_leave_handlers_alone() -> None:
    before, seen = signal.getsignal(signal.SIGINT), []

    def work() -> None:
        with uninterrupted(), Reverted(1, lambda: None, lambda: None):
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


def test_sigterm_is_ctrl_c_inside_the_block_which_says_which_of_them_it_was() -> None:
    before = signal.getsignal(signal.SIGTERM)
    numbers: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        with sigterm_interrupts() as outer:
            try:
                with sigterm_interrupts() as inner:
                    signal.raise_signal(number)
            except KeyboardInterrupt:
                numbers += [inner(), outer()]
    assert numbers == [signal.SIGTERM] * 2 + [signal.SIGINT] * 2
    assert signal.getsignal(signal.SIGTERM) is before


def test_sigterm_waits_for_work_that_must_be_whole_and_interrupts_where_ctrl_c_is_ignored() -> None:
    done: list[int] = []

    @uninterrupted()
    def work() -> None:
        signal.raise_signal(signal.SIGTERM)
        done.append(1)

    with pytest.raises(KeyboardInterrupt), sigterm_interrupts():
        work()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with pytest.raises(KeyboardInterrupt), sigterm_interrupts():
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGINT, before)
    assert done == [1]
