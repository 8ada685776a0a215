"""An automation as a value: what is to be done when, as in Prefect 3 (``prefect.events.schemas.automations``)."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from orchestrator.events.actions import ActionTypes
from orchestrator.events.schemas.events import ResourceSpecification
from orchestrator.events.schemas.triggers import (
    MOST_TRIGGERS,
    CompositeTrigger,
    CompoundTrigger,
    EventTrigger,
    MetricTrigger,
    Posture,
    ResourceTrigger,
    SequenceTrigger,
    Trigger,
    TriggerTypes,
    leaves_of,
)


class AutomationCore(BaseModel):
    """What is to be done when.

    Attributes:
        name: unique; 1 to 200 characters.
        description: for people.
        enabled: whether it is looked at.
        tags: for people.
        trigger: when.
        actions: what.
        actions_on_trigger: what else; its templates' ``event`` is that the automation has fired.
        actions_on_resolve: kept as Prefect has it; only metric triggers resolve.
        owner_resource: what it is deleted with, such as ``prefect.deployment.<id>``.
    """

    model_config = ConfigDict(extra="ignore", ser_json_timedelta="float", validate_assignment=True)

    name: str = Field(min_length=1, max_length=200)
    description: str = ""
    enabled: bool = True
    tags: list[str] = Field(default_factory=list)
    trigger: TriggerTypes
    actions: list[ActionTypes] = Field(max_length=MOST_TRIGGERS)
    actions_on_trigger: list[ActionTypes] = Field(default_factory=list, max_length=MOST_TRIGGERS)
    actions_on_resolve: list[ActionTypes] = Field(default_factory=list, max_length=MOST_TRIGGERS)
    owner_resource: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _trigger_without_its_deployment(cls, data: Any) -> Any:
        """A ``DeploymentEventTrigger`` is the trigger that it is."""
        trigger = data.get("trigger") if isinstance(data, dict) else None
        return {**data, "trigger": trigger.plain()} if isinstance(trigger, Trigger) else data

    @property
    def all_actions(self) -> list[ActionTypes]:
        """Everything that it may do."""
        return [*self.actions, *self.actions_on_trigger, *self.actions_on_resolve]


def automation_of(trigger: Trigger) -> AutomationCore:
    """The automation that runs a deployment when one of its ``triggers`` fires; its id must have been set.

    >>> from uuid import UUID
    >>> trigger = EventTrigger(expect={"prefect.flow-run.Completed"})
    >>> trigger.set_deployment_id(UUID(int=7))
    >>> automation_of(trigger).owner_resource
    'prefect.deployment.00000000-0000-0000-0000-000000000007'
    """
    owner = trigger.owner_resource()
    return AutomationCore(
        name=getattr(trigger, "name", None) or f"Automation for deployment {owner.rpartition('.')[2]}",
        description=getattr(trigger, "description", ""),
        enabled=getattr(trigger, "enabled", True),
        trigger=trigger.plain(),
        actions=trigger.actions(),
        owner_resource=owner,
    )


__all__ = [
    "AutomationCore",
    "CompositeTrigger",
    "CompoundTrigger",
    "EventTrigger",
    "MetricTrigger",
    "Posture",
    "ResourceSpecification",
    "ResourceTrigger",
    "SequenceTrigger",
    "Trigger",
    "TriggerTypes",
    "automation_of",
    "leaves_of",
]
