"""What lives as long as what: results that others need, and idempotency keys."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from brokers.messages import Ack, AckKind, Status
from brokers.redis.broker import RedisBroker
from brokers.schema import Reason
from tests.support.carriage import ROUTES, TTL_MS, Calls, assert_nothing_left


def needs(*upstreams: str) -> dict[str, Any]:
    """Extras of a call whose arguments refer to the results of these runs."""
    return {"r": [(run_id, False) for run_id in upstreams], "u": msgpack.packb(upstreams)}


def expires_in(calls: Calls, run_id: str) -> int:
    """Milliseconds; -1: never, -2: it is gone."""
    return int(calls.command("PTTL", calls.broker.keys.record(run_id)))


@pytest.fixture
def pair(calls: Calls) -> tuple[str, str]:
    """A run that has ended, and one that waits for another and needs the result of the first."""
    quick, slow = calls.submit_many(2)
    needy = calls.submit(**needs(quick, slow))
    calls.end(calls.take_one(), ttl_ms=5_000)
    return quick, needy


def test_a_result_is_kept_while_an_accepted_call_needs_it(
    calls: Calls, pair: tuple[str, str], broker: RedisBroker
) -> None:
    quick, needy = pair
    assert expires_in(calls, quick) == -1
    calls.end(calls.take_one())
    (delivery,) = calls.take()
    assert delivery.run_id == needy
    assert expires_in(calls, quick) == -1
    calls.end(delivery, AckKind.RETRY)
    broker.runs.move_due()
    assert expires_in(calls, quick) == -1, "the next attempt needs it as well"
    calls.run_all()
    assert 0 < expires_in(calls, quick) <= 5_000
    assert_nothing_left(broker)


def test_a_call_that_is_sent_after_the_end_keeps_the_result_too(calls: Calls, broker: RedisBroker) -> None:
    quick = calls.submit()
    calls.end(calls.take_one(), ttl_ms=5_000)
    calls.submit(**needs(quick), d=1)
    calls.submit(**needs(quick))
    assert expires_in(calls, quick) == -1
    calls.move_until(lambda: calls.command("ZCARD", broker.keys.delayed) == 0)
    first, second = calls.take()
    calls.end(first)
    assert expires_in(calls, quick) == -1
    calls.end(second, AckKind.FAILED)
    assert 0 < expires_in(calls, quick) <= 5_000
    assert_nothing_left(broker)


@pytest.mark.parametrize("how", ["cancelled", "purged", "expired", "not ready", "dead", "killed"])
def test_it_is_let_go_however_the_last_one_ends(calls: Calls, broker: RedisBroker, how: str) -> None:
    quick, other = calls.submit_many(2)
    upstreams = (quick, other) if how in ("not ready", "cancelled") else (quick,)
    needy = calls.submit(**needs(*upstreams), **({"x": 1} if how == "expired" else {}))
    calls.end(calls.take_one(), ttl_ms=5_000)
    assert expires_in(calls, quick) == -1
    rest = calls.take_one()
    if how == "cancelled":
        broker.runs.cancel([needy])
    elif how == "purged":
        assert broker.queues.purge("q") == 1
    elif how == "expired":
        calls.move_until(lambda: calls.status(needy) == Status.CANCELLED)
    elif how == "not ready":
        calls.end(rest, AckKind.FAILED)
    elif how == "dead":
        calls.end(calls.take_one(), AckKind.DEAD)
    else:
        calls.take_one("victim")
        broker.deliveries.take_over("victim", running={needy: "killed"}, max_deliveries=1)
    if how != "not ready":
        calls.end(rest)
    assert 0 < expires_in(calls, quick) <= 5_000
    assert_nothing_left(broker)


def test_who_ended_without_saying_so_is_found(calls: Calls, pair: tuple[str, str], broker: RedisBroker) -> None:
    quick, _ = pair
    calls.end(calls.take_one())
    calls.end(calls.take_one())
    late = calls.submit(**needs(quick))
    calls.command("ZADD", broker.keys.prefix + "kept", 1, quick)
    broker.consumers.tidy(60, 60)
    assert expires_in(calls, quick) == -1, "one still needs it"
    calls.take_one()
    calls.command("DEL", broker.keys.record(late))  # a server that lost its last second
    calls.command("ZADD", broker.keys.prefix + "kept", 1, quick)
    broker.consumers.tidy(60, 60)
    assert expires_in(calls, quick) > 0


def test_a_replayed_run_needs_its_upstreams_again(calls: Calls, broker: RedisBroker) -> None:
    quick = calls.submit()
    calls.end(calls.take_one(), ttl_ms=5_000)
    needy = calls.submit(**needs(quick))
    calls.end(calls.take_one(), AckKind.FAILED)
    assert expires_in(calls, quick) > 0
    assert broker.runs.replay([needy]) == [needy]
    assert expires_in(calls, quick) == -1
    calls.run_all()
    assert expires_in(calls, quick) > 0
    assert_nothing_left(broker)


# -- idempotency keys --------------------------------------------------------------------------------------------------


def key_expires_in(calls: Calls) -> int:
    return int(calls.command("PTTL", calls.broker.keys.prefix + "i:order"))


def ordered(calls: Calls, **how: Any) -> str:
    return calls.submit(i=["order", 50], **how)


@pytest.mark.parametrize("waits", ["in the queue", "for its moment", "for another run", "for its next attempt"])
def test_a_key_lives_while_its_run_waits(calls: Calls, broker: RedisBroker, waits: str) -> None:
    how: dict[str, Any] = {"for its moment": {"d": 60_000}, "for another run": {"after": (calls.submit(),)}}.get(
        waits, {}
    )
    run_id = ordered(calls, **how)
    if waits == "for its next attempt":
        calls.end(calls.take_one(), AckKind.RETRY, delay_ms=60_000)
    assert key_expires_in(calls) == -1
    assert ordered(calls) == run_id


def test_a_key_ends_with_its_runs_record(calls: Calls, broker: RedisBroker) -> None:
    run_id = ordered(calls)
    calls.end(calls.take_one(), ttl_ms=7_000)
    assert 5_000 < key_expires_in(calls) <= expires_in(calls, run_id) + 5 <= 7_005
    assert ordered(calls) == run_id
    assert_nothing_left(broker)
    calls.command("DEL", broker.keys.record(run_id))  # as if its time were over
    other = ordered(calls)
    assert other != run_id
    assert calls.run_all() == [other]


@pytest.mark.parametrize("how", ["runs rm", "dead purge", "withdrawn"])
def test_a_key_is_free_when_its_run_is_forgotten(calls: Calls, broker: RedisBroker, how: str) -> None:
    run_id = ordered(calls, **({"d": 60_000} if how == "withdrawn" else {}))
    if how == "withdrawn":
        assert broker.store.run("withdraw", [[run_id, "order"]]) == []
    elif how == "runs rm":
        calls.run_all()
        assert broker.runs.delete([run_id]) == [run_id]
    else:
        calls.end(calls.take_one(), AckKind.DEAD)
        assert broker.dead_letters.forget([run_id]) == 1
    assert key_expires_in(calls) == -2
    assert ordered(calls) != run_id


def test_a_replayed_run_keeps_its_key(calls: Calls, broker: RedisBroker) -> None:
    run_id = ordered(calls)
    calls.end(calls.take_one(), AckKind.DEAD)
    assert key_expires_in(calls) > 0
    assert broker.runs.replay([run_id]) == [run_id]
    assert key_expires_in(calls) == -1
    assert ordered(calls) == run_id
    calls.run_all()
    assert_nothing_left(broker)


def test_a_deleted_run_does_not_free_the_key_of_the_next(calls: Calls, broker: RedisBroker) -> None:
    first = ordered(calls)
    calls.end(calls.take_one())
    calls.command("DEL", broker.keys.prefix + "i:order")
    second = ordered(calls)
    broker.runs.delete([first])
    assert ordered(calls) == second


# -- ends of calls that come back without a time to live ---------------------------------------------------------------


@pytest.mark.parametrize("how", [AckKind.HAND_BACK, AckKind.BEHIND])
def test_a_cancelled_run_whose_claim_is_handed_back_is_kept(calls: Calls, broker: RedisBroker, how: str) -> None:
    run_id = calls.submit()
    delivery = calls.take_one()
    assert broker.runs.cancel([run_id]) == [Status.QUEUED]
    assert broker.deliveries.complete("worker", [Ack(delivery.ticket, run_id, how, b"", 0)]) == []
    assert calls.status(run_id) == Status.CANCELLED
    assert expires_in(calls, run_id) > TTL_MS


# -- claims that never arrive ------------------------------------------------------------------------------------------


def test_a_large_call_that_never_arrives_is_given_up_and_says_why(calls: Calls, broker: RedisBroker) -> None:
    large, small = calls.submit(body=bytes(600_000)), calls.submit()
    for _ in range(5):
        claims = broker.deliveries.fetch("worker", ROUTES, 10)[0]
        assert small in [delivery.run_id for delivery in claims]
        lost = [Ack(claim.ticket, claim.run_id, AckKind.HAND_BACK, b"", 0, 60_000, AckKind.LOST) for claim in claims]
        assert broker.deliveries.complete("worker", lost) == []
    assert broker.dead_letters.newest() == [large]
    assert calls.reason(large) == Reason.UNDELIVERED
    assert "its arguments have 600000 bytes" in calls.text(large)
    assert "client-output-buffer-limit" in calls.text(large)
    assert calls.run_all() == [small]
    assert broker.runs.replay([large]) == [large]
    assert calls.run_all() == [large]
    assert_nothing_left(broker)
