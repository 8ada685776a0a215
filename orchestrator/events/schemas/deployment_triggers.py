"""Triggers of deployments: an event trigger with what the automation that runs the deployment is called and gives.

They are given to ``triggers=`` of ``to_deployment``, ``serve`` and ``deploy``; as in Prefect 3.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from pydantic import BaseModel, Discriminator, Field, Tag, TypeAdapter

from orchestrator.events.schemas.triggers import (
    CompoundTrigger,
    EventTrigger,
    MetricTrigger,
    SequenceTrigger,
    Trigger,
    kind_of_trigger,
)


class BaseDeploymentTrigger(BaseModel):
    """What an automation for a trigger has beside it.

    Attributes:
        name: of the automation; made of the deployment's unless given.
        description, enabled: of the automation.
        parameters, job_variables, schedule_after: see :class:`orchestrator.events.actions.RunDeployment`.
    """

    name: str | None = None
    description: str = ""
    enabled: bool = True
    parameters: dict[str, Any] | None = None
    job_variables: dict[str, Any] | None = None
    schedule_after: timedelta = Field(default=timedelta(0), ge=timedelta(0))


class DeploymentEventTrigger(BaseDeploymentTrigger, EventTrigger):
    """An event trigger that runs a deployment.

    >>> DeploymentEventTrigger(name="chained", expect={"prefect.flow-run.Completed"}).plain().type
    'event'
    """


class DeploymentMetricTrigger(BaseDeploymentTrigger, MetricTrigger):
    """Refused, see :class:`MetricTrigger`."""


class DeploymentCompoundTrigger(BaseDeploymentTrigger, CompoundTrigger):
    """A compound trigger that runs a deployment."""


class DeploymentSequenceTrigger(BaseDeploymentTrigger, SequenceTrigger):
    """A sequence that runs a deployment."""


DeploymentTriggerTypes = Annotated[
    Annotated[DeploymentEventTrigger, Tag("event")]
    | Annotated[DeploymentMetricTrigger, Tag("metric")]
    | Annotated[DeploymentCompoundTrigger, Tag("compound")]
    | Annotated[DeploymentSequenceTrigger, Tag("sequence")],
    Discriminator(kind_of_trigger),
]
"""Any of them."""

_ANY: TypeAdapter[Any] = TypeAdapter(DeploymentTriggerTypes)


def read_deployment_trigger(value: Any) -> Trigger:
    """One of a deployment's triggers: an object of these classes, a plain trigger, or what YAML has.

    Raises:
        ValueError: it is none, with the reason.

    >>> read_deployment_trigger({"expect": ["prefect.flow-run.Failed"], "parameters": {"a": 1}}).parameters
    {'a': 1}
    """
    if isinstance(value, Trigger):
        return value
    made: Trigger = _ANY.validate_python(value)
    return made


__all__ = [
    "BaseDeploymentTrigger",
    "DeploymentCompoundTrigger",
    "DeploymentEventTrigger",
    "DeploymentMetricTrigger",
    "DeploymentSequenceTrigger",
    "DeploymentTriggerTypes",
]
