"""The automations of a deployment's ``triggers``: one for each, which runs it, and goes with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from orchestrator.automations.editing import (
    automations_owned_by,
    create_automation,
    delete_automations,
    is_same,
    update_automation,
)
from orchestrator.client.fleet import Fleet
from orchestrator.events.schemas.automations import AutomationCore, automation_of
from orchestrator.events.schemas.deployment_triggers import read_deployment_trigger


def owner_of(deployment_id: str) -> str:
    """What the automations of a deployment belong to."""
    return f"prefect.deployment.{deployment_id}"


def write_triggers(fleet: Fleet, deployment_id: str, full_name: str, triggers: Sequence[Any]) -> None:
    """Have these triggers run a deployment, and no others of it; one that is as it was is left as it is.

    Raises:
        BrokerConflict: an automation that is not this deployment's has the name. BrokerError.
    """
    wanted = [_automation(deployment_id, full_name, trigger, at + 1) for at, trigger in enumerate(triggers)]
    names = {one.name for one in wanted}
    owned = {one.name: one for one in automations_owned_by(fleet, owner_of(deployment_id))}
    delete_automations(fleet, [one.id for name, one in owned.items() if name not in names])
    for core in wanted:
        known = owned.get(core.name)
        if known is None:
            create_automation(fleet, core)
        elif not is_same(known, core):
            update_automation(fleet, known.id, core)


def delete_triggers(fleet: Fleet, deployment_id: str) -> None:
    """Forget the automations of a deployment. Raises BrokerError."""
    delete_automations(fleet, [one.id for one in automations_owned_by(fleet, owner_of(deployment_id))])


def _automation(deployment_id: str, full_name: str, given: Any, number: int) -> AutomationCore:
    trigger = read_deployment_trigger(given)
    trigger.set_deployment_id(UUID(deployment_id))
    core = automation_of(trigger)
    if not getattr(trigger, "name", None):
        core.name = f"{full_name}__automation_{number}"
    return core
