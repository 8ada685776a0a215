"""Events as the store keeps them, and read again whatever became of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID, uuid5

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, to_json

from brokers.facets.events import StoredEvent
from brokers.stored import text
from orchestrator import serializers
from orchestrator.errors import PayloadTooLarge, SerializationError
from orchestrator.events.schemas.events import Event, ReceivedEvent, Resource
from orchestrator.serializers.outcomes import fit

MAX_EVENT_BYTES: Final = 512 * 1024
IDS: Final = UUID("8b0f4a1e-7c57-5d3c-9d53-0f6c2f6f8f11")  # namespace of the ids that are made of places in a stream
LONGEST_LABEL: Final = 16_384


def stored_from(event: Event) -> StoredEvent:
    """An event as it is written; its payload is signed and encrypted where the fleet has keys.

    Raises:
        ValueError: its payload is no JSON.
        PayloadTooLarge: with its labels it is above :data:`MAX_EVENT_BYTES`.
    """
    payload = _json(event)
    related = [_fitting(one) for one in event.related]
    stored = StoredEvent(
        fit(event.event),
        _fitting(event.resource),
        related,
        id=str(event.id),
        occurred=event.occurred.timestamp(),
        follows=str(event.follows or ""),
        sealed=serializers.enclose(payload, lambda: _context(str(event.id))) if event.payload else b"",
    )
    labels = sum(len(key) + len(value) for one in (stored.resource, *related) for key, value in one.items())
    if labels + len(payload) > MAX_EVENT_BYTES:
        raise PayloadTooLarge(
            f"the event {event.event!r} has {labels + len(payload):,} bytes, more than the {MAX_EVENT_BYTES:,} that "
            "one may have: put what is large elsewhere, and its address into the payload"
        )
    return stored


def event_from(stored: StoredEvent | None, position: str, place: int) -> ReceivedEvent | None:
    """The event at a place of an entry; ``None`` where it is damaged. Everybody gives it the same id."""
    if stored is None:
        return None
    try:
        written = moment_of(position)
        event_id = UUID(stored.id) if stored.id else placed_id("evt", position, place)
        facts = {
            "occurred": datetime.fromtimestamp(stored.occurred, UTC) if stored.occurred else written,
            "received": written,
            "event": stored.name,
            "resource": stored.resource,
            "related": stored.related,
            "payload": _payload(stored),
            "id": event_id,
            "follows": UUID(stored.follows) if stored.follows else None,
        }
        return ReceivedEvent.model_validate(facts)
    except (ValidationError, ValueError, OverflowError, OSError):
        return None


def placed_id(stream: str, position: str, place: int) -> UUID:
    """The id of an event that has none of its own.

    >>> placed_id("evt", "1-0", 0) == placed_id("evt", "1-0", 0)
    True
    """
    return uuid5(IDS, f"{stream} {position} {place}")


def moment_of(position: str) -> datetime:
    """When the entry at a position was written, by the server's clock. Raises ValueError."""
    return datetime.fromtimestamp(int(position.partition("-")[0]) / 1000, UTC)


def _json(event: Event) -> bytes:
    try:
        return to_json(_encodable(event.payload), inf_nan_mode="null")
    except (PydanticSerializationError, RecursionError) as error:
        raise ValueError(f"the payload of the event {event.event!r} is no JSON: {error}") from None


def _encodable(value: Any) -> Any:
    """With lone surrogates, as file names may have them, written out."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_encodable(key): _encodable(part) for key, part in value.items()}
    return [_encodable(part) for part in value] if isinstance(value, list | tuple) else value


def _fitting(resource: Resource) -> dict[str, str]:
    return {fit(key, LONGEST_LABEL): fit(value, LONGEST_LABEL) for key, value in resource.items()}


def _context(event_id: str) -> tuple[str, str]:
    """What a protected payload is bound to."""
    return ("event", event_id)


def _payload(stored: StoredEvent) -> Mapping[str, Any]:
    if not stored.sealed and not stored.payload:
        return {}
    try:
        plain = serializers.disclose(stored.sealed, lambda: _context(stored.id)) if stored.sealed else stored.payload
        found = json.loads(text(plain))
    except SerializationError as error:
        return {"unreadable": f"the payload cannot be read here: {error}"}
    except (ValueError, RecursionError):
        return {"unreadable": "what the store keeps of the payload is damaged"}
    return found if isinstance(found, dict) else {}
