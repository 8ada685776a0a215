"""Events: a stream beside the journal, of what happened to anything but runs, and what programs report."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Final

from brokers.facets.events import StoredEvent
from brokers.records import BEGINNING, in_portions
from brokers.schema import EventField
from brokers.stored import number, text

from .store import RedisStore, pack, unpack
from .streams import newest_first

EVENTS_AT_ONCE: Final = 200
_FIELD: Final = EventField.EVENTS.encode()


class RedisEvents:
    """See :class:`brokers.base.Events`."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    def append(self, events: Sequence[StoredEvent]) -> None:
        for some in in_portions(events, EVENTS_AT_ONCE):
            self._store.run("emit", [[event.id or secrets.token_hex(8), pack([_row(event)])] for event in some])

    def watch(
        self, *, every_seconds: float, lease_seconds: float, late_after_seconds: float, served_within_seconds: float
    ) -> bool:
        patience = [int(1000 * each) for each in (lease_seconds, late_after_seconds, served_within_seconds)]
        return bool(self._store.run("watch", [max(1, int(1000 * every_seconds)), *patience]))

    def newest(self) -> str:
        found = newest_first(self._store, self._store.keys.events, "+", 1)
        return text(found[0][0]) if found else BEGINNING

    def forwards(self, position: str = BEGINNING, count: int = 1000) -> list[tuple[str, list[StoredEvent | None]]]:
        return [(text(entry[0]), events_of(entry)) for entry in self._after(position, count)]

    def backwards(self, first: str = "+", count: int = 100) -> list[tuple[str, list[StoredEvent | None]]]:
        return [
            (text(entry[0]), events_of(entry))
            for entry in newest_first(self._store, self._store.keys.events, first, count)
        ]

    def _after(self, position: str, count: int) -> list[Any]:
        (found,) = self._store.look([("XRANGE", self._store.keys.events, f"({position}", "+", "COUNT", count)])
        return found or []


def _row(event: StoredEvent) -> list[Any]:
    related = [_flat(labels) for labels in event.related]
    row: list[Any] = [event.name, _flat(event.resource), related, event.payload]
    return [*row, event.id, event.occurred, event.follows, event.sealed]


def _flat(labels: Mapping[str, str]) -> list[str]:
    return list(chain.from_iterable(labels.items()))


def events_of(entry: Any) -> list[StoredEvent | None]:
    """The events in one entry of the stream; of each that somebody damaged, ``None``.

    >>> events_of((b"1-0", [b"e", pack([["a.b", ["prefect.resource.id", "c"], [], ""], 7])]))
    [StoredEvent(name='a.b', resource={'prefect.resource.id': 'c'}, related=[], payload=b'', id='', occurred=0.0, \
follows='', sealed=b''), None]
    """
    try:
        field, packed = entry[1][:2]
        rows = unpack(packed) if field == _FIELD else []
    except Exception:  # msgpack raises half a dozen kinds for foreign bytes
        return []
    return [_event(row) for row in rows] if isinstance(rows, list) else []


def _event(row: Any) -> StoredEvent | None:
    try:
        name, resource, related, payload, event_id, occurred, follows, sealed = [*row, b"", 0.0, b"", b""][:8]
        labels, others = _labels(resource), [_labels(other) for other in related]
    except (TypeError, ValueError):
        return None
    if not isinstance(name, bytes) or not isinstance(payload, bytes) or not isinstance(sealed, bytes):
        return None
    moment = number(occurred) or 0.0
    return StoredEvent(text(name), labels, others, payload, text(event_id), moment, text(follows), sealed)


def _labels(flat: Sequence[Any]) -> dict[str, str]:
    if not isinstance(flat, list):
        raise TypeError("labels are a list")
    return {text(flat[at]): text(flat[at + 1]) for at in range(0, len(flat) - 1, 2)}
