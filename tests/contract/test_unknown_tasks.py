"""A call whose task its worker does not know: it goes to one that does, waits while none does."""

from __future__ import annotations

from itertools import pairwise

from brokers.messages import AckKind, Status
from brokers.redis.broker import RedisBroker
from brokers.schema import Reason, ScriptedEnd
from tests.support.carriage import Calls

NOBODY = "no live worker knows it"
HOUR_MS = 3_600_000
NAMES = [("q", "app.task")]


def not_known(calls: Calls, text: str = NOBODY, patience_ms: int = HOUR_MS) -> str:
    delivery = calls.wait_for_one()
    assert calls.end(delivery, AckKind.UNKNOWN, b"dead letter", delay_ms=patience_ms, behind=text)
    return delivery.run_id


def keys_of_unknown(broker: RedisBroker) -> int:
    names = ("unknown", "unknown_tasks", "unknown:q:app.task")
    return sum(broker.wires.commands([("EXISTS", broker.keys.prefix + name) for name in names]))


def test_it_waits_and_says_so_until_a_worker_knows_it(broker: RedisBroker, calls: Calls) -> None:
    run_id = calls.submit()
    assert not_known(calls) == run_id
    (record,) = broker.records.read([run_id])
    assert (record.status, record.outcome) == (Status.LIMITED, ScriptedEnd(NOBODY, Reason.UNKNOWN_TASK).pack())
    assert broker.queues.unknown_tasks() == NAMES
    broker.runs.move_due()
    assert calls.take() == [], "nobody is bothered with it again"
    assert broker.queues.adopt([("q", "app.other"), ("other", "app.task")]) == 0
    assert broker.queues.adopt(NAMES) == 1
    delivery = calls.take_one()
    assert (delivery.run_id, delivery.crashes, delivery.deliveries) == (run_id, 0, 1), "it is not charged"
    assert calls.end(delivery)
    assert broker.records.read([run_id])[0].outcome == b"result"
    assert (broker.queues.unknown_tasks(), keys_of_unknown(broker)) == ([], 0)


def test_while_another_worker_knows_it_it_comes_back_in_a_moment_and_later_each_time(
    broker: RedisBroker, calls: Calls
) -> None:
    run_id = calls.submit()
    due: list[float] = []
    for _ in range(4):
        assert not_known(calls, "") == run_id
        (record,) = broker.records.read([run_id])
        assert record.status == Status.DELAYED
        (since,) = broker.wires.commands([("HGET", broker.keys.record(run_id), "U")])
        due.append((record.due_at or 0) * 1000 - int(since))
    assert all(later >= 1.5 * sooner for sooner, later in pairwise(due)), due
    assert calls.take() == []
    assert keys_of_unknown(broker) == 0


def test_it_is_a_dead_letter_when_nobody_has_come(broker: RedisBroker, calls: Calls) -> None:
    run_id = calls.submit()
    not_known(calls, patience_ms=1)
    calls.move_until(lambda: broker.records.read([run_id])[0].status == Status.QUEUED)
    not_known(calls, patience_ms=1)
    (record,) = broker.records.read([run_id])
    assert (record.status, record.outcome) == (Status.CRASHED, b"dead letter")
    assert broker.dead_letters.newest() == [run_id]
    assert keys_of_unknown(broker) == 0
    assert broker.runs.replay([run_id]) == [run_id]
    not_known(calls)
    assert broker.records.read([run_id])[0].status == Status.LIMITED, "a replay has all of its patience again"


def test_no_patience_at_all(broker: RedisBroker, calls: Calls) -> None:
    run_id = calls.submit()
    not_known(calls, patience_ms=0)
    assert broker.dead_letters.newest() == [run_id]


def test_it_can_be_cancelled_and_expire_while_it_waits(broker: RedisBroker, calls: Calls) -> None:
    cancelled = calls.submit()
    not_known(calls)
    assert broker.runs.cancel([cancelled]) == [Status.LIMITED]
    assert broker.records.read([cancelled])[0].status == Status.CANCELLED
    expired = calls.submit(x=300)
    not_known(calls)
    calls.move_until(lambda: broker.records.read([expired])[0].status == Status.CANCELLED)
    assert broker.queues.adopt(NAMES) == 0, "neither comes back"
    assert keys_of_unknown(broker) == 0


def test_it_gives_its_place_under_a_limit_back(broker: RedisBroker, calls: Calls) -> None:
    first, second = calls.submit(l="one|1"), calls.submit(l="one|1")
    assert not_known(calls) == first
    assert calls.wait_for_one().run_id == second
