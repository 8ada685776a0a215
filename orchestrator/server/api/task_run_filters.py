"""Which task runs: the index narrows them down, their records decide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from orchestrator.inspection import RunView
from orchestrator.server.api.filters import (
    FlowRunStateFilter,
    IdFilter,
    IdOrNoneFilter,
    MomentFilter,
    TagsFilter,
    is_like,
)
from orchestrator.server.api.requests import Cursor, Filter, Ids, Limit, Model, Names, Text
from orchestrator.server.view_models import RunQuery

Order = Literal[
    "ID_DESC",
    "DURATION_DESC",
    "EXPECTED_START_TIME_ASC",
    "EXPECTED_START_TIME_DESC",
    "NEXT_SCHEDULED_START_TIME_ASC",
    "END_TIME_DESC",
    "NAME_ASC",
    "NAME_DESC",
]


class TaskName(Filter):
    """One of these; ``*`` and ``?`` stand for any text."""

    any_: Names | None = None
    like_: Text | None = Field(default=None, description="In the name of the task or of the run, any case")


class AnyName(Filter):
    """One of these; ``*`` and ``?`` stand for any text."""

    any_: Names | None = None


class TaskRunFilter(Filter):
    """Which task runs; what is left out means all."""

    id: IdFilter | None = None
    name: TaskName | None = Field(default=None, description="Of the task")
    state: FlowRunStateFilter | None = None
    tags: TagsFilter | None = None
    created: MomentFilter | None = Field(default=None, description="When they were submitted")
    expected_start_time: MomentFilter | None = None
    start_time: MomentFilter | None = None
    end_time: MomentFilter | None = None
    flow_run_id: IdOrNoneFilter | None = None
    parent_task_run_id: IdOrNoneFilter | None = None
    queue: AnyName | None = None
    worker: AnyName | None = None
    text: Text | None = Field(default=None, description="In a name or the message; or a run's id, or its beginning")
    argument: Text | None = Field(
        default=None,
        description="In the arguments as they are shown. So many runs are looked at as a second allows; a page may be "
        "short though `X-Next-Cursor` is there",
    )

    def fits(self, run: RunView) -> bool:
        """Whether a run is wanted, as far as :meth:`TaskRunsQuery.query` does not say it."""
        like = self.name.like_ if self.name is not None else None
        moments = (
            (self.created, run.created),
            (self.expected_start_time, run.due or run.created),
            (self.start_time, run.started),
            (self.end_time, run.ended),
        )
        return (
            (self.id is None or self.id.fits(run.id))
            and (like is None or is_like(like, run.name) or is_like(like, run.task_name))
            and (self.state is None or self.state.fits(run.state_type, run.state_name))
            and (self.tags is None or self.tags.fits(run.tags))
            and (self.flow_run_id is None or _is_of(self.flow_run_id, run.flow_run_id))
            and (self.parent_task_run_id is None or _is_of(self.parent_task_run_id, run.parent_task_run_id))
            and all(wanted is None or wanted.fits(moment) for wanted, moment in moments)
        )

    @property
    def is_narrow(self) -> bool:
        """Whether :meth:`TaskRunsQuery.query` says all of it."""
        given = self.model_dump(exclude_none=True)
        return all(name in _NARROW and set(_keys(value)) <= _NARROW[name] for name, value in given.items())


_NARROW: Final[dict[str, set[str]]] = {
    "operator": set(),
    "id": {"any_"},
    "name": {"any_"},
    "state": {"type.any_"},
    "tags": {"all_"},
    "created": {"after_"},
    "queue": {"any_"},
    "worker": {"any_"},
    "text": set(),
    "argument": set(),
}


def _keys(given: Any, before: str = "") -> list[str]:
    """The paths of what a filter says."""
    if not isinstance(given, dict):
        return [before] if before else []
    inner = ((name, value) for name, value in given.items() if name != "operator")
    return [key for name, value in inner for key in _keys(value, f"{before}.{name}" if before else name)]


def _is_of(wanted: IdOrNoneFilter, run_id: str | None) -> bool:
    """Prefect's clients send ``is_null_: false`` where nothing is asked, beside ids or alone."""
    return (not wanted.is_null_ or run_id is None) and (wanted.any_ is None or run_id in wanted.any_)


class FlowRunIds(Filter):
    """The flow runs, in the shape of Prefect's filter."""

    id: IdFilter | None = None


class TaskRunsQuery(Model):
    """A filter of task runs."""

    task_runs: TaskRunFilter | None = None
    flow_runs: FlowRunIds | None = None
    flows: None = None
    deployments: None = None
    work_pools: None = None
    work_pool_queues: None = None
    work_queues: None = None

    def query(self) -> RunQuery:
        """As the query of ``RunQueries`` and ``RunActions``."""
        given = self.task_runs or TaskRunFilter()
        flows = [ids for ids in (_any(given.flow_run_id), _any(self.flow_runs and self.flow_runs.id)) if ids]
        parents = _any(given.parent_task_run_id)
        return RunQuery(
            states=_any(given.state and given.state.type),
            tasks=_any(given.name),
            queues=_any(given.queue),
            tags=tuple((given.tags.all_ if given.tags else None) or ()),
            workers=_any(given.worker),
            flow_run_id=next((ids[0] for ids in flows if len(ids) == 1), None),
            parent_task_run_id=parents[0] if len(parents) == 1 else None,
            since=given.created.after_ if given.created else None,
            text=given.text or "",
            argument=given.argument or "",
            ids=_any(given.id),
            fits=self._fits(given),
        )

    def _fits(self, given: TaskRunFilter) -> Callable[[RunView], bool] | None:
        """What the index does not decide; ``None``: nothing."""
        of_flows = self.flow_runs.id if self.flow_runs is not None else None
        if of_flows is None:
            return None if given.is_narrow else given.fits
        return lambda run: given.fits(run) and of_flows.fits(run.flow_run_id)


def _any(given: Any) -> tuple[str, ...]:
    return tuple((given.any_ if given else None) or ())


PageCursor = Annotated[
    str, Field(pattern=r"^[0-9]{1,19}([.][0-9]{1,19}){0,2}$", description="`X-Next-Cursor` of the page before")
]


class TaskRunsPage(TaskRunsQuery):
    """Which task runs, and which page of them."""

    sort: Order | None = Field(
        default=None,
        description="The newest first (as `null`), or those whose last attempt took longest; others: of the newest "
        "2,000",
    )
    limit: Limit | None = Field(default=None, description="50 unless given")
    offset: Annotated[int, Field(ge=0, le=10_000, description="So many are left out")] = 0
    before: PageCursor | None = None

    def query(self) -> RunQuery:
        """The query, in that order."""
        return replace(super().query(), sort="duration" if self.sort == "DURATION_DESC" else "")


class TaskRunsPaginate(TaskRunsQuery):
    """Which page, from 1 on."""

    sort: Order | None = None
    limit: Limit | None = Field(default=None, description="50 unless given")
    page: Annotated[int, Field(ge=1, le=200)] = 1


class Bulk(TaskRunsQuery):
    """Task runs to do something with: ``ids``, or a filter. An empty filter means all; so ``all`` has to be given."""

    ids: Ids | None = None
    all: bool = Field(default=False, description="Needed where neither ids nor a filter is given")
    as_of: Cursor | None = Field(default=None, description="`X-As-Of` of a page: runs that came later are left alone")
