"""Places under named limits that blocks of code take: never too many, in order of arrival, and never lost."""

from __future__ import annotations

from queue import SimpleQueue
from typing import Any

import pytest

from brokers.base import Broker
from brokers.facets.limits import HELD, KIND, LATE, NEVER, NO, NO_DECAY, UNKNOWN, WAITS, Around
from brokers.messages import AckKind, Status
from brokers.redis.broker import RedisBroker
from tests.support.carriage import Calls, assert_nothing_left
from tests.support.waiting import wait_until


def declare(broker: Broker, name: str = "db", limit: int = 1, **fields: Any) -> None:
    broker.documents.write(KIND, name, {"limit": str(limit), **{name: str(value) for name, value in fields.items()}})


def ask(broker: Broker, lease: str, *names: str, places: int = 1, seconds: float = 60, **how: Any) -> str:
    return broker.limits.acquire(lease, names or ("db",), places, seconds, **how).how


def held(broker: Broker, name: str = "db") -> float:
    return broker.limits.use([name])[0].taken


# -- of every broker ---------------------------------------------------------------------------------------------------


def test_only_so_many_places_are_taken(any_broker: Broker) -> None:
    declare(any_broker, limit=3)
    assert ask(any_broker, "a", places=2) == HELD
    assert ask(any_broker, "a", places=2) == HELD, "the same lease"
    assert ask(any_broker, "b", places=2) == WAITS
    assert held(any_broker) == 2
    assert ask(any_broker, "c", wait=False) == NO, "whoever waits for more goes first"
    assert any_broker.limits.release(["a", "a"]) == 1
    assert ask(any_broker, "b", places=2) == HELD
    assert ask(any_broker, "c") == HELD
    assert held(any_broker) == 3


def test_the_next_in_line_is_called_through_the_inbox(any_broker: Broker) -> None:
    declare(any_broker)
    orders: SimpleQueue[list[tuple[str, str]]] = SimpleQueue()
    inbox = any_broker.inboxes.inbox("me", on_orders=orders.put)
    inbox.start()
    try:
        assert ask(any_broker, "a") == HELD
        assert ask(any_broker, "b", inbox="me") == WAITS
        any_broker.limits.release(["a"])
        assert orders.get(timeout=10) == [("place", "b")]
        assert ask(any_broker, "b") == HELD
    finally:
        inbox.stop()


def test_several_limits_are_taken_together_or_not_at_all(any_broker: Broker) -> None:
    declare(any_broker, "db", 2)
    declare(any_broker, "mail", 1)
    assert ask(any_broker, "a", "mail") == HELD
    assert ask(any_broker, "b", "db", "mail") == WAITS
    assert held(any_broker, "db") == 0
    assert ask(any_broker, "c", "db") == HELD, "who waits for mail does not hold up the others"
    any_broker.limits.release(["a"])
    assert ask(any_broker, "b", "db", "mail") == HELD
    assert held(any_broker, "db") == 2


def test_a_change_holds_for_what_waits(any_broker: Broker) -> None:
    declare(any_broker, limit=0)
    assert [ask(any_broker, lease) for lease in "abc"] == [WAITS] * 3
    declare(any_broker, limit=2)
    assert [ask(any_broker, lease) for lease in "abc"] == [HELD, HELD, WAITS]
    declare(any_broker, limit=1)
    any_broker.limits.release(["a"])
    assert ask(any_broker, "c") == WAITS
    declare(any_broker, limit=1, active=0)
    assert [ask(any_broker, lease) for lease in "cd"] == [HELD, HELD], "it is switched off"
    declare(any_broker, limit=1, active=1)
    assert ask(any_broker, "e") == WAITS
    any_broker.documents.delete(KIND, ["db"])
    assert ask(any_broker, "e") == HELD
    assert ask(any_broker, "f") == HELD


def test_a_lease_that_is_not_renewed_is_lost(any_broker: Broker) -> None:
    declare(any_broker)
    assert ask(any_broker, "dead", seconds=0.05) == HELD
    wait_until(lambda: ask(any_broker, "next") == HELD)
    assert any_broker.limits.renew({"dead": 60, "next": 60}) == ["dead"]


def test_what_cannot_be_had_is_refused(any_broker: Broker) -> None:
    declare(any_broker, limit=2)
    assert any_broker.limits.acquire("a", ["db", "other"], 3, 60) == (NEVER, 0, ["db"])
    assert any_broker.limits.acquire("a", ["db", "other"], 1, 60, strict=True) == (UNKNOWN, 0, ["other"])
    assert any_broker.limits.acquire("a", ["db", "other"], 1, 60) == (HELD, 0, ["other"])
    assert any_broker.limits.book("b", ["db"], 1, None).how == NO_DECAY


def test_turns_are_booked_one_after_the_other(any_broker: Broker) -> None:
    declare(any_broker, limit=2, decay=0.5)
    turns = [any_broker.limits.book(booking, ["db"], 1, None) for booking in "abcd"]
    assert [turn.how for turn in turns] == [HELD] * 4
    assert [round(turn.seconds) for turn in turns] == [0, 0, 2, 4]
    assert any_broker.limits.book("e", ["db"], 1, 1.0).how == LATE
    assert round(any_broker.limits.book("d", ["db"], 1, None).seconds) == 4, "the same turn"
    assert any_broker.limits.book("f", ["db"], 3, None).how == NEVER


# -- of the store ------------------------------------------------------------------------------------------------------


def test_a_lease_ends_with_the_delivery_around_it(calls: Calls, broker: RedisBroker) -> None:
    declare(broker, limit=1)
    calls.submit()
    first = calls.take_one()
    assert ask(broker, "in a run", around=Around(first.run_id, first.ticket)) == HELD
    assert ask(broker, "waits", around=Around(first.run_id, "q:ds 1-1")) == WAITS
    calls.end(first, AckKind.RETRY)
    assert ask(broker, "waits") == HELD
    broker.limits.release(["waits"])
    broker.runs.move_due()
    second = calls.take_one("dies")
    assert ask(broker, "in a run", around=Around(second.run_id, second.ticket)) == HELD
    broker.deliveries.take_over("dies")
    assert held(broker) == 0
    calls.run_all()
    assert_nothing_left(broker)


def test_runs_and_blocks_share_a_limit(calls: Calls, broker: RedisBroker) -> None:
    declare(broker, limit=1)
    run_ids = calls.submit_many(2, l="db|5")
    (first,) = calls.take()
    assert ask(broker, "block") == WAITS
    assert calls.status(run_ids[1]) == Status.LIMITED
    calls.end(first)
    assert [calls.status(run_ids[1]), ask(broker, "block")] == [Status.QUEUED, WAITS], "the run came first"
    calls.end(calls.take_one())
    assert ask(broker, "block") == HELD
    (use,) = broker.limits.use(["db"])
    assert [(holder.who, holder.is_lease) for holder in use.holders] == [("block", True)]
    broker.limits.release(["block"])
    assert_nothing_left(broker)


def test_a_waiter_whose_process_has_died_holds_up_nobody(broker: RedisBroker) -> None:
    declare(broker, limit=3)
    assert ask(broker, "a") == HELD
    assert ask(broker, "dead", places=3) == WAITS
    assert ask(broker, "b") == WAITS, "whoever waits for more goes first"
    broker.wires.commands([("DEL", broker.keys.prefix + "lease:dead")])  # it has not asked again
    assert ask(broker, "b") == HELD
    broker.limits.release(["a", "b"])
    assert_nothing_left(broker)


def test_a_place_whose_holder_was_lost_is_found_behind_many_that_are_there(broker: RedisBroker) -> None:
    names = [f"h{number}" for number in range(22)]
    declare(broker, limit=len(names))
    assert {ask(broker, name) for name in names} == {HELD}
    prefix = broker.keys.prefix
    rows = [part for at, name in enumerate(names) for part in (at, f"~{name}")]  # they have held them since long ago
    broker.wires.commands([("ZADD", prefix + "limit:db", *rows), ("DEL", prefix + "lease:h21")])

    def looked() -> bool:
        declare(broker, limit=len(names))
        return held(broker) == len(names) - 1

    wait_until(looked)


@pytest.mark.parametrize("change", ["raised", "lifted", "switched off", "deleted"])
def test_a_limit_that_is_changed_queues_the_runs_that_fit_now(calls: Calls, broker: RedisBroker, change: str) -> None:
    declare(broker, limit=0)
    run_ids = calls.submit_many(3, l="db|2")
    assert calls.take() == []
    if change == "deleted":
        broker.documents.delete(KIND, ["db"])
    elif change == "switched off":
        declare(broker, limit=0, active=0)
    else:
        declare(broker, limit=2 if change == "raised" else 1000)
    taken = calls.take()
    assert [delivery.run_id for delivery in taken] == run_ids[: 3 if change in ("lifted", "switched off") else 2]
    for delivery in taken:
        calls.end(delivery)
    calls.run_all()
    assert_nothing_left(broker)


def test_a_lowered_limit_holds_for_runs_that_were_called_up(calls: Calls, broker: RedisBroker) -> None:
    declare(broker, limit=2)
    run_ids = calls.submit_many(4, l="db|")
    first, second = calls.take()
    calls.end(first)
    calls.end(second)
    assert calls.status(run_ids[2]) == Status.QUEUED
    declare(broker, limit=0)
    assert calls.take() == []
    assert [calls.status(run_id) for run_id in run_ids[2:]] == [Status.LIMITED] * 2
    declare(broker, limit=1)
    assert [delivery.run_id for delivery in calls.take()] == run_ids[2:3]


def test_who_was_called_up_and_is_not_fetched_holds_up_nobody(calls: Calls, broker: RedisBroker) -> None:
    """Its queue is paused, or nobody reads it."""
    declare(broker, limit=1)
    calls.submit(l="db|")
    elsewhere, here = calls.submit(l="db|", route="nobody:ds"), ""
    (first,) = calls.take()
    calls.take(1, routes=["nobody:ds"])
    here = calls.submit(l="db|")
    assert calls.take() == []
    calls.end(first)
    assert [calls.status(elsewhere), calls.status(here)] == [Status.QUEUED, Status.LIMITED]
    calls.move_until(lambda: calls.status(here) == Status.QUEUED)
    assert calls.take_one().run_id == here
    assert calls.take(1, routes=["nobody:rs"]) == []
    assert calls.status(elsewhere) == Status.LIMITED


def test_a_worker_of_0_1_that_put_a_run_in_its_line_is_understood(calls: Calls, broker: RedisBroker) -> None:
    _, waiting = calls.submit_many(2, l="db|1")
    (first,) = calls.take()
    line = calls.command("ZRANGE", broker.keys.prefix + "line:1*db|1", 0, -1)
    assert line == [waiting.encode()]
    calls.command("DEL", broker.keys.prefix + "line:1*db|1", broker.keys.prefix + "lines:db")
    calls.command("RPUSH", broker.keys.limit("db") + ":waiting", waiting)
    calls.end(first)
    assert calls.run_all() == [waiting]
    assert_nothing_left(broker)


def test_a_run_needs_a_place_in_each_of_its_limits(calls: Calls, broker: RedisBroker) -> None:
    declare(broker, "deployment", 1)
    declare(broker, "pool", 2)
    one, two = calls.submit_many(2, l="deployment|\npool|")
    other, last = calls.submit_many(2, l="another|\npool|")
    taken = calls.take()
    assert [delivery.run_id for delivery in taken] == [one, other]
    calls.end(taken[1])
    assert calls.take_one().run_id == last, "whoever waits for another limit does not hold it up"
    calls.end(taken[0])
    assert calls.take_one().run_id == two
    assert [broker.limits.use([name])[0].taken for name in ("deployment", "pool", "another")] == [1, 2, 1]


# -- deployments that cancel -------------------------------------------------------------------------------------------


def test_new_runs_are_cancelled_while_so_many_are_due_and_not_over(calls: Calls, broker: RedisBroker) -> None:
    limit = {"l": "deployment:d|1", "C": "deployment:d|1|C"}
    declare(broker, "deployment:d", 1, strategy="CANCEL_NEW")
    later = calls.submit(d=50, **limit)
    run_ids = calls.submit_many(5, **limit)
    assert [calls.status(run_id) for run_id in run_ids] == [Status.QUEUED, *[Status.CANCELLED] * 4]
    assert calls.text(run_ids[1]) == "the deployment's limit of 1 is reached"
    calls.move_until(lambda: calls.status(later) == Status.CANCELLED)
    calls.end(calls.take_one(), AckKind.RETRY)
    assert calls.status(calls.submit(**limit)) == Status.CANCELLED, "a retry is not over"
    broker.runs.move_due()
    assert calls.run_all() == run_ids[:1]
    assert calls.status(calls.submit(**limit)) == Status.QUEUED
    declare(broker, "deployment:d", 1, strategy="ENQUEUE")
    assert calls.status(calls.submit(**limit)) == Status.QUEUED
    assert len(calls.run_all()) == 2
    assert_nothing_left(broker)


def test_without_a_declaration_the_run_says_what_its_limit_is(calls: Calls, broker: RedisBroker) -> None:
    first, second = calls.submit_many(2, l="deployment:d|1", C="deployment:d|1|C")
    assert [calls.status(first), calls.status(second)] == [Status.QUEUED, Status.CANCELLED]
    broker.runs.cancel([first])
    assert calls.status(calls.submit(l="deployment:d|1", C="deployment:d|1|C")) == Status.QUEUED
