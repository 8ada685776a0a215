"""Events in the order in which they were written: those of runs from the journal, all others from their own stream.

Whoever follows them keeps :class:`Cursors`; two readers at the same cursors get the same events with the same ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from brokers.base import Broker
from brokers.facets.events import Labels, StoredEvent
from brokers.records import BEGINNING, Change
from orchestrator.deployments.names import flow_id_of
from orchestrator.events.interest import EVERYTHING, Interest
from orchestrator.events.names import RESOURCE_ID, RESOURCE_NAME
from orchestrator.events.run_events import JournalChange, events_of_runs, labelled
from orchestrator.events.schemas.events import ReceivedEvent
from orchestrator.events.stored import event_from

Item = TypeVar("Item")
Entries = list[tuple[str, list[Item]]]


class Cursors(NamedTuple):
    """How far somebody has read: a position in the journal, and one in the stream of events."""

    journal: str = BEGINNING
    events: str = BEGINNING


class EventBatch(NamedTuple):
    """Some events, the oldest first, where to go on, and whether there was more to read."""

    events: list[ReceivedEvent]
    cursors: Cursors
    has_more: bool


def newest(broker: Broker) -> Cursors:
    """The cursors after everything that has been written until now. Raises BrokerError."""
    return Cursors(broker.journal.newest(), broker.events.newest())


def events_after(broker: Broker, cursors: Cursors, limit: int = 500, interest: Interest = EVERYTHING) -> EventBatch:
    """The events behind cursors, the oldest first.

    Args:
        broker: where they are.
        cursors: how far the reader has come.
        limit: how many entries are read of each stream, each of which holds what one script wrote: one event, or as
            many as there are calls in a map.
        interest: kinds that are wanted; the cursors pass over others, whose records are not read.

    Raises:
        BrokerError: the server does not answer.

    Damaged entries are passed over.
    """
    if not interest.in_runs:
        cursors = Cursors(broker.journal.newest(), cursors.events)
    journal = broker.journal.forwards(cursors.journal, limit) if interest.in_runs else []
    others = broker.events.forwards(cursors.events, limit)
    full = len(journal) >= limit, len(others) >= limit
    journal_until, others_until = _until(journal, full[0]), _until(others, full[1])
    journal = _up_to(journal, others_until)
    others = _up_to(others, journal_until)
    events = sorted(
        [*of_journal(broker, journal, interest), *(of_stream(broker, others) if interest.others else ())],
        key=lambda placed: placed[0],
    )
    after = Cursors(
        journal[-1][0] if journal else cursors.journal,
        others[-1][0] if others else cursors.events,
    )
    return EventBatch([event for _, event in events], after, any(full))


Place = tuple[int, int, int, int]
"""Of an event among all: milliseconds, which stream, number in that millisecond, place in its entry."""


def of_journal(
    broker: Broker, entries: Sequence[tuple[str, list[Change]]], interest: Interest
) -> Iterator[tuple[Place, ReceivedEvent]]:
    """The events of entries of the journal, with their places."""
    changes = [
        JournalChange(position, place, change) for position, some in entries for place, change in enumerate(some)
    ]
    for one, event in events_of_runs(broker, changes, interest):
        yield place_of(one.position, 0, one.place), event


def of_stream(
    broker: Broker, entries: Sequence[tuple[str, list[StoredEvent | None]]]
) -> Iterator[tuple[Place, ReceivedEvent]]:
    """The events of entries of their own stream, with their places."""
    for position, some in entries:
        for place, stored in enumerate(some):
            event = event_from(completed(broker, stored), position, place)
            if event is not None:
                yield place_of(position, 1, place), event


def completed(broker: Broker, stored: StoredEvent | None) -> StoredEvent | None:
    """With the flow of a deployment, of which a script has no more than the name, ``flow/deployment``."""
    if stored is None or stored.id:  # a program's own
        return stored
    named = [labels for labels in (stored.resource, *stored.related) if _is_deployment(labels)]
    flow = named[0][RESOURCE_NAME].partition("/")[0] if named else ""
    if not flow:
        return stored
    related = [*map(_with_own_name, stored.related), labelled("flow", flow_id_of(broker.namespace, flow), "flow", flow)]
    return stored._replace(resource=_with_own_name(stored.resource), related=related)


def _is_deployment(labels: Labels) -> bool:
    return labels.get(RESOURCE_ID, "").startswith("prefect.deployment.") and "/" in labels.get(RESOURCE_NAME, "")


def _with_own_name(labels: Labels) -> Labels:
    """A deployment without its flow's name."""
    return {**labels, RESOURCE_NAME: labels[RESOURCE_NAME].partition("/")[2]} if _is_deployment(labels) else labels


def place_of(position: str, stream: int, place: int = 0) -> Place:
    """Where something stands among all events.

    >>> place_of("1700000000000-3", 1)
    (1700000000000, 1, 3, 0)
    """
    moment, _, number = position.partition("-")
    return int(moment), stream, int(number or 0), place


def _until(entries: Sequence[tuple[str, Any]], full: bool) -> int | None:
    """The last millisecond of a stream that was read in part; ``None``: it was read to its end."""
    return place_of(entries[-1][0], 0)[0] if full and entries else None


def _up_to(entries: Entries[Item], until: int | None) -> Entries[Item]:
    """Without what is newer than the part of the other stream that was read: it would come before its time."""
    return entries if until is None else [entry for entry in entries if place_of(entry[0], 0)[0] <= until]
