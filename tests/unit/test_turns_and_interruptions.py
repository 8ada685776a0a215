"""Whoever sends or asks may be interrupted at any moment: others, and the same thread later, go on."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from brokers.asker import Asker
from brokers.errors import BrokerUnavailable
from brokers.messages import Envelope, RunEnd
from brokers.owned_lock import OwnedLock
from brokers.sender import Sender


class Interruption(BaseException):
    """Ctrl-C, the end of a task's time, a cancellation."""


def calls(*names: str) -> list[Envelope]:
    return [Envelope(name, "task", "default:ds", b"") for name in names]


def interrupted_at(moment: int, work: Callable[[], object]) -> bool:
    """Do the work, and raise at its so-many-th moment; whether it had so many.

    Python looks for signals, and for what other threads raise, where a function begins and where a call has returned.
    """
    passed = 0

    def look(frame: Any, event: str, argument: object) -> None:
        nonlocal passed
        if event in ("call", "c_return"):
            passed += 1
            if passed == moment:
                raise Interruption

    sys.setprofile(look)
    try:
        work()
    except Interruption:
        return True
    finally:
        sys.setprofile(None)
    return passed >= moment


def every_moment(prepare: Callable[[], tuple[Callable[[], object], Callable[[], None]]]) -> int:
    """Interrupt work of the same kind at each of its moments, and look what is left each time; how many there are."""
    moment = 0
    while True:
        moment += 1
        work, look = prepare()
        had_so_many = interrupted_at(moment, work)
        look()
        if not had_so_many:
            return moment - 1


def in_another_thread(work: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result(20)


class Sending:
    """A sender, its store, and what must hold after any interruption."""

    def __init__(self, *waiting: str) -> None:
        self.stored: list[str] = []
        self.notified: set[str] = set()
        self.sender = Sender(self.submit, seconds=5)
        self._waiting = waiting
        self._wake, self.sender._wake_thread = self.sender._wake_thread, lambda: None  # type: ignore[method-assign]
        for name in waiting:
            self.sender.send_buffered(calls(name), lambda parcel: self.notified.update(parcel.run_ids))
        self.sender._wake_thread = self._wake  # type: ignore[method-assign]

    def submit(self, envelopes: Sequence[Envelope]) -> list[str]:
        run_ids = [envelope.run_id for envelope in envelopes]
        self.stored += run_ids
        return run_ids

    def look(self) -> None:
        assert in_another_thread(lambda: self.sender.send(calls("other"))) == ["other"]
        assert self.sender.send(calls("again")) == ["again"]
        self.sender.flush()
        assert set(self._waiting) <= set(self.stored), "what waited is sent by somebody"
        self.sender.close()


def test_a_send_that_is_interrupted_at_any_moment_keeps_no_turn() -> None:
    def prepare() -> tuple[Callable[[], object], Callable[[], None]]:
        sending = Sending()
        return lambda: sending.sender.send(calls("mine")), sending.look

    assert every_moment(prepare) > 3


def test_a_send_that_is_interrupted_at_any_moment_loses_nothing_that_waits_beside_it() -> None:
    def prepare() -> tuple[Callable[[], object], Callable[[], None]]:
        sending = Sending("first", "second")
        return lambda: sending.sender.send(calls("mine")), sending.look

    assert every_moment(prepare) > 20


def test_a_flush_that_is_interrupted_at_any_moment_loses_nothing() -> None:
    def prepare() -> tuple[Callable[[], object], Callable[[], None]]:
        sending = Sending("first", "second")
        return sending.sender.flush, sending.look

    assert every_moment(prepare) > 20


def test_a_question_that_is_interrupted_at_any_moment_keeps_no_turn() -> None:
    def prepare() -> tuple[Callable[[], object], Callable[[], None]]:
        asker = Asker(lambda run_ids: [RunEnd((run_id, b"C", b"")) for run_id in run_ids], seconds=5)

        def look() -> None:
            for ask in (in_another_thread, lambda work: work()):
                assert [end[0] for end in ask(lambda: asker.ask(["theirs"]))] == ["theirs"]

        return lambda: asker.ask(["mine"]), look

    assert every_moment(prepare) > 10


def test_who_sends_in_the_middle_of_its_own_sending_is_told_that_it_cannot() -> None:
    """A signal handler that calls ``delay`` while its thread sends."""
    told: list[Exception] = []

    def submit(envelopes: Sequence[Envelope]) -> list[str]:
        if not told:
            with pytest.raises(BrokerUnavailable) as refused:
                sender.send(calls("within"))
            told.append(refused.value)
            with pytest.raises(BrokerUnavailable):
                sender.flush()
        return [envelope.run_id for envelope in envelopes]

    sender = Sender(submit, seconds=0.05)
    assert sender.send(calls("mine")) == ["mine"]
    assert "this thread was interrupted while it sent" in str(told[0])
    assert sender.send(calls("next")) == ["next"]


def test_a_turn_is_of_one_thread_and_is_waited_for_no_longer_than_said() -> None:
    turn, done = OwnedLock(), threading.Event()
    assert turn.run(lambda: in_another_thread(lambda: turn.run(done.set, 0.01)), 1)
    assert not done.is_set()
    assert in_another_thread(lambda: turn.run(done.set, 0))
    assert done.is_set()
