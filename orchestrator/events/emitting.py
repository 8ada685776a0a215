"""``emit_event``: a program reports something that happened. Follows Prefect 3 (``prefect.events.emit_event``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from orchestrator.client.async_dispatch import on_event_loop
from orchestrator.client.fleet import current_fleet
from orchestrator.events.outbox import outbox_of
from orchestrator.events.related import related_to_this_run
from orchestrator.events.schemas.events import MOST_RELATED, Event, RelatedResource, Resource
from orchestrator.events.stored import stored_from

FOLLOWS_WITHIN: Final = timedelta(minutes=5)


def emit_event(
    event: str,
    resource: Mapping[str, str] | Resource,
    occurred: datetime | None = None,
    related: Sequence[Mapping[str, str] | RelatedResource] | None = None,
    payload: Mapping[str, Any] | None = None,
    id: UUID | None = None,
    follows: Event | UUID | None = None,
) -> Event | None:
    """Report something that happened.

    It is in the store when this returns, unless the store is away: then it waits in this process, up to 10,000 do,
    a warning says so, and nothing else happens: an event never breaks a run. On an event loop it is written soon after.

    Args:
        event: its name, such as ``shop.order.paid``. ``prefect.`` and ``orchestrator.`` begin names of ours.
        resource: labels of what it happened to; ``prefect.resource.id`` is one of them.
        occurred: when; default: now. One without a zone is in UTC.
        related: labels of what else has to do with it, each with a ``prefect.resource.role``. In a flow or task run
            that run, its flow, deployment, work pool and tags are added.
        payload: whatever else is known, as JSON can have it; NaN and infinities become null. Where the fleet has
            keys it is encrypted and signed, names and labels are not.
        id: the same event, emitted again within ten minutes under the same id, is written once; default: a new one.
        follows: the event before this one, or its id. One that is more than five minutes away is not noted.

    Returns:
        The event.

    Raises:
        ValueError: it can be no event: no ``prefect.resource.id``, no role, a payload that is no JSON.
        PayloadTooLarge: with its payload it is above 512 KiB.

    >>> from orchestrator.testing import inline
    >>> with inline():
    ...     emit_event("shop.order.paid", {"prefect.resource.id": "shop.order.7"}, payload={"total": 12}).event
    'shop.order.paid'
    """
    fleet = current_fleet()
    given: dict[str, Any] = {"occurred": occurred or datetime.now(UTC), "payload": dict(payload or {})}
    if id is not None:
        given["id"] = id
    emitted = Event.model_validate({"event": event, "resource": resource, "related": list(related or ()), **given})
    emitted.follows = _before(emitted, follows)
    known = {one.id for one in emitted.related}
    around = [RelatedResource(labels) for labels in related_to_this_run(fleet)]
    emitted.related += [one for one in around if one.id not in known][: max(0, MOST_RELATED - len(known))]
    outbox = outbox_of(fleet)
    outbox.write_soon(stored_from(emitted))
    if not on_event_loop():
        outbox.flush()
    return emitted


def _before(event: Event, follows: Event | UUID | None) -> UUID | None:
    if isinstance(follows, Event):
        return follows.id if abs(event.occurred - follows.occurred) < FOLLOWS_WITHIN else None
    return follows
