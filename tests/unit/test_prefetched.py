"""Calls that are fetched and not started: how many are fetched, and which are given away again."""

from __future__ import annotations

import pytest

from orchestrator.slots.prefetched import BATCH_SECONDS, HAND_BACK_AFTER_SECONDS, LARGEST_BATCH, Prefetched
from tests.support.played_store import delivery


def after_calls_of(seconds: float, calls: int = 100) -> Prefetched:
    ready = Prefetched()
    for _ in range(calls):
        ready.ended(seconds)
    return ready


@pytest.mark.parametrize(
    ("seconds", "slots", "busy", "batch"),
    [
        (0.0, 1, 1, LARGEST_BATCH),
        (0.0, 4, 4, 4 * LARGEST_BATCH),
        (BATCH_SECONDS / 10, 2, 2, 20),
        (1.0, 1, 1, 1),
        (1.0, 4, 1, 4),
        (1.0, 4, 4, 1),
    ],
)
def test_short_calls_come_in_batches_and_long_ones_as_there_are_free_slots(
    seconds: float, slots: int, busy: int, batch: int
) -> None:
    assert after_calls_of(seconds).batch_for(slots, busy) == pytest.approx(batch, abs=1)


def test_a_first_fetch_is_a_batch_for_calls_of_a_millisecond() -> None:
    assert Prefetched().batch_for(2, 1) == 2 * 30


def test_one_long_call_among_short_ones_makes_the_next_batch_small() -> None:
    ready = after_calls_of(0.001)
    ready.ended(10.0)
    assert ready.batch_for(1, 1) == 1


def test_calls_come_out_in_the_order_in_which_they_were_fetched() -> None:
    ready = Prefetched()
    ready.extend([delivery("a"), delivery("b")])
    ready.extend([delivery("c")])
    assert [ready.pop().run_id for _ in range(2)] == ["a", "b"]
    assert [some.run_id for some in ready.drain()] == ["c"]
    assert len(ready) == 0
    assert ready.drain() == []
    with pytest.raises(IndexError):
        ready.pop()


def test_only_the_calls_of_one_run_are_dropped() -> None:
    ready = Prefetched()
    ready.extend([delivery("a"), delivery("b"), delivery("a")])
    assert [some.run_id for some in ready.drop("a")] == ["a", "a"]
    assert [some.run_id for some in ready.drain()] == ["b"]


def test_calls_are_stuck_behind_one_that_takes_long_and_not_before() -> None:
    ready = Prefetched()
    ready.started(100.0)
    late = 100.0 + HAND_BACK_AFTER_SECONDS * 1.1
    assert not ready.is_stuck(late)
    ready.extend([delivery("a")])
    assert not ready.is_stuck(100.0 + HAND_BACK_AFTER_SECONDS / 2)
    assert ready.is_stuck(late)
