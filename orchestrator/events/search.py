"""Events in pages, newest or oldest first: both streams are walked from a place on, no further than a page needs."""

from __future__ import annotations

import heapq
import re
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Final, NamedTuple

from brokers.base import Broker
from brokers.messages import Status
from brokers.records import Change
from orchestrator.events.filters import EventFilter, EventOrder
from orchestrator.events.interest import Interest
from orchestrator.events.reading import Place, completed, place_of
from orchestrator.events.run_events import JournalChange, events_of_runs
from orchestrator.events.schemas.events import ReceivedEvent
from orchestrator.events.stored import event_from

FEWEST_ENTRIES, MOST_ENTRIES = 200, 1_000  # of a stream that are read at once, more and more of them
RECORDS_AT_ONCE: Final = 200
MOST_SECONDS: Final = 1.0
_LAST: Final = 2**64 - 1  # number in a millisecond
_JOURNAL, _OTHERS = 0, 1
_TOKEN: Final = re.compile(r"([0-9]{1,15})-([01])-([0-9]{1,20})-([0-9]{1,9})")


class EventPage(NamedTuple):
    """Some events.

    Attributes:
        events: those that are wanted, in their order.
        next: where the next page begins; ``None``: there is nothing more.
        looked_at: how many events were looked at.
    """

    events: list[ReceivedEvent]
    next: str | None
    looked_at: int


class _Item(NamedTuple):
    """Something at a place that may be a wanted event."""

    place: Place
    position: str
    what: Any  # a change of the journal, or a stored event


def find_events(
    broker: Broker,
    wanted: EventFilter,
    limit: int = 50,
    after: str | None = None,
    seconds: float = MOST_SECONDS,
    fits: Callable[[ReceivedEvent], bool] | None = None,
) -> EventPage:
    """A page of events in the order that the filter asks for.

    Args:
        broker: where they are.
        wanted: which.
        limit: how many at most. A page may be shorter, or empty, and still have a next one: after so many ``seconds``
            the search stops where it is.
        after: ``next`` of the page before.
        seconds: how long it may search.
        fits: decides about what the filter leaves.

    Raises:
        ValueError: ``after`` is no such place.
        BrokerError: the server does not answer.

    Events of one millisecond may come in another order than they happened: those of runs first.
    """
    until = time.monotonic() + seconds
    found: list[ReceivedEvent] = []
    looked_at, items = 0, _items(broker, wanted, _place_from(after))
    at_once = min(limit, RECORDS_AT_ONCE)  # as a rule all that a page needs
    while some := list(islice(items, max(at_once, 1))):
        at_once = RECORDS_AT_ONCE if wanted.interest.task_runs else 2 * RECORDS_AT_ONCE
        looked_at += len(some)
        for item, event in _events_of(broker, some, wanted.interest):
            if event is not None and wanted.includes(event) and (fits is None or fits(event)):
                found.append(event)
                if len(found) == limit:
                    return EventPage(found, _token(item.place) if _has_more(items, item, some) else None, looked_at)
        if time.monotonic() > until:
            return EventPage(found, _token(some[-1].place), looked_at)
    return EventPage(found, None, looked_at)


def _has_more(items: Iterator[_Item], item: _Item, some: list[_Item]) -> bool:
    return item is not some[-1] or next(items, None) is not None


def _items(broker: Broker, wanted: EventFilter, after: Place | None) -> Iterator[_Item]:
    """What may be wanted, in order, from a place on."""
    interest, ascending = wanted.interest, wanted.order == EventOrder.ASC
    walks = [_walk(broker.journal, _JOURNAL, wanted, after)] if interest.in_runs else []
    walks += [_walk(broker.events, _OTHERS, wanted, after)] if interest.others else []
    return heapq.merge(*walks, key=lambda item: item.place, reverse=not ascending)


def _may_be_wanted(item: _Item, interest: Interest) -> bool:
    change = item.what
    if not isinstance(change, Change) or interest.task_runs:
        return True
    return change.of_flow or change.status == Status.CANCELLING


def _walk(stream: Any, number: int, wanted: EventFilter, after: Place | None) -> Iterator[_Item]:
    """The items of one stream in the wanted order, within the wanted time."""
    ascending, given = wanted.order == EventOrder.ASC, wanted.occurred.model_fields_set
    since = int(wanted.occurred.since.timestamp() * 1000) if "since" in given else 0
    until = int(wanted.occurred.until.timestamp() * 1000) if "until" in given else None
    entries = _forwards(stream, since, after) if ascending else _backwards(stream, number, until, after)
    for position, some in entries:
        moment = place_of(position, number)[0]
        if not ascending and moment < since:
            return
        if ascending and until is not None and number == _JOURNAL and moment > until:
            return
        places = range(len(some)) if ascending else range(len(some) - 1, -1, -1)
        for place in places:
            item = _Item(place_of(position, number, place), position, some[place])
            if after is None or (item.place > after if ascending else item.place < after):
                yield item


def _forwards(stream: Any, since: int, after: Place | None) -> Iterator[tuple[str, list[Any]]]:
    first = max(since, after[0] if after is not None else 0)
    position = f"{first - 1}-{_LAST}" if first > 0 else "0-0"
    for count in _counts():
        entries = stream.forwards(position, count)
        yield from entries
        if len(entries) < count:
            return
        position = entries[-1][0]


def _backwards(stream: Any, number: int, until: int | None, after: Place | None) -> Iterator[tuple[str, list[Any]]]:
    first = "+"
    if until is not None and number == _JOURNAL:  # other events may have occurred before they were written
        first = str(until)
    if after is not None and (first == "+" or after[0] < int(first)):
        first = str(after[0])
    for count in _counts():
        entries = stream.backwards(first, count)
        yield from entries
        if len(entries) < count:
            return
        first = f"({entries[-1][0]}"


def _counts() -> Iterator[int]:
    """How many entries are read at a time."""
    count = FEWEST_ENTRIES
    while True:
        yield count
        count = min(2 * count, MOST_ENTRIES)


def _events_of(broker: Broker, items: list[_Item], interest: Interest) -> Iterable[tuple[_Item, ReceivedEvent | None]]:
    """Those that may be wanted, each with its event; ``None`` where it is none."""
    items = [one for one in items if _may_be_wanted(one, interest)]
    changes = [JournalChange(one.position, one.place[3], one.what) for one in items if isinstance(one.what, Change)]
    of_runs = {(one.position, one.place): event for one, event in events_of_runs(broker, changes, interest)}
    for item in items:
        if isinstance(item.what, Change):
            yield item, of_runs.get((item.position, item.place[3]))
        else:
            yield item, event_from(completed(broker, item.what), item.position, item.place[3])


def _token(place: Place) -> str:
    return "-".join(map(str, place))


def _place_from(token: str | None) -> Place | None:
    if token is None:
        return None
    found = _TOKEN.fullmatch(token)
    if found is None:
        raise ValueError(f"{token[:60]!r} is no place among the events: use what an earlier page gave")
    moment, stream, number, place = map(int, found.groups())
    return moment, stream, number, place
