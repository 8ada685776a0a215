"""What goes into the JSON API. Names and shapes follow Prefect 3's where it has the same thing."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

StateType = Literal[
    "SCHEDULED", "PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED", "CRASHED", "PAUSED", "CANCELLING"
]
Names = Annotated[list[str], Field(max_length=200)]
Ids = Annotated[list[str], Field(max_length=1000)]
Limit = Annotated[int, Field(ge=1, le=200)]


def _text_of_moment(given: Any) -> Any:
    if not isinstance(given, str | datetime):
        raise ValueError("a moment is a text of ISO 8601 with a time zone")
    return given


Moment = Annotated[AwareDatetime, Field(strict=False, description="With a time zone"), BeforeValidator(_text_of_moment)]
"""Not strict since a model that leaves out what says nothing has read the JSON before."""
Text = Annotated[str, Field(max_length=500)]


class Model(BaseModel):
    """Takes what its schema says and nothing else."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Filter(Model):
    """Takes what it knows, and what says nothing: clients send ``null`` for every field that they know."""

    model_config = ConfigDict(json_schema_extra={"additionalProperties": {"type": "null"}})

    operator: Literal["and_"] | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_nothing(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {name: value for name, value in given.items() if value is not None or name in cls.model_fields}


class AnyId(Filter):
    """One of these."""

    any_: Ids | None = None


class TimeFilter(Filter):
    """Between two moments."""

    after_: Moment | None = None
    before_: Moment | None = None


Cursor = Annotated[str, Field(pattern=r"^[0-9]{1,19}$", description="`X-Next-Cursor` of the page before")]


class StateDetails(Model):
    """Of a state that is asked for."""

    model_config = ConfigDict(extra="ignore", json_schema_extra={"additionalProperties": True})
    scheduled_time: Moment | None = Field(default=None, description="When it is to begin")


class WantedState(Model):
    """The requested state. What is without effect is sent by Prefect's clients."""

    type: StateType
    name: Annotated[str, Field(max_length=200)] | None = None
    message: Annotated[str, Field(max_length=10_000)] | None = None
    data: Any = Field(default=None, description="Without effect")
    state_details: StateDetails | None = None
    timestamp: Moment | None = Field(default=None, description="Without effect")
    id: Annotated[str, Field(max_length=512)] | None = Field(default=None, description="Without effect")


class SetState(Model):
    """``CANCELLED`` (or ``CANCELLING``) cancels, ``SCHEDULED`` (or ``PENDING``) queues an ended run again, and one that
    waits for a moment (a countdown, its next attempt) at once."""

    state: WantedState
    force: bool = Field(default=False, description="Without effect; Prefect's clients send it")


class Level(Filter):
    """Python's numbers: 20 is INFO."""

    ge_: int | None = None
    le_: int | None = None


class LogFilter(Filter):
    """Log lines of which runs, and which lines."""

    task_run_id: AnyId | None = None
    flow_run_id: AnyId | None = None
    level: Level | None = None
    timestamp: TimeFilter | None = None


class LogsPage(Model):
    """Log lines; at least one run has to be named."""

    logs: LogFilter
    sort: Literal["TIMESTAMP_ASC", "TIMESTAMP_DESC"] | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] | None = Field(default=None, description="200 unless given")
    offset: Annotated[int, Field(ge=0, le=1_000_000)] | None = None


class SomeIds(Model):
    """These; without ``ids``: all."""

    ids: Ids | None = None


class ResumeFlowRun(Model):
    """What a paused flow run goes on with."""

    run_input: dict[str, Any] | None = Field(None, description="What it waits for, as its schema says")
