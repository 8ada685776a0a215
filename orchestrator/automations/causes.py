"""Which automations have caused an event: so that one that is set off by what it does itself comes to an end.

Runs that an action makes have a tag for each automation on the way to it, which their own events carry on. What an
action does to a definition (a deployment, a pool) is marked in the store for a minute.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import msgpack

from brokers.base import Broker
from orchestrator.automations.seen_event import SeenEvent

TAG: Final = "automation:"
MARKED_MS: Final = 60_000
WINDOW_MS: Final = 60_000
MOST_IN_WINDOW: Final = 10
_MOST: Final = 50  # automations on the way to an event
_BY_TAG_ALONE: Final = ("prefect.flow-run.", "prefect.task-run.")


def tags_of(causes: Iterable[str]) -> list[str]:
    """The tags of a run that automations have caused."""
    return [f"{TAG}{one}" for one in list(dict.fromkeys(causes))[-_MOST:]]


def causes_in(tags: Iterable[str]) -> list[str]:
    """The automations that tags name.

    >>> causes_in(["nightly", "automation:1"])
    ['1']
    """
    return [tag.removeprefix(TAG) for tag in tags if tag.startswith(TAG)]


def mark_of(resource_id: str) -> str:
    """Under which name it is kept who has changed a thing."""
    return f"cause:{resource_id}"[:500]


def mark_as_caused(broker: Broker, resource_id: str, causes: Iterable[str]) -> None:
    """The events of a thing are those of these automations, for a minute. Raises BrokerError."""
    broker.reactions.keep(mark_of(resource_id), msgpack.packb(list(causes)[-_MOST:]), MARKED_MS)


def causes_of(broker: Broker, event: SeenEvent | None) -> list[str]:
    """The automations that have caused an event. Raises BrokerError."""
    if event is None:
        return []
    found = causes_in(event.ids_of("tag"))
    if event.resource_id.startswith("prefect.automation."):
        found.append(event.resource_id.removeprefix("prefect.automation."))
    if not event.resource_id.startswith(_BY_TAG_ALONE):
        (packed,) = broker.reactions.counts([mark_of(event.resource_id)])
        found += _unpacked(packed)
    return list(dict.fromkeys(found))


def _unpacked(packed: bytes | None) -> list[str]:
    try:
        marked = msgpack.unpackb(packed) if packed else []
    except Exception:  # somebody damaged it
        return []
    return [one for one in marked if isinstance(one, str)] if isinstance(marked, list) else []


class Guard(NamedTuple):
    """How often an automation was set off by itself since a moment."""

    since_ms: int = 0
    times: int = 0

    def admits(self, at_ms: int) -> tuple[bool, Guard]:
        """Whether it may fire once more, and the guard from then on.

        >>> guard, admitted = Guard(), []
        >>> for _ in range(12):
        ...     may, guard = guard.admits(5)
        ...     admitted.append(may)
        >>> admitted.count(True), guard.admits(70_000)[0]
        (10, True)
        """
        if not 0 <= at_ms - self.since_ms < WINDOW_MS:
            return True, Guard(at_ms, 1)
        return self.times < MOST_IN_WINDOW, self._replace(times=self.times + 1)

    @property
    def is_first_refusal(self) -> bool:
        """Whether this is the one to be logged."""
        return self.times == MOST_IN_WINDOW + 1
