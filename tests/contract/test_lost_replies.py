"""A verb that is repeated since its reply was lost says what it did the first time, not that there is nothing to do."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from brokers.messages import AckKind, Status
from brokers.redis.broker import RedisBroker
from brokers.redis.scripts import load
from tests.support.carriage import Calls, assert_nothing_left
from tests.support.cut_connections import Cut


def lose_reply(calls: Calls, cut: Cut, verb: str) -> None:
    """The reply to the next call of this verb; another connection is tried then."""
    calls.command("SCRIPT", "LOAD", load(verb).text)
    cut.at(load(verb).sha, reply_only=True)


def one(calls: Calls) -> list[str]:
    return [calls.submit()]


def some_of_a_map(calls: Calls) -> list[str]:
    return list(calls.submit_map(8)[2:5])


@pytest.mark.parametrize("made", [one, some_of_a_map])
def test_who_cancels_hears_that_there_was_something_to_cancel(
    calls: Calls, broker: RedisBroker, cut: Cut, made: Callable[[Calls], list[str]]
) -> None:
    run_ids = made(calls)
    lose_reply(calls, cut, "cancel")
    assert broker.runs.cancel(run_ids) == [Status.QUEUED] * len(run_ids)
    assert broker.runs.cancel(run_ids) == [Status.CANCELLED] * len(run_ids)
    calls.run_all()
    assert_nothing_left(broker)


def test_who_cancels_what_runs_asks_its_worker_once(calls: Calls, broker: RedisBroker, cut: Cut) -> None:
    calls.submit()
    delivery = calls.take_one()
    lose_reply(calls, cut, "cancel")
    assert broker.runs.cancel([delivery.run_id]) == [Status.QUEUED]
    assert calls.command("XLEN", broker.keys.prefix + "in:worker") <= 1
    assert broker.runs.cancel([delivery.run_id]) == [Status.CANCELLING]
    assert calls.end(delivery, AckKind.CANCELLED)


def test_who_replays_hears_what_was_queued_again(calls: Calls, broker: RedisBroker, cut: Cut) -> None:
    run_id = calls.submit()
    assert calls.end(calls.take_one(), AckKind.DEAD)
    lose_reply(calls, cut, "replay")
    assert broker.runs.replay([run_id]) == [run_id]
    assert broker.runs.replay([run_id]) == []
    assert calls.run_all() == [run_id]


def test_who_starts_a_delayed_run_now_hears_that_it_was_delayed(calls: Calls, broker: RedisBroker, cut: Cut) -> None:
    run_id = calls.submit(d=60_000)
    lose_reply(calls, cut, "run_now")
    assert broker.runs.run_now([run_id]) == [run_id]
    assert calls.run_all() == [run_id]


def test_who_deletes_hears_what_was_deleted(calls: Calls, broker: RedisBroker, cut: Cut) -> None:
    run_id = calls.submit()
    assert calls.run_all() == [run_id]
    lose_reply(calls, cut, "delete")
    assert broker.runs.delete([run_id]) == [run_id]
    assert calls.status(run_id) == Status.UNKNOWN


def test_who_purges_hears_how_many_were_ended(calls: Calls, broker: RedisBroker, cut: Cut) -> None:
    run_ids = calls.submit_many(3)
    lose_reply(calls, cut, "purge")
    assert broker.queues.purge("q") == 3
    assert [calls.status(run_id) for run_id in run_ids] == [Status.CANCELLED] * 3
    assert_nothing_left(broker)
