"""What goes into the JSON API. Names and shapes follow Prefect 3's where it has the same thing."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from orchestrator.server.answers import RunQuery

StateType = Literal[
    "SCHEDULED", "PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED", "CRASHED", "PAUSED", "CANCELLING"
]
Names = Annotated[list[str], Field(max_length=200)]
Ids = Annotated[list[str], Field(max_length=1000)]
One = Annotated[list[str], Field(min_length=1, max_length=1, description="One id")]
Limit = Annotated[int, Field(ge=1, le=200)]
Moment = Annotated[AwareDatetime, Field(description="With a time zone")]
Text = Annotated[str, Field(max_length=500)]


class Model(BaseModel):
    """Takes what its schema says and nothing else."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class AnyName(Model):
    """One of these; ``*`` and ``?`` stand for any text."""

    any_: Names | None = None


class AnyId(Model):
    """One of these."""

    any_: Ids | None = None


class OneId(Model):
    """This one."""

    any_: One | None = None


class AllTags(Model):
    """All of these."""

    all_: Names | None = None


class AnyType(Model):
    """One of these types."""

    any_: Annotated[list[StateType], Field(max_length=20)] | None = None


class StateFilter(Model):
    """By type or name; both: either."""

    type: AnyType | None = None
    name: AnyName | None = None

    def words(self) -> tuple[str, ...]:
        """Types and names."""
        types = self.type.any_ if self.type else None
        names = self.name.any_ if self.name else None
        return (*(types or ()), *(names or ()))


class TimeFilter(Model):
    """Between two moments."""

    after_: Moment | None = None
    before_: Moment | None = None


class TaskRunFilter(Model):
    """Which task runs; what is left out means all."""

    id: AnyId | None = None
    name: AnyName | None = Field(default=None, description="Of the task")
    state: StateFilter | None = None
    tags: AllTags | None = None
    created: TimeFilter | None = Field(default=None, description="When they were submitted")
    flow_run_id: OneId | None = None
    parent_task_run_id: OneId | None = None
    queue: AnyName | None = None
    worker: AnyName | None = None
    text: Text | None = Field(
        default=None, description="In the task's name or the message; or a run's id, or its beginning"
    )


class FlowRunIds(Model):
    """Prefect's way to say of which flow run."""

    id: OneId | None = None


class TaskRunsQuery(Model):
    """Which task runs are meant."""

    task_runs: TaskRunFilter | None = None
    flow_runs: FlowRunIds | None = None

    def query(self) -> RunQuery:
        """The same for :class:`orchestrator.server.queries.Queries`."""
        told = self.task_runs or TaskRunFilter()
        created = told.created or TimeFilter()
        of_flow = self.flow_runs.id if self.flow_runs else None
        return RunQuery(
            states=told.state.words() if told.state else (),
            tasks=_any(told.name),
            queues=_any(told.queue),
            tags=tuple((told.tags.all_ if told.tags else None) or ()),
            workers=_any(told.worker),
            flow_run_id=next(iter(_any(told.flow_run_id) or _any(of_flow)), None),
            parent_task_run_id=next(iter(_any(told.parent_task_run_id)), None),
            since=created.after_,
            until=created.before_,
            text=told.text or "",
            ids=_any(told.id),
        )


def _any(given: AnyName | AnyId | OneId | None) -> tuple[str, ...]:
    return tuple((given.any_ if given else None) or ())


Cursor = Annotated[str, Field(pattern=r"^[0-9]{1,19}$", description="`X-Next-Cursor` of the page before")]


class TaskRunsPage(TaskRunsQuery):
    """Which task runs, and which page of them."""

    sort: Literal["ID_DESC"] = Field(default="ID_DESC", description="The newest first")
    limit: Limit = 50
    before: Cursor | None = None


class Bulk(TaskRunsQuery):
    """Task runs to do something with: ``ids``, or a filter. An empty filter means all; so ``all`` has to be said."""

    ids: Ids | None = None
    all: bool = Field(default=False, description="Needed where neither ids nor a filter is given")
    as_of: Cursor | None = Field(default=None, description="`X-As-Of` of a page: runs that came later are left alone")


class WantedState(Model):
    """The state that is asked for."""

    type: StateType
    name: str | None = None
    message: str | None = None


class SetState(Model):
    """``CANCELLED`` (or ``CANCELLING``) cancels, ``SCHEDULED`` (or ``PENDING``) queues an ended run again."""

    state: WantedState
    force: bool = Field(default=False, description="Without effect; Prefect's clients send it")


class FlowNames(Model):
    """Flows by name."""

    name: AnyName | None = None


class FlowRunFilter(Model):
    """Which flow runs; what is left out means all."""

    id: AnyId | None = None
    state: StateFilter | None = None
    parent_flow_run_id: OneId | None = None


class FlowRunsPage(Model):
    """Which flow runs, and which page of them."""

    flow_runs: FlowRunFilter | None = None
    flows: FlowNames | None = None
    sort: Literal["ID_DESC"] = Field(default="ID_DESC", description="The newest first")
    limit: Limit = 50
    before: Annotated[str, Field(pattern=r"^[0-9]{1,17}\.[0-9]{1,17}$")] | None = None

    def arguments(self) -> dict[str, Any]:
        """The same for ``Queries.flow_runs``."""
        told = self.flow_runs or FlowRunFilter()
        return {
            "states": told.state.words() if told.state else (),
            "flows": _any(self.flows.name if self.flows else None),
            "ids": _any(told.id),
            "parent_flow_run_id": next(iter(_any(told.parent_flow_run_id)), None),
        }


class Level(Model):
    """Python's numbers: 20 is INFO."""

    ge_: int | None = None
    le_: int | None = None


class LogFilter(Model):
    """Log lines of which runs, and which lines."""

    task_run_id: AnyId | None = None
    flow_run_id: AnyId | None = None
    level: Level | None = None
    timestamp: TimeFilter | None = None


class LogsPage(Model):
    """Log lines; at least one run has to be named."""

    logs: LogFilter
    sort: Literal["TIMESTAMP_ASC", "TIMESTAMP_DESC"] = "TIMESTAMP_ASC"
    limit: Annotated[int, Field(ge=1, le=1000)] = 200
    offset: Annotated[int, Field(ge=0, le=1_000_000)] = 0


class SomeIds(Model):
    """These; without ``ids``: all."""

    ids: Ids | None = None
