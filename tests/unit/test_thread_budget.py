"""Permits and the count of threads, while calls lend their places and come back."""

from __future__ import annotations

import threading

import pytest

from orchestrator.slots.thread_budget import Permits, ThreadBudget
from tests.support.waiting import wait_until


def test_who_comes_back_from_a_wait_goes_before_who_is_new() -> None:
    permits, order = Permits(1), list[str]()
    permits.take()

    def new() -> None:
        permits.take()
        order.append("new")

    def back() -> None:
        permits.take_back()
        order.append("back")
        permits.give()

    fresh = threading.Thread(target=new)
    fresh.start()
    returning = threading.Thread(target=back)
    returning.start()
    wait_until(lambda: permits.wanted_back, 20, "it wants its permit back")
    permits.give()
    fresh.join(20)
    returning.join(20)
    assert order == ["back", "new"]
    assert not permits.wanted_back


def test_between_two_calls_a_thread_lets_the_returning_one_go_first() -> None:
    permits, order = Permits(1), list[str]()
    permits.take()
    permits.yield_to_returning()  # nobody wants it: it is still here

    def back() -> None:
        permits.take_back()
        order.append("back")
        permits.give()

    returning = threading.Thread(target=back)
    returning.start()
    wait_until(lambda: permits.wanted_back, 20, "it wants its permit back")
    permits.yield_to_returning()
    order.append("goes on")
    returning.join(20)
    assert order == ["back", "goes on"]


def test_a_wait_that_is_interrupted_has_the_permit_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    permits = Permits(1)
    permits.take()

    def interrupted(timeout: float | None = None) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(permits._changed, "wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            permits.take_back()
    assert not permits.wanted_back
    permits.give()  # of the first
    assert permits._free == 0  # the interrupted one has it
    permits.give()
    assert permits._free == 1


def test_a_call_that_waits_needs_one_more_thread_and_its_return_makes_one_too_many() -> None:
    budget = ThreadBudget(2)
    budget.enter()
    budget.enter()
    assert not budget.is_exceeded
    assert budget.lend()  # two threads, one waits: one short
    budget.enter()
    assert not budget.is_exceeded
    budget.take_back()
    assert budget.is_exceeded
    budget.leave()
    assert not budget.is_exceeded


def test_a_lent_place_needs_no_thread_while_there_is_a_spare_one() -> None:
    budget = ThreadBudget(1)
    budget.enter()
    budget.enter()
    assert not budget.lend()
