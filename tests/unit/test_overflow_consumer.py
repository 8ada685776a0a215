"""What a process that waits takes beside its usual message: spare ones, the broker's, or a call that it waits for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from brokers.messages import Named, Status
from brokers.records import Row
from task_workers.celery import overflow_consumer
from task_workers.celery.overflow_consumer import OverflowConsumer
from tests.support.waiting import wait_until


class Carried:
    """A fleet whose broker carries calls in messages that nobody gets to see."""

    def __init__(self) -> None:
        self.spare: list[list[Named]] = []
        self.rows: list[Row] = []
        self.looks = 0
        self.broker = SimpleNamespace(carrier=self, records=SimpleNamespace(rows=self._read))
        self.open_futures = SimpleNamespace(some_open=lambda most: [row.run_id for row in self.rows])
        self.queues = SimpleNamespace(
            connection=self._connection, queues=lambda names: [lambda channel: self._queue() for _ in names]
        )

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        yield SimpleNamespace(channel=lambda: None)

    def _queue(self) -> Any:
        return SimpleNamespace(declare=lambda: None, get=lambda accept: None)

    def _read(self, run_ids: Sequence[str]) -> list[Row]:
        self.looks += 1
        return [row for row in self.rows if row.run_id in run_ids]

    def take_spare(self, worker: str) -> list[Named] | None:
        return self.spare.pop() if self.spare else None


@pytest.fixture
def carried() -> Carried:
    return Carried()


@pytest.fixture
def started(carried: Carried, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., OverflowConsumer]]:
    monkeypatch.setattr(overflow_consumer, "CLAIM_SECONDS", 0.05)
    made: list[OverflowConsumer] = []

    def start(run: Callable[[Sequence[tuple[str, str]]], None]) -> OverflowConsumer:
        fleet: Any = carried
        made.append(OverflowConsumer(fleet, "worker", ("default",), run))
        made[-1].allow(1)
        return made[-1]

    yield start
    for one in made:
        one.close()


def test_a_call_that_is_waited_for_is_claimed_where_no_message_comes(
    carried: Carried, started: Callable[..., OverflowConsumer]
) -> None:
    carried.rows = [
        Row("runs", status=Status.QUEUED, ticket="default:ds 1-0"),  # some worker has it
        Row("elsewhere", status=Status.QUEUED, ticket="@other:ds 7"),
        Row("ended", status=Status.COMPLETED),
        Row("held", status=Status.QUEUED, ticket="@default:ds 8"),
    ]
    ran: list[Named] = []

    def run(calls: Sequence[Named]) -> None:
        ran.extend(calls)
        carried.rows.clear()

    started(run)
    wait_until(lambda: ran)
    looks = carried.looks
    wait_until(lambda: carried.looks > looks)  # and nothing more is found
    assert ran == [Named("held", "@default:ds 8")]


def test_a_spare_message_goes_first_and_no_more_is_taken_than_allowed(
    carried: Carried, started: Callable[..., OverflowConsumer]
) -> None:
    carried.rows = [Row("held", status=Status.QUEUED, ticket="@default:ds 8")]
    carried.spare = [[Named("spare", "@default:ds 9")]]
    ran: list[str] = []
    may_end = threading.Event()

    def run(calls: Sequence[Named]) -> None:
        ran.extend(call.key for call in calls)
        assert may_end.wait(20)
        carried.rows.clear()

    extra = started(run)
    wait_until(lambda: ran)
    assert (ran, carried.looks) == (["spare"], 0)
    extra.allow(2)
    wait_until(lambda: len(ran) == 2)
    assert ran == ["spare", "held"]
    may_end.set()
