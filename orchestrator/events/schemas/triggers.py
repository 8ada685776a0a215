"""When an automation fires: triggers, as in Prefect 3 (``prefect.events.schemas.automations``)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Discriminator, Field, PrivateAttr, Tag, field_serializer, model_validator

from orchestrator.events.actions import ActionTypes, RunDeployment
from orchestrator.events.schemas.events import ResourceSpecification

SHORTEST_PROACTIVE: Final = timedelta(seconds=10)
MOST_TRIGGERS: Final = 50  # in one automation
DEEPEST: Final = 5  # triggers in triggers


class Posture(StrEnum):
    """What a trigger waits for."""

    Reactive = "Reactive"
    """That events come."""

    Proactive = "Proactive"
    """That they do not come in time."""

    Metric = "Metric"
    """Refused: see :class:`MetricTrigger`."""


class Trigger(BaseModel, ABC):
    """When to fire."""

    model_config = ConfigDict(extra="ignore", ser_json_timedelta="float")

    type: str
    _deployment_id: UUID | None = PrivateAttr(default=None)

    @abstractmethod
    def describe_for_cli(self, indent: int = 0) -> str:
        """In words."""

    # -- as one of a deployment's ``triggers`` -------------------------------------------------------------------

    def set_deployment_id(self, deployment_id: UUID) -> None:
        """The deployment that it is to run."""
        self._deployment_id = deployment_id

    def owner_resource(self) -> str:
        """What its automation belongs to."""
        return f"prefect.deployment.{self._deployment_id}"

    def actions(self) -> list[ActionTypes]:
        """Run the deployment."""
        return [
            RunDeployment(
                deployment_id=self._deployment_id,
                parameters=getattr(self, "parameters", None),
                job_variables=getattr(self, "job_variables", None),
                schedule_after=getattr(self, "schedule_after", timedelta(0)),
            )
        ]

    def plain(self) -> TriggerTypes:
        """The trigger without what its automation has of it."""
        made: TriggerTypes = self._plain_class()(**self.model_dump(exclude={"type"}))
        return made

    def _plain_class(self) -> Any:
        return type(self)


class ResourceTrigger(Trigger):
    """A trigger that looks at the labels of resources.

    Attributes:
        match: labels of the event's resource.
        match_related: of a resource that is related to it; of several, each must be met by one.
    """

    match: ResourceSpecification = Field(default_factory=lambda: ResourceSpecification({}))
    match_related: ResourceSpecification | list[ResourceSpecification] = Field(
        default_factory=lambda: ResourceSpecification({})
    )


class EventTrigger(ResourceTrigger):
    """Fires when events come, or when they do not.

    Attributes:
        expect: names of events, ``*`` at the end stands for anything; empty: any event.
        after: only once one of these has come.
        for_each: counted by the values of these labels, each by itself; ``related:<role>:<label>`` is one of a related
            resource.
        posture: Reactive: when ``threshold`` events came within ``within``. Proactive: when fewer came.
        threshold: how many events.
        within: in which time; 0: however long it takes. At least 10 s for Proactive.

    After it has fired, events of the rest of that time do not count.

    >>> EventTrigger(expect={"prefect.flow-run.Failed"}, threshold=3, within=60).within
    datetime.timedelta(seconds=60)
    """

    type: Literal["event"] = "event"
    after: set[str] = Field(default_factory=set)
    expect: set[str] = Field(default_factory=set)
    for_each: set[str] = Field(default_factory=set)
    posture: Literal[Posture.Reactive, Posture.Proactive] = Posture.Reactive
    threshold: int = Field(default=1, ge=1, le=10**9)
    within: timedelta = Field(default=timedelta(0), ge=timedelta(0), le=timedelta(days=366))

    @model_validator(mode="before")
    @classmethod
    def _a_name_alone(cls, data: Any) -> Any:
        """One name stands for a set of it."""
        if not isinstance(data, dict):
            return data
        one = {key: [data[key]] for key in ("after", "expect", "for_each") if isinstance(data.get(key), str)}
        return {**data, **one}

    @model_validator(mode="after")
    def _time_for_proactive(self) -> Self:
        if self.posture is Posture.Proactive and self.within < SHORTEST_PROACTIVE:
            if self.within:
                raise ValueError("`within` of a Proactive trigger is at least 10 seconds")
            self.within = SHORTEST_PROACTIVE
        return self

    @field_serializer("after", "expect", "for_each")
    def _in_order(self, names: set[str]) -> list[str]:
        return sorted(names)

    def describe_for_cli(self, indent: int = 0) -> str:
        """In words."""
        names = ", ".join(sorted(self.expect)) or "any event"
        time = f" within {self.within.total_seconds():g} s" if self.within else ""
        each = f" for each {', '.join(sorted(self.for_each))}" if self.for_each else ""
        first = f" after {', '.join(sorted(self.after))}" if self.after else ""
        if self.posture is Posture.Proactive:
            count = "no" if self.threshold == 1 else f"fewer than {self.threshold}"
        else:
            count = "" if self.threshold == 1 else f"{self.threshold} times"
        return "  " * indent + f"{count} {names}{time}{first}{each}".strip()

    def _plain_class(self) -> Any:
        return EventTrigger


class MetricTrigger(ResourceTrigger):
    """Refused: there are no metrics to ask here. Its meaning in Prefect 3 is "duration, lateness or successes"."""

    type: Literal["metric"] = "metric"

    @model_validator(mode="before")
    @classmethod
    def _refuse(cls, data: Any) -> Any:
        raise ValueError(
            "metric triggers are not supported: use an EventTrigger, such as expect={'prefect.flow-run.Late'}, or one "
            "with posture Proactive for what did not complete in time"
        )

    def describe_for_cli(self, indent: int = 0) -> str:
        """In words."""
        return "  " * indent + "a metric"


class CompositeTrigger(Trigger):
    """A trigger of triggers.

    Attributes:
        triggers: these.
        within: in which time they must have fired; ``None``: however long it takes.
    """

    triggers: list[TriggerTypes] = Field(min_length=1, max_length=MOST_TRIGGERS)
    within: timedelta | None = Field(default=None, ge=timedelta(0), le=timedelta(days=366))

    @model_validator(mode="after")
    def _not_too_many(self) -> Self:
        if depth_of(self) > DEEPEST or len(list(leaves_of(self))) > MOST_TRIGGERS:
            raise ValueError(f"at most {MOST_TRIGGERS} triggers, in each other at most {DEEPEST} deep")
        return self

    @property
    def needed(self) -> int:
        """How many of them must fire."""
        return len(self.triggers)

    def _listed(self, title: str, indent: int) -> str:
        inner = [trigger.describe_for_cli(indent + 1) for trigger in self.triggers]
        return "\n".join(["  " * indent + title, *inner])


class CompoundTrigger(CompositeTrigger):
    """Fires when enough of its triggers have.

    Attributes:
        require: how many: ``any``, ``all`` or a number.
    """

    type: Literal["compound"] = "compound"
    require: int | Literal["any", "all"]

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if isinstance(self.require, int) and not 1 <= self.require <= len(self.triggers):
            raise ValueError(f"require is 1 to {len(self.triggers)}, as many as there are triggers")
        return self

    @property
    def needed(self) -> int:
        """How many of them."""
        return {"any": 1, "all": len(self.triggers)}.get(str(self.require)) or int(self.require)

    def describe_for_cli(self, indent: int = 0) -> str:
        """In words."""
        return self._listed(f"{str(self.require).capitalize()} of:", indent)

    def _plain_class(self) -> Any:
        return CompoundTrigger


class SequenceTrigger(CompositeTrigger):
    """Fires when its triggers have, in their order."""

    type: Literal["sequence"] = "sequence"

    def describe_for_cli(self, indent: int = 0) -> str:
        """In words."""
        return self._listed("In this order:", indent)

    def _plain_class(self) -> Any:
        return SequenceTrigger


def kind_of_trigger(value: Any) -> str:
    """The type that is meant where none is given.

    >>> kind_of_trigger({"triggers": [], "require": "any"}), kind_of_trigger({"expect": ["x"]})
    ('compound', 'event')
    """
    if not isinstance(value, dict):
        return str(getattr(value, "type", "event"))
    if "type" in value:
        return str(value["type"])
    if "triggers" in value:
        return "compound" if "require" in value else "sequence"
    return "metric" if value.get("posture") == "Metric" else "event"


TriggerTypes = Annotated[
    Annotated[EventTrigger, Tag("event")]
    | Annotated[MetricTrigger, Tag("metric")]
    | Annotated[CompoundTrigger, Tag("compound")]
    | Annotated[SequenceTrigger, Tag("sequence")],
    Discriminator(kind_of_trigger),
]
"""Any trigger."""

for _composite in (CompositeTrigger, CompoundTrigger, SequenceTrigger):
    _composite.model_rebuild()


def leaves_of(trigger: Trigger) -> list[EventTrigger]:
    """The event triggers in a trigger, itself if it is one."""
    if isinstance(trigger, EventTrigger):
        return [trigger]
    inner = trigger.triggers if isinstance(trigger, CompositeTrigger) else []
    return [leaf for one in inner for leaf in leaves_of(one)]


def depth_of(trigger: Trigger) -> int:
    """How deep triggers are in each other."""
    inner = trigger.triggers if isinstance(trigger, CompositeTrigger) else []
    return 1 + max((depth_of(one) for one in inner), default=0)
