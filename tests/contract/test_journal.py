"""The journal tells every change of every run, once and in order; lists of runs are made from it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from brokers.base import Journal
from brokers.messages import Ack, AckKind, Status
from brokers.records import BEGINNING, SUBMITTED
from brokers.redis.broker import RedisBroker
from tests.support.carriage import Calls


def history(journal: Journal, run_id: str) -> list[bytes]:
    return [change.status for change in journal.after(BEGINNING)[1] if change.run_id == run_id]


def end(broker: RedisBroker, calls: Calls, how: str, outcome: bytes = b"\x90") -> str:
    (delivery,) = calls.take(1)
    broker.deliveries.complete("worker", [Ack(delivery.ticket, delivery.run_id, how, outcome, 60_000)])
    return delivery.run_id


def test_a_batch_is_one_entry_and_one_call_alone_is_told_too(broker: RedisBroker, calls: Calls) -> None:
    journal = broker.journal
    many = calls.submit_many(5)
    one = calls.submit()
    position, changes = journal.after()
    assert [(change.run_id, change.status) for change in changes] == [(run, SUBMITTED) for run in [*many, one]]
    assert journal.after(position) == (position, [])
    assert journal.newest() == position


def test_a_history_has_retries_and_replays(broker: RedisBroker, calls: Calls) -> None:
    run = calls.submit()
    end(broker, calls, AckKind.RETRY)
    broker.runs.move_due()
    end(broker, calls, AckKind.DEAD)
    broker.runs.replay([run])
    (delivery,) = calls.take(1)
    broker.deliveries.started([(delivery.ticket, run)])
    broker.runs.cancel([run])
    broker.deliveries.complete("worker", [Ack(delivery.ticket, run, AckKind.CANCELLED, b"\x90", 60_000)])
    told = history(broker.journal, run)
    assert told == [SUBMITTED, Status.DELAYED, Status.CRASHED, Status.QUEUED, b"R", Status.CANCELLING, Status.CANCELLED]


def test_a_repeated_submit_and_a_refused_end_are_not_told(broker: RedisBroker, calls: Calls) -> None:
    envelope = calls.envelope()
    broker.runs.submit([envelope])
    broker.runs.submit([envelope])
    (delivery,) = calls.take(1)
    ack = Ack(delivery.ticket, delivery.run_id, AckKind.COMPLETED, b"\x90", 60_000)
    broker.deliveries.complete("worker", [ack])
    broker.deliveries.complete("worker", [ack])
    assert history(broker.journal, envelope.run_id) == [SUBMITTED, Status.COMPLETED]


def test_it_is_read_backwards_in_pages(broker: RedisBroker, calls: Calls) -> None:
    runs = [calls.submit() for _ in range(5)]
    journal = broker.journal
    first = journal.backwards(count=2)
    second = journal.backwards(f"({first[-1][0]}", count=10)
    assert [change.run_id for _, changes in first + second for change in changes] == runs[::-1]
    assert journal.backwards(second[-1][0]) == second[-1:]


def test_nothing_is_older_than_its_oldest_entry_and_the_server_is_not_asked_to_look(
    broker: RedisBroker, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would look at every entry, from the newest on: seconds, where there are millions."""
    calls.submit_many(3)
    (oldest,) = broker.journal.forwards()
    asked: list[Any] = []
    commands = broker.wires.commands
    monkeypatch.setattr(broker.wires, "commands", lambda batch: asked.extend(batch) or commands(batch))
    assert broker.journal.backwards(f"({oldest[0]}") == []
    assert broker.journal.backwards("1000") == []
    assert broker.events.backwards("1000") == []
    assert {command[0] for command in asked} == {"XRANGE"}
    assert broker.journal.backwards(oldest[0]) == [oldest]


def test_a_row_is_what_a_list_shows(broker: RedisBroker, calls: Calls) -> None:
    ended = calls.submit(l="door|1")
    end(broker, calls, AckKind.COMPLETED, b"outcome")
    waiting = calls.submit(route="slow:hs", d=60_000)
    rows = broker.records.rows([ended, "unknown", waiting], largest_outcome=7)
    assert [row.status for row in rows] == [Status.COMPLETED, Status.UNKNOWN, Status.DELAYED]
    assert (rows[0].task, rows[0].queue, rows[0].priority, rows[0].outcome) == ("app.task", "q", "d", b"outcome")
    assert (rows[2].queue, rows[2].priority) == ("slow", "h")
    assert broker.records.rows([ended], largest_outcome=6)[0].outcome is None  # too large to be given along


def test_it_is_trimmed_with_the_results(broker: RedisBroker, calls: Calls) -> None:
    journal = broker.journal
    for _ in range(150):  # the server trims whole nodes of a hundred entries
        calls.submit()
    broker.consumers.tidy(10, 10)
    assert len(journal.after()[1]) == 150
    broker.store.ttl_ms = -60_000  # everything is older than the results are kept
    broker.consumers.tidy(10, 10)
    assert len(journal.after()[1]) <= 50


def test_flow_runs_are_told_apart(broker: RedisBroker) -> None:
    for kind in ("RUNNING", "COMPLETED"):
        broker.flow_runs.write("flow-1", {"flow": "nightly", "type": kind})
    broker.consumers.describe("worker", {"queues": "default"}, 60)
    told = broker.journal.after()[1]
    assert [(change.run_id, change.status, change.of_flow) for change in told] == [
        ("flow-1", b"RUNNING", True),
        ("flow-1", b"COMPLETED", True),
    ]


def test_a_run_that_waits_for_a_moment_tells_it_and_keeps_it_when_it_has_run(broker: RedisBroker, calls: Calls) -> None:
    before = time.time() - 5
    counted_down, parked = calls.submit(d=60_000), calls.submit(after=[calls.submit()], d=90_000)
    calls.end(calls.take_one(), AckKind.RETRY, delay_ms=30_000)
    (first, behind, *_), (retried,) = broker.records.rows([counted_down, parked]), broker.records.read([counted_down])
    assert first.due_at is not None
    assert before + 60 < first.due_at < before + 70
    assert retried.due_at == first.due_at
    assert behind.due_at is not None
    assert before + 90 < behind.due_at < before + 100


def test_the_next_attempt_of_a_retried_run_has_its_moment_and_a_replay_forgets_it(
    broker: RedisBroker, calls: Calls
) -> None:
    before = time.time() - 5
    run = calls.submit()
    calls.end(calls.take_one(), AckKind.RETRY, delay_ms=60_000)
    (row,) = broker.records.rows([run])
    assert row.due_at is not None
    assert before + 60 < row.due_at < before + 70
    broker.runs.cancel([run])
    broker.runs.replay([run])
    assert calls.take_one().run_id == run  # now, not when its countdown would have been over
    assert broker.records.rows([run])[0].due_at is None


def test_the_name_of_a_run_is_kept_from_its_first_longer_attempt_or_its_end(broker: RedisBroker, calls: Calls) -> None:
    run, other = calls.submit(), calls.submit()
    delivery = calls.take_one()
    broker.deliveries.started([(delivery.ticket, run, b"weigh-2030")])
    assert broker.records.rows([run])[0].name == b"weigh-2030"
    calls.end(delivery)
    calls.end(calls.take_one(), name=b"weigh-2031")
    assert [row.name for row in broker.records.rows([run, other])] == [b"weigh-2030", b"weigh-2031"]
