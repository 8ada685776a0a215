"""What goes into the JSON API about schedules, in the shapes of Prefect 3's clients, and what they have not."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import Field, RootModel, model_validator

from orchestrator.schedules import Schedule
from orchestrator.server.api.requests import Model, Moment

POLICIES: Final = ("catchup", "catchup_seconds", "overlap", "jitter", "until", "max_runs", "pause_on_failure")


class Timing(Model):
    """When: exactly one of ``interval`` (seconds), ``cron`` and ``rrule``."""

    interval: Annotated[float, Field(ge=1)] | Annotated[str, Field(max_length=100)] | None = None
    anchor_date: datetime | None = None
    cron: Annotated[str, Field(max_length=1000)] | None = None
    day_or: bool = True
    rrule: Annotated[str, Field(max_length=6500)] | None = None
    timezone: Annotated[str, Field(max_length=100)] | None = None

    def given(self) -> dict[str, Any]:
        """As keywords of a schedule."""
        return {name: value for name, value in self if value is not None}


class ScheduleFields(Model):
    """What is beside the timing of a schedule."""

    active: bool | None = None
    parameters: dict[str, Any] | None = None
    slug: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    max_scheduled_runs: int | None = Field(default=None, description="Without effect: nothing is written ahead")
    replaces: None = None
    catchup: Literal["latest", "all", "none"] | None = None
    catchup_seconds: Annotated[float, Field(ge=0)] | None = None
    overlap: Literal["allow", "skip", "buffer-one", "replace-waiting", "cancel-running"] | None = None
    jitter: Annotated[float, Field(ge=0)] | None = None
    until: Moment | None = None
    max_runs: Annotated[int, Field(ge=1)] | None = None
    pause_on_failure: Annotated[int, Field(ge=1)] | None = None

    def given(self) -> dict[str, Any]:
        """As keywords of a schedule."""
        names = ("active", "parameters", "slug", *POLICIES)
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


class ScheduleCreate(ScheduleFields):
    """A schedule of a deployment."""

    schedule: Timing

    @model_validator(mode="after")
    def _check(self) -> ScheduleCreate:
        try:
            self.value()
        except TypeError as error:  # pydantic makes a 422 of ValueErrors only
            raise ValueError(str(error)) from None
        return self

    def value(self) -> Schedule:
        """The schedule that is meant."""
        return Schedule(**self.schedule.given(), **self.given())


class Schedules(RootModel[Annotated[list[ScheduleCreate], Field(min_length=1, max_length=100)]]):
    """Some schedules."""


class ScheduleUpdate(ScheduleFields):
    """What is to be changed of a schedule; the rest stays."""

    schedule: Timing | None = None


class Backfill(Model):
    """From when to when, both included."""

    start: Moment
    end: Moment
    concurrency: Annotated[int, Field(ge=1, le=10_000)] | None = Field(default=None, description="So many at once")
    newest_first: bool = False
    again: bool = Field(default=False, description="Also for ticks that had a run")


class Skip(Model):
    """Which tick."""

    tick: Moment


class PauseSchedule(Model):
    """Why."""

    reason: Annotated[str, Field(min_length=1, max_length=500)] = "paused by hand"
