"""The calls of actions: what a firing is to do, as envelopes; and the firing itself, as people see it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import msgpack

from brokers.facets.reactions import ACTION_QUEUE
from brokers.messages import SYNC_LANE, Envelope, Route
from brokers.schema import ACTION_CALL, READABLE_BY, VERSION, CallMeta
from orchestrator import serializers
from orchestrator.automations.causes import tags_of
from orchestrator.automations.evaluation import Firing
from orchestrator.automations.record import AutomationRecord
from orchestrator.automations.seen_event import SeenEvent
from orchestrator.client.fleet import Fleet
from orchestrator.events.actions import Action
from orchestrator.runs.run_ids import tick_run_id
from orchestrator.submission.signed_calls import call_context

ROUTE: Final = str(Route(ACTION_QUEUE, "default", SYNC_LANE))
NOTIFY_TAG: Final = "notify"


class ShownFiring(NamedTuple):
    """A firing, for people.

    Attributes:
        id: the same, whoever finds it.
        at_ms: by the server's clock.
        event: name of the last event that counted; ``event_id``, ``resource_id``, ``resource_name`` of it.
        labels: by which it counts, with their values.
        calls: run ids of its actions' calls, with what each does.
        held: nothing was done, since it was set off by itself too often.
    """

    id: str
    at_ms: int
    event: str = ""
    event_id: str = ""
    resource_id: str = ""
    resource_name: str = ""
    labels: Mapping[str, str] = {}
    calls: tuple[tuple[str, str], ...] = ()
    held: bool = False


def calls_of(fleet: Fleet, record: AutomationRecord, firing: Firing, causes: Iterable[str]) -> list[Envelope]:
    """The calls of an automation's actions: their ids are the same, whoever makes them.

    Raises:
        SerializationError, PayloadTooLarge: they cannot be sent.
    """
    core = record.core
    if core is None:
        return []
    chain = [*causes, record.id]
    facts = {
        "automation": {"id": record.id, "name": record.name, "description": core.description, "tags": core.tags},
        "firing": {"id": firing.id, "at_ms": firing.at_ms, "labels": dict(firing.labels)},
        "event": firing.event.as_facts() if firing.event is not None else None,
        "causes": list(dict.fromkeys(chain)),
    }
    of_firing = {**facts, "event": triggered_event(record, firing).as_facts()}
    actions: list[tuple[Action, dict[str, Any]]] = [(action, facts) for action in core.actions]
    actions += [(action, of_firing) for action in core.actions_on_trigger]
    tags = tags_of(facts["causes"])  # type: ignore[arg-type]
    return [
        action_call(fleet, tick_run_id(f"action {firing.id} {place}", firing.at_ms), action, each, tags)
        for place, (action, each) in enumerate(actions)
    ]


def triggered_event(record: AutomationRecord, firing: Firing) -> SeenEvent:
    """That an automation has fired, as an event."""
    related = []
    if firing.event is not None:
        source = {"prefect.resource.id": f"prefect.event.{firing.event.id}"}
        related.append({**source, "prefect.resource.role": "triggering-event"})
    resource = {"prefect.resource.id": f"prefect.automation.{record.id}", "prefect.resource.name": record.name}
    payload = {"firing": firing.id, "triggering_labels": dict(firing.labels)}
    return SeenEvent(firing.id, "prefect.automation.triggered", resource, related, firing.at_ms, "", payload)


def action_call(
    fleet: Fleet, run_id: str, action: Action, facts: Mapping[str, Any], tags: Iterable[str] = ()
) -> Envelope:
    """One call: what is to be done, and what it is about, as plain values.

    Raises:
        SerializationError, PayloadTooLarge: it cannot be sent.
    """
    meta = CallMeta(
        task_name=action.type,
        tags=sorted(tags),
        signed_for=ACTION_QUEUE if fleet.protection.signs else None,
        written_by=VERSION,
        readable_by=READABLE_BY,
    ).pack()
    body, _ = serializers.pack_call(
        ({"action": action.model_dump(mode="json"), **facts},),
        {},
        context=lambda: call_context(ACTION_CALL, run_id, meta),
        limits=fleet.limits,
    )
    return Envelope(run_id, ACTION_CALL, ROUTE, body, None, None, meta, None)


def pack_firing(firing: Firing, calls: Iterable[Envelope], types: Iterable[str], held: bool) -> bytes:
    """A firing as it is kept."""
    event = firing.event
    row = [
        firing.id,
        firing.at_ms,
        [event.event, event.id, event.resource_id, event.label("prefect.resource.name") or ""] if event else None,
        dict(firing.labels),
        [[call.run_id, kind] for call, kind in zip(calls, types, strict=True)],
        held,
    ]
    packed: bytes = msgpack.packb(row)
    return packed


def read_firing(packed: bytes) -> ShownFiring | None:
    """A firing; ``None`` for one that somebody damaged."""
    try:
        firing_id, at_ms, event, labels, calls, held = msgpack.unpackb(packed)
        name, event_id, resource_id, resource_name = event or ("", "", "", "")
        return ShownFiring(
            str(firing_id), int(at_ms), str(name), str(event_id), str(resource_id), str(resource_name),
            {str(key): str(value) for key, value in labels.items()},
            tuple((str(run_id), str(kind)) for run_id, kind in calls), held is True,
        )  # fmt: skip
    except Exception:  # msgpack raises half a dozen kinds for foreign bytes
        return None
