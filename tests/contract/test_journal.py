"""The journal tells every change of every run, once and in order; lists of runs are made from it."""

from __future__ import annotations

from brokers.contract import Ending, Settlement, Status
from brokers.redis.broker import RedisBroker
from brokers.redis.journal import BEGINNING, SUBMITTED, Journal
from tests.support.carriage import Calls


def history(journal: Journal, run_id: str) -> list[bytes]:
    return [change.status for change in journal.after(BEGINNING)[1] if change.run_id == run_id]


def end(broker: RedisBroker, calls: Calls, how: str, outcome: bytes = b"\x90") -> str:
    (delivery,) = calls.take(1)
    broker.complete("worker", [Settlement(delivery.ticket, delivery.run_id, how, outcome, 60_000)])
    return delivery.run_id


def test_a_batch_is_one_entry_and_one_call_alone_is_told_too(broker: RedisBroker, calls: Calls) -> None:
    journal = Journal(broker)
    many = calls.submit_many(5)
    one = calls.submit()
    position, changes = journal.after()
    assert [(change.run_id, change.status) for change in changes] == [(run, SUBMITTED) for run in [*many, one]]
    assert journal.after(position) == (position, [])
    assert journal.newest() == position


def test_a_history_has_retries_and_replays(broker: RedisBroker, calls: Calls) -> None:
    run = calls.submit()
    end(broker, calls, Ending.RETRY)
    broker.move()
    end(broker, calls, Ending.DEAD)
    broker.replay([run])
    (delivery,) = calls.take(1)
    broker.started([(delivery.ticket, run)])
    broker.cancel([run])
    broker.complete("worker", [Settlement(delivery.ticket, run, Ending.CANCELLED, b"\x90", 60_000)])
    told = history(Journal(broker), run)
    assert told == [SUBMITTED, Status.DELAYED, Status.CRASHED, Status.QUEUED, b"R", Status.CANCELLING, Status.CANCELLED]


def test_a_repeated_submit_and_a_refused_end_are_not_told(broker: RedisBroker, calls: Calls) -> None:
    envelope = calls.envelope()
    broker.submit([envelope])
    broker.submit([envelope])
    (delivery,) = calls.take(1)
    settlement = Settlement(delivery.ticket, delivery.run_id, Ending.COMPLETED, b"\x90", 60_000)
    broker.complete("worker", [settlement])
    broker.complete("worker", [settlement])
    assert history(Journal(broker), envelope.run_id) == [SUBMITTED, Status.COMPLETED]


def test_it_is_read_backwards_in_pages(broker: RedisBroker, calls: Calls) -> None:
    runs = [calls.submit() for _ in range(5)]
    journal = Journal(broker)
    first = journal.backwards(count=2)
    second = journal.backwards(f"({first[-1][0]}", count=10)
    assert [change.run_id for _, changes in first + second for change in changes] == runs[::-1]
    assert journal.backwards(second[-1][0]) == second[-1:]


def test_a_row_is_what_a_list_shows(broker: RedisBroker, calls: Calls) -> None:
    ended = calls.submit(l="door|1")
    end(broker, calls, Ending.COMPLETED, b"outcome")
    waiting = calls.submit(route="slow:hs", d=60_000)
    rows = Journal(broker).rows([ended, "unknown", waiting], largest_outcome=7)
    assert [row.status for row in rows] == [Status.COMPLETED, Status.UNKNOWN, Status.DELAYED]
    assert (rows[0].task, rows[0].queue, rows[0].priority, rows[0].outcome) == ("app.task", "q", "d", b"outcome")
    assert (rows[2].queue, rows[2].priority) == ("slow", "h")
    assert Journal(broker).rows([ended], largest_outcome=6)[0].outcome is None  # too large to be given along


def test_it_is_trimmed_with_the_results(broker: RedisBroker, calls: Calls) -> None:
    journal = Journal(broker)
    for _ in range(150):  # the server trims whole nodes of a hundred entries
        calls.submit()
    broker.tidy(10, 10)
    assert len(journal.after()[1]) == 150
    broker.ttl_ms = -60_000  # everything is older than the results are kept
    broker.tidy(10, 10)
    assert len(journal.after()[1]) <= 50


def test_flow_runs_are_told_apart(broker: RedisBroker) -> None:
    for kind in ("RUNNING", "COMPLETED"):
        broker.write_flow_run("flow-1", {"flow": "nightly", "type": kind})
    broker.describe_worker("worker", {"queues": "default"}, 60)
    told = Journal(broker).after()[1]
    assert [(change.run_id, change.status, change.of_flow) for change in told] == [
        ("flow-1", b"RUNNING", True),
        ("flow-1", b"COMPLETED", True),
    ]
