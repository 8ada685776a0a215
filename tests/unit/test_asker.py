"""Questions of several threads at once: one trip, each its own answer, and nobody is forgotten."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from brokers.asker import Asker
from brokers.errors import BrokerUnavailable
from brokers.messages import RunEnd, Status
from tests.support.waiting import wait_until


class Store:
    """Answers when it is allowed to; knows the ends of runs whose names begin with "ended"."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.may_answer = threading.Event()
        self.errors: list[BaseException] = []

    def expect(self, run_ids: Sequence[str]) -> list[RunEnd]:
        self.asked.append(sorted(run_ids))
        assert self.may_answer.wait(20)
        if self.errors:
            raise self.errors.pop()
        return [(run_id, Status.COMPLETED, b"") for run_id in run_ids if run_id.startswith("ended")]


def ask_at_once(asker: Asker, store: Store, *questions: list[str]) -> list[object]:
    """Ask the first, and the others while it is being answered."""

    def ask(question: list[str]) -> object:
        try:
            return [run_id for run_id, _, _ in asker.ask(question)]
        except BaseException as error:
            return error

    with ThreadPoolExecutor(len(questions)) as pool:
        answers = [pool.submit(ask, questions[0])]
        wait_until(lambda: store.asked)
        answers += [pool.submit(ask, question) for question in questions[1:]]
        wait_until(lambda: len(asker._waiting) == len(questions) - 1)
        store.may_answer.set()
        return [answer.result(20) for answer in answers]


def test_those_who_ask_meanwhile_share_the_next_trip_and_get_their_own_answers() -> None:
    store = Store()
    asker = Asker(store.expect)
    answers = ask_at_once(asker, store, ["ended-1"], ["ended-2", "open"], ["ended-3", "ended-2"], ["open"])
    assert answers == [["ended-1"], ["ended-2"], ["ended-3", "ended-2"], []]
    assert store.asked == [["ended-1"], ["ended-2", "ended-3", "open"]]


def test_an_error_is_told_to_all_who_share_the_trip_and_the_next_one_tries_anew() -> None:
    store = Store()
    asker = Asker(store.expect)
    error = BrokerUnavailable("away")
    store.errors = [error, error]
    assert ask_at_once(asker, store, ["ended-1"], ["ended-2"], ["ended-3"]) == [error] * 3
    assert len(store.asked) == 2
    assert asker.ask(["ended-4"]) == [("ended-4", Status.COMPLETED, b"")]


class Interrupted(BaseException):
    """What a timeout of its task raises in a thread."""


def test_a_thread_that_is_interrupted_leaves_the_others_questions_to_the_next_one() -> None:
    store = Store()
    asker = Asker(store.expect)
    interruption = Interrupted()
    store.errors = [interruption]
    answers = ask_at_once(asker, store, ["ended-1"], ["ended-2"])
    assert answers == [interruption, ["ended-2"]]
    store.errors = [Interrupted()]
    with pytest.raises(Interrupted):
        asker.ask(["ended-3"])
    assert asker.ask(["ended-4"]) == [("ended-4", Status.COMPLETED, b"")]
