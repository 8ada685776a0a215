"""Whose turn it is to read an inbox: rules of handing it over, without an inbox."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from brokers.redis import inbox_turn
from brokers.redis.inbox_turn import InboxTurn
from tests.support.waiting import wait_until

FAR = 3600.0


class InboxThread:
    """Waits for its turn, as the thread of an inbox; what came of it is in ``got``."""

    def __init__(self, turn: InboxTurn) -> None:
        self._turn, self.got = turn, threading.Event()
        self.answer: bool | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self.answer = self._turn.wait()
        self.got.set()

    def has_turn(self) -> bool:
        assert self.got.wait(10), "the inbox's thread never got its turn"
        self._thread.join(10)
        assert self.answer is not None
        return self.answer


class Crowd:
    """Whether others want to know what comes."""

    def __init__(self) -> None:
        self.is_quiet = True

    def __call__(self) -> bool:
        return self.is_quiet


@pytest.fixture
def crowd() -> Crowd:
    return Crowd()


@pytest.fixture
def turn(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> InboxTurn:
    """A turn that is left for an hour, so that only what a test does ends it."""
    monkeypatch.setattr(inbox_turn, "LEFT_SECONDS", FAR)
    monkeypatch.setattr(inbox_turn, "LOOK_SECONDS", FAR)
    return InboxTurn(crowd)


def left(turn: InboxTurn) -> InboxTurn:
    """The inbox's thread has read while somebody wanted to."""
    assert turn.wait()
    assert not turn.take(object())
    turn.leave()
    return turn


def test_one_reads_at_a_time(turn: InboxTurn) -> None:
    one, two = object(), object()
    assert left(turn).take(one)
    assert not turn.take(two)
    assert turn.sign(one)
    assert not turn.sign(two)
    turn.give(two, at_once=True)
    assert turn.sign(one), "it was not the other one's to give"
    turn.give(one, at_once=False)
    assert turn.take(two)


def test_the_turn_is_not_left_if_nobody_has_asked_for_it(turn: InboxTurn) -> None:
    assert turn.wait()
    turn.leave()
    assert InboxThread(turn).has_turn()


def test_the_turn_is_not_left_while_others_want_to_know_what_comes(turn: InboxTurn, crowd: Crowd) -> None:
    crowd.is_quiet = False
    left(turn)
    assert InboxThread(turn).has_turn()


def test_after_a_reader_the_turn_is_left_again(turn: InboxTurn) -> None:
    for _ in range(3):
        reader = object()
        assert left(turn).take(reader) if _ == 0 else turn.take(reader)
        turn.give(reader, at_once=False)
    thread = InboxThread(turn)
    reader = object()
    assert turn.take(reader)
    assert not thread.got.is_set()
    turn.give(reader, at_once=True)
    assert thread.has_turn()


def test_nobody_takes_it_in_time_and_the_thread_goes_on(crowd: Crowd) -> None:
    assert InboxThread(left(InboxTurn(crowd))).has_turn()


def test_who_begins_to_listen_has_the_thread_go_on_at_once(turn: InboxTurn) -> None:
    thread = InboxThread(left(turn))
    turn.listen()
    assert thread.has_turn()


def test_who_listens_does_not_disturb_a_reader(turn: InboxTurn) -> None:
    reader = object()
    assert left(turn).take(reader)
    turn.listen()
    assert turn.sign(reader)


def test_a_reader_that_leaves_something_to_do_has_the_thread_go_on_at_once(turn: InboxTurn) -> None:
    reader = object()
    assert left(turn).take(reader)
    thread = InboxThread(turn)
    turn.give(reader, at_once=True)
    assert thread.has_turn()


def test_a_thread_that_sleeps_while_somebody_reads_is_woken_when_he_has_done(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox_turn, "LOOK_SECONDS", FAR)
    turn, reader = left(InboxTurn(crowd)), object()
    assert turn.take(reader)
    thread = InboxThread(turn)
    wait_until(lambda: turn._asleep)
    turn.give(reader, at_once=False)
    assert thread.has_turn()


def test_among_others_the_thread_goes_on_and_keeps_its_turn_for_a_while(turn: InboxTurn, crowd: Crowd) -> None:
    reader = object()
    assert left(turn).take(reader)
    crowd.is_quiet = False
    thread = InboxThread(turn)
    turn.give(reader, at_once=False)
    assert thread.has_turn()
    crowd.is_quiet = True
    assert not turn.take(reader)
    turn.leave()
    assert InboxThread(turn).has_turn()


def test_a_turn_that_was_never_given_back_is_taken_away(
    crowd: Crowd, turn: InboxTurn, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost: list[bool] = []
    turn = left(InboxTurn(crowd, lambda: lost.append(True)))
    gone = object()
    assert turn.take(gone)
    monkeypatch.setattr(inbox_turn, "LOST_AFTER_SECONDS", -1.0)
    assert InboxThread(turn).has_turn()
    assert lost, "what it read with must not be used any more"
    assert not turn.sign(gone)
    turn.give(gone, at_once=True)
    assert not turn.take(object()), "the thread has it"


def test_a_thread_that_failed_has_its_turn_all_the_same(turn: InboxTurn) -> None:
    assert turn.wait()
    assert turn.wait()


def test_only_who_has_the_turn_is_interrupted(turn: InboxTurn) -> None:
    calls: list[int] = []
    note: Callable[[], None] = lambda: calls.append(1)  # noqa: E731
    reader = object()
    assert left(turn).take(reader)
    turn.interrupt(object(), note)
    assert not calls
    turn.interrupt(reader, note)
    turn.give(reader, at_once=False)
    turn.interrupt(reader, note)
    assert calls == [1]


def test_a_closed_turn_is_nobodys(turn: InboxTurn) -> None:
    thread = InboxThread(left(turn))
    turn.close()
    assert thread.has_turn() is False
    assert not turn.take(object())
