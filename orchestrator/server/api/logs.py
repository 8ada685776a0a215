"""Log lines of runs: those that are kept, and new ones from other programs."""

from __future__ import annotations

import logging
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, RootModel
from starlette.exceptions import HTTPException

from orchestrator.people.roles import RUNNER, VIEWER
from orchestrator.server.api import requests, responses
from orchestrator.server.api.endpoint import Call, Endpoint
from orchestrator.server.view_models import LogEntry

TAG: Final = "Logs"
_LEVELS: Final = logging.getLevelNamesMapping()
_RunId = Annotated[str, Field(min_length=1, max_length=64)]


class LogCreate(requests.Model):
    """A line of a run's log."""

    level: Annotated[int, Field(ge=0, le=100)]
    message: Annotated[str, Field(max_length=100_000)]
    timestamp: requests.Moment
    flow_run_id: _RunId | None = None
    task_run_id: _RunId | None = None
    name: Annotated[str, Field(max_length=500)] | None = Field(default=None, description="Without effect")
    worker_id: None = None
    id: _RunId | None = Field(default=None, description="Without effect")


class LogsCreate(RootModel[Annotated[list[LogCreate], Field(max_length=1000)]]):
    """Some lines."""


class AfterLine(BaseModel):
    """From which line on."""

    model_config = ConfigDict(extra="forbid")
    after: Annotated[int, Field(ge=0, le=1_000_000, description="So many lines are left out")] = 0


def log_of(line: LogEntry, task_run_id: str | None, flow_run_id: str | None) -> responses.Log:
    """A line as the API shows it."""
    return responses.Log(
        name="orchestrator.task_runs" if task_run_id is not None else "orchestrator.flow_runs",
        timestamp=line.timestamp,
        level=_LEVELS.get(line.level.upper(), 0),
        level_name=line.level,
        message=line.message,
        task_run_id=task_run_id,
        flow_run_id=flow_run_id,
    )


def _filter_logs(call: Call) -> list[responses.Log]:
    given: requests.LogFilter = call.body.logs
    tasks = (given.task_run_id.any_ if given.task_run_id else None) or []
    flows = (given.flow_run_id.any_ if given.flow_run_id else None) or []
    if not tasks and not flows:
        raise HTTPException(422, "name the runs: `task_run_id` or `flow_run_id`")
    lines = [log_of(line, run_id, None) for run_id in tasks for line in call.queries.runs.logs(run_id)]
    lines += [log_of(line, None, run_id) for run_id in flows for line in call.queries.runs.logs(run_id)]
    wanted = sorted((line for line in lines if _matches(line, given)), key=lambda line: line.timestamp)
    if call.body.sort == "TIMESTAMP_DESC":
        wanted.reverse()
    offset = call.body.offset or 0
    return wanted[offset : offset + (call.body.limit or 200)]


def _matches(line: responses.Log, given: requests.LogFilter) -> bool:
    level, time = given.level or requests.Level(), given.timestamp or requests.TimeFilter()
    return (
        (level.ge_ is None or line.level >= level.ge_)
        and (level.le_ is None or line.level <= level.le_)
        and (time.after_ is None or line.timestamp >= time.after_)
        and (time.before_ is None or line.timestamp <= time.before_)
    )


def _create(call: Call) -> None:
    """Lines of a task run belong to it, others to the flow run; both have to be known."""
    lines: list[LogCreate] = call.body.root
    if any(line.task_run_id is None and line.flow_run_id is None for line in lines):
        raise HTTPException(422, "each line names a run: `task_run_id` or `flow_run_id`")
    call.queries.runs.add_logs(
        [
            (line.task_run_id, line.flow_run_id, logging.getLevelName(line.level), line.message, line.timestamp)
            for line in lines
        ]
    )


ENDPOINTS: Final = [
    Endpoint(
        "POST",
        "/logs/filter",
        _filter_logs,
        list[responses.Log],
        "Log lines of runs",
        TAG,
        body=requests.LogsPage,
        needs=VIEWER,
        in_part=True,
    ),
    Endpoint(
        "POST",
        "/logs/",
        _create,
        None,
        "Add lines to the logs of runs",
        TAG,
        body=LogsCreate,
        changes=True,
        missing="There is no such run",
        status=(201,),
        needs=RUNNER,
        in_part=True,
    ),
]
