"""An event as triggers and templates see it: plain values, whichever way it was written down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from orchestrator.events.names import RESOURCE_ID, RESOURCE_ROLE

_MOST_PAYLOAD: Final = 16_384  # characters of it that are kept with a count or a firing


class SeenEvent(NamedTuple):
    """An event.

    Attributes:
        id: the same, whoever reads it.
        event: its name.
        resource: labels of what it is about.
        related: labels of what has to do with it.
        at_ms: when the store got it, by the server's clock.
        occurred: when it happened, as ISO text.
        payload: what else there is to it.
    """

    id: str
    event: str
    resource: Mapping[str, str]
    related: Sequence[Mapping[str, str]] = ()
    at_ms: int = 0
    occurred: str = ""
    payload: Mapping[str, Any] = {}

    @property
    def resource_id(self) -> str:
        """The id of what it is about."""
        return self.resource.get(RESOURCE_ID, "")

    def label(self, name: str) -> str | None:
        """The value of a label; ``related:<role>:<label>`` is that of the first related resource in a role."""
        if name.startswith("related:"):
            _, role, inner = name.split(":", 2) if name.count(":") >= 2 else ("", "", "")
            return next((one.get(inner) for one in self.related if one.get(RESOURCE_ROLE) == role), None)
        return self.resource.get(name)

    def ids_of(self, kind: str) -> list[str]:
        """The ids of the resources of a kind in it, its own first.

        >>> SeenEvent("1", "x", {"prefect.resource.id": "prefect.flow-run.a"}).ids_of("flow-run")
        ['a']
        """
        prefix = f"prefect.{kind}."
        there = [one.get(RESOURCE_ID, "") for one in (self.resource, *self.related)]
        return [one.removeprefix(prefix) for one in there if one.startswith(prefix)]

    def as_facts(self) -> dict[str, Any]:
        """As JSON has it; a large payload is left out."""
        payload = dict(self.payload)
        return {
            "id": self.id,
            "event": self.event,
            "occurred": self.occurred or datetime.fromtimestamp(self.at_ms / 1000, UTC).isoformat(),
            "resource": dict(self.resource),
            "related": [dict(one) for one in self.related],
            "payload": payload if len(repr(payload)) <= _MOST_PAYLOAD else {},
            "at_ms": self.at_ms,
        }


def seen_of_facts(facts: Any) -> SeenEvent | None:
    """The event of such facts, which may be damaged; ``None`` where they are none.

    >>> event = SeenEvent("1", "x", {"a": "b"}, ({"c": "d"},), 5, "2026-01-01T00:00:00+00:00", {"p": 1})
    >>> seen_of_facts(event.as_facts()) == event
    True
    """
    if not isinstance(facts, dict) or not isinstance(facts.get("event"), str):
        return None
    at_ms, payload, related = facts.get("at_ms"), facts.get("payload"), facts.get("related")
    return SeenEvent(
        str(facts.get("id", "")),
        facts["event"],
        _labels(facts.get("resource")),
        tuple(map(_labels, related)) if isinstance(related, list) else (),
        at_ms if isinstance(at_ms, int) else 0,
        str(facts.get("occurred", "")),
        payload if isinstance(payload, dict) else {},
    )


def _labels(value: Any) -> dict[str, str]:
    pairs = value.items() if isinstance(value, dict) else ()
    return {key: held for key, held in pairs if isinstance(key, str) and isinstance(held, str)}
