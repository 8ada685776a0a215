"""Queues: how full they are, and what people do to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from brokers.contract import Status
from brokers.redis import figures, steering
from brokers.redis.journal import SUBMITTED, Journal
from orchestrator.errors import ConfigurationError
from orchestrator.fleet import Fleet

_ENTRIES_PER_PAGE: Final = 100


@dataclass(frozen=True, slots=True)
class QueueView:
    """A queue in a list. ``None``: the server cannot tell cheaply."""

    name: str
    waiting: int  # queued, and claimed by nobody
    held: int  # claimed by workers: they run, or are about to
    delayed: int | None  # for later: a countdown, or a retry
    oldest_seconds: float | None  # how long the oldest of those that wait has waited, by the server's clock
    paused: bool
    workers: int  # live processes that read it

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def queues_of(fleet: Fleet, workers: Mapping[str, Mapping[str, str]] | None = None) -> list[QueueView]:
    """Every queue that has been used, is paused, or is read by a live worker; by name.

    Args:
        fleet: whose.
        workers: what ``fleet.live_workers()`` has just told, if it was asked.

    Raises:
        BrokerError: the server does not answer.
    """
    live = fleet.live_workers() if workers is None else workers
    readers = Counter(
        queue
        for facts in live.values()
        for queue in facts.get("queues", "").split(",")
        if queue and not queue.startswith("~")  # a queue that belongs to one process
    )
    return [
        QueueView(*told, workers=readers[told.name]) for told in figures.queue_figures(fleet.broker, sorted(readers))
    ]


def pause_queue(fleet: Fleet, name: str) -> bool:
    """Hand out no more calls of a queue until it is resumed; whether it was not paused before.

    Calls that workers have claimed are run, and new ones are accepted and wait. Calls that a flow runs on workers of
    its own (``orchestrator.local_workers``) are in a queue of its process and are not concerned.

    Raises:
        ConfigurationError: Celery carries the calls; pausing is its workers' business.
        BrokerError: the server does not answer.
    """
    _refuse_on_celery(fleet, "paused", f"cancel_consumer {name}")
    return steering.pause(fleet.broker, name)


def resume_queue(fleet: Fleet, name: str) -> bool:
    """Hand out its calls again; whether it was paused. Raises as :func:`pause_queue` does."""
    _refuse_on_celery(fleet, "resumed", f"add_consumer {name}")
    return steering.resume(fleet.broker, name)


def _refuse_on_celery(fleet: Fleet, done: str, command: str) -> None:
    if fleet.broker.carried:
        raise ConfigurationError(
            f"a queue whose calls Celery carries is not {done} here, because its workers get messages from the broker: "
            f"`celery -A task_workers.celery_app control {command}`"
        )


def purge_queue(fleet: Fleet, name: str) -> int:
    """End every call that waits in a queue now as Cancelled ("purged"); returns how many.

    What workers have claimed, what is delayed and what is sent meanwhile stays.

    Raises:
        BrokerError: the server does not answer. What was ended before stays ended.
    """
    if not fleet.broker.carried:
        return steering.purge(fleet.broker, name)
    # The messages are not to be seen from here. Their calls end, and each message finds that it has come too late.
    journal, first, purged = Journal(fleet.broker), "+", 0
    while entries := journal.backwards(first, _ENTRIES_PER_PAGE):
        run_ids = [change.run_id for _, changes in entries for change in changes if change.status == SUBMITTED]
        waiting = [
            row.run_id
            for row in journal.rows(run_ids)
            if row.status == Status.QUEUED and row.queue == name and row.ticket.startswith("@")
        ]
        purged += len(waiting)
        fleet.broker.cancel(waiting, steering.PURGED)
        first = f"({entries[-1][0]}"
    return purged
