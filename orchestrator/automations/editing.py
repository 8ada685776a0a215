"""What people do to automations: make, change, enable, disable, delete them."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from brokers.errors import BrokerConflict
from orchestrator.automations.lookup import check_references, find_automation
from orchestrator.automations.record import KIND, AutomationRecord, all_automations, document_of, read_automations
from orchestrator.automations.templates import check_template
from orchestrator.client.fleet import Fleet
from orchestrator.errors import SerializationError
from orchestrator.events.schemas.automations import AutomationCore

TRIES: Final = 10  # others may write the same one meanwhile


def create_automation(fleet: Fleet, core: AutomationCore, who: str = "") -> AutomationRecord:
    """Make an automation; one that is there already as it is, is that one: a script may run twice.

    Raises:
        BrokerConflict: another one has the name.
        ObjectNotFound: a block, deployment, pool or automation that it names is not there.
        ValueError: a template is none. BrokerError: the server does not answer.
    """
    _check(fleet, core)
    (known,) = fleet.broker.documents.find(KIND, [core.name])
    if known is not None and (same := read_automations(fleet.broker, [known])[0]) is not None and is_same(same, core):
        return same
    automation_id, now = str(uuid.uuid4()), fleet.broker.ticks.now_ms()
    fields = document_of(core, automation_id, now, now)
    try:
        fleet.broker.documents.write(KIND, automation_id, fields, name=core.name, only_new=True, who=who)
    except BrokerConflict:
        raise BrokerConflict(
            f"Automation {core.name!r} already exists, and is another one: change it with update(), or delete it first"
        ) from None
    return _there(fleet, automation_id)


def update_automation(fleet: Fleet, automation_id: Any, core: AutomationCore, who: str = "") -> AutomationRecord:
    """Have it be this. With another trigger, what was counted so far is forgotten.

    Raises:
        AutomationNotFound, BrokerConflict, ObjectNotFound, ValueError, BrokerError: see :func:`create_automation`.
    """
    _check(fleet, core)
    return _change(fleet, automation_id, lambda before: core, who)


def switch_automation(fleet: Fleet, name_or_id: Any, on: bool, who: str = "") -> bool:
    """Enable or disable it; returns whether that changed. Raises AutomationNotFound, BrokerError."""
    record = find_automation(fleet.broker, name_or_id)
    if record.enabled is on:
        return False
    fields: dict[str, str | bytes] = {"on": "1" if on else "0"}
    if on:  # what happened meanwhile is not made up for
        fields["since"] = str(fleet.broker.ticks.now_ms())
    fleet.broker.documents.write(KIND, record.id, fields, who=who)
    return True


def delete_automations(fleet: Fleet, ids: list[str], who: str = "") -> int:
    """Forget automations; calls of their actions that wait are made all the same. Raises BrokerError."""
    deleted = fleet.broker.documents.delete(KIND, ids, who)
    for automation_id in ids:
        fleet.broker.reactions.forget(automation_id)
    return deleted


def automations_owned_by(fleet: Fleet, resource: str) -> list[AutomationRecord]:
    """The automations that belong to a resource, such as ``prefect.deployment.<id>``. Raises BrokerError."""
    return [one for one in all_automations(fleet.broker) if one.core and one.core.owner_resource == resource]


def is_same(record: AutomationRecord, core: AutomationCore) -> bool:
    """Whether it is this one, whoever may have disabled it meanwhile."""
    return record.core is not None and record.core.model_copy(update={"enabled": core.enabled}) == core


def _check(fleet: Fleet, core: AutomationCore) -> None:
    check_references(fleet.broker, core)
    for action in core.all_actions:
        for template in action.templates:
            check_template(template)


def _change(
    fleet: Fleet, name_or_id: Any, change: Callable[[AutomationRecord], AutomationCore], who: str
) -> AutomationRecord:
    for _ in range(TRIES):
        before = find_automation(fleet.broker, name_or_id)
        core = change(before)
        fresh = before.core is None or before.core.trigger != core.trigger or (core.enabled and not before.enabled)
        since = fleet.broker.ticks.now_ms() if fresh else before.since_ms
        fields = document_of(core, before.id, since, before.created_ms)
        with suppress(BrokerConflict):
            fleet.broker.documents.write(KIND, before.id, fields, name=core.name, expected=before.generation, who=who)
            return _there(fleet, before.id)
        (holder,) = fleet.broker.documents.find(KIND, [core.name])
        if holder not in (None, before.id):
            raise BrokerConflict(f"another automation has the name {core.name!r}; nothing was written")
    raise BrokerConflict(f"automation {before.name!r} is being changed by others all the time: try again")


def _there(fleet: Fleet, automation_id: str) -> AutomationRecord:
    (record,) = read_automations(fleet.broker, [automation_id])
    if record is None:
        raise BrokerConflict("the automation was deleted by somebody else meanwhile")
    if record.trouble:
        raise SerializationError(f"the automation was written and cannot be read again: {record.trouble}")
    return record
