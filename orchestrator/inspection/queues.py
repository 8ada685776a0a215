"""Queues: their figures, and pause, resume, purge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from brokers.messages import Status
from brokers.records import PURGED, SUBMITTED
from orchestrator.client.fleet import Fleet
from orchestrator.errors import ConfigurationError

_ENTRIES_PER_PAGE: Final = 100


@dataclass(frozen=True, slots=True)
class QueueView:
    """A queue in a list. ``None``: not known without a costly query."""

    name: str
    waiting: int  # queued, not claimed
    held: int  # claimed by workers: running, or about to
    delayed: int | None  # waiting for a countdown or a retry
    oldest_seconds: float | None  # age of the oldest waiting call, by the server's clock
    paused: bool
    workers: int  # live processes that read it

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def queues_of(fleet: Fleet, workers: Mapping[str, Mapping[str, str]] | None = None) -> list[QueueView]:
    """Every queue that has been used, is paused, or is read by a live worker; by name.

    Args:
        fleet: the fleet that has the queues.
        workers: a fresh result of ``fleet.live_workers()``, to save reading it again.

    Raises:
        BrokerError: the server does not respond.
    """
    live = fleet.live_workers() if workers is None else workers
    readers = Counter(
        queue
        for facts in live.values()
        for queue in facts.get("queues", "").split(",")
        if queue and not queue.startswith("~")  # a queue that belongs to one process
    )
    return [QueueView(*figure, workers=readers[figure.name]) for figure in fleet.broker.figures.queues(sorted(readers))]


def pause_queue(fleet: Fleet, name: str) -> bool:
    """Deliver no more calls of a queue until it is resumed; returns whether it was running before.

    Claimed calls still run; new ones are accepted and wait. Calls that a flow runs on its own local workers
    (``orchestrator.slots.local_workers``) are in a queue of its process and are not affected.

    Raises:
        ConfigurationError: Celery carries the calls; its own workers have to be paused.
        BrokerError: the server does not respond.
    """
    _refuse_on_celery(fleet, "paused", f"cancel_consumer {name}")
    return fleet.broker.queues.pause(name)


def resume_queue(fleet: Fleet, name: str) -> bool:
    """Deliver its calls again; returns whether it was paused. Raises as :func:`pause_queue` does."""
    _refuse_on_celery(fleet, "resumed", f"add_consumer {name}")
    return fleet.broker.queues.resume(name)


def _refuse_on_celery(fleet: Fleet, done: str, command: str) -> None:
    if fleet.broker.carrier is not None:
        raise ConfigurationError(
            f"a queue whose calls Celery carries cannot be {done} here, because its workers read from Celery's broker: "
            f"`celery -A task_workers.celery control {command}`"
        )


def purge_queue(fleet: Fleet, name: str) -> int:
    """Cancel every call that waits in a queue now ("purged"); returns how many.

    Claimed and delayed calls, and those sent meanwhile, stay.

    Raises:
        BrokerError: the server does not respond. Calls cancelled before that stay cancelled.
    """
    if fleet.broker.carrier is None:
        return fleet.broker.queues.purge(name)
    # Celery's messages cannot be read from here: the calls are cancelled, and each message is dropped when it arrives.
    purged = 0
    for run_ids in _submitted(fleet):
        waiting = [
            row.run_id
            for row in fleet.broker.records.rows(run_ids)
            if row.status == Status.QUEUED and row.queue == name and row.ticket.startswith("@")
        ]
        purged += len(waiting)
        fleet.broker.runs.cancel(waiting, PURGED)
    return purged


def republish_queue(fleet: Fleet, name: str) -> int:
    """Send the messages of all calls that wait in a queue once more, where Celery carries them; how many calls.

    For a broker that has lost messages (its disk was wiped). Workers publish them within seconds; a message that was
    not lost is then there twice, and the second one is dropped when it arrives.

    Raises:
        ConfigurationError: Redis Streams carry the calls, which are in the store then.
        BrokerError: the server does not respond. Repeating it is harmless.
    """
    carrier = fleet.broker.carrier
    if carrier is None:
        raise ConfigurationError("no messages can be lost: the calls wait in the store, not in Celery's broker")
    return sum(carrier.publish_again(name, run_ids) for run_ids in _submitted(fleet))


def _submitted(fleet: Fleet) -> Iterator[list[str]]:
    """The runs that the journal knows, the newest first; those that came while it is read are left out."""
    first = "+"
    while entries := fleet.broker.journal.backwards(first, _ENTRIES_PER_PAGE):
        yield [change.run_id for _, changes in entries for change in changes if change.status == SUBMITTED]
        first = f"({entries[-1][0]}"
