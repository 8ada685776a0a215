"""Whether an event is one that a trigger waits for. Follows Prefect 3's rules (``server.events.triggers``)."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.automations.seen_event import SeenEvent
from orchestrator.events.names import as_prefect, fits
from orchestrator.events.schemas.events import ResourceSpecification
from orchestrator.events.schemas.triggers import CompositeTrigger, EventTrigger, Trigger

Path = tuple[int, ...]
"""Where a trigger is in its automation's: ``()`` is that one, ``(0, 2)`` the third of its first one."""


def leaves(trigger: Trigger, path: Path = ()) -> Iterator[tuple[Path, EventTrigger]]:
    """The event triggers in a trigger, with their places."""
    if isinstance(trigger, EventTrigger):
        yield path, trigger
    elif isinstance(trigger, CompositeTrigger):
        for number, inner in enumerate(trigger.triggers):
            yield from leaves(inner, (*path, number))


def trigger_at(trigger: Trigger, path: Path) -> Trigger | None:
    """The trigger at a place; ``None`` if there is none."""
    for number in path:
        if not isinstance(trigger, CompositeTrigger) or not 0 <= number < len(trigger.triggers):
            return None
        trigger = trigger.triggers[number]
    return trigger


def expects(trigger: EventTrigger, name: str) -> bool:
    """Whether events of this name count."""
    return not trigger.expect or any(fits(one, name) for one in trigger.expect)


def opens(trigger: EventTrigger, name: str) -> bool:
    """Whether an event of this name has to come first, and has."""
    return any(fits(one, name) for one in trigger.after)


def wants(trigger: EventTrigger, name: str) -> bool:
    """Whether events of this name matter.

    >>> some = EventTrigger(after={"a"}, expect={"prefect.flow-run.*"})
    >>> wants(some, "a"), wants(some, "orchestrator.flow-run.Failed"), wants(some, "b")
    (True, True, False)
    """
    return expects(trigger, name) or opens(trigger, name)


def covers(trigger: EventTrigger, event: SeenEvent) -> bool:
    """Whether an event matters, with its resources."""
    return (
        wants(trigger, event.event)
        and trigger.match.includes([event.resource])
        and all(spec.includes(event.related) for spec in _specifications(trigger))
    )


def _specifications(trigger: EventTrigger) -> list[ResourceSpecification]:
    related = trigger.match_related
    return [related] if isinstance(related, ResourceSpecification) else related


def key_of(trigger: EventTrigger, event: SeenEvent) -> tuple[str, ...]:
    """The values by which its events are counted apart."""
    return tuple(event.label(as_prefect(label)) or "" for label in sorted(trigger.for_each))
