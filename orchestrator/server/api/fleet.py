"""The fleet: overview, queues, workers, dead letters, scheduled calls, health, settings."""

from __future__ import annotations

import platform
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from orchestrator.inspection import QueueView, WorkerView
from orchestrator.people.roles import EDITOR, RUNNER, VIEWER
from orchestrator.server import view_models as a
from orchestrator.server.api import fleet_responses as f
from orchestrator.server.api import requests, responses
from orchestrator.server.api.endpoint import Call, Endpoint
from orchestrator.settings import describe

API_VERSION: Final = "3.9.1"
NO_WORKER: Final = "No live worker has that name"


class ChartQuery(BaseModel):
    """How much of the past, and how finely."""

    model_config = ConfigDict(extra="forbid")
    minutes: Annotated[int, Field(ge=1, le=1440)] = 60
    step_seconds: Annotated[int, Field(ge=10, le=3600)] = 60


class ScheduledQuery(BaseModel):
    """Which page."""

    model_config = ConfigDict(extra="forbid")
    before: Annotated[str, Field(pattern=r"^[0-9]{1,9}$", description="`X-Next-Cursor` of the page before")] | None = (
        None
    )
    limit: Annotated[int, Field(ge=1, le=200)] = 50


def _overview(call: Call) -> f.Overview:
    queues, workers = call.queries.queues.all(), call.queries.workers.all()
    return f.Overview(
        task_runs=call.queries.index.state_counts(),
        queues=len(queues),
        waiting=sum(queue.waiting for queue in queues),
        workers=len(workers),
        running=sum(len(worker.running) for worker in workers),
        dead=call.queries.dead_letters.groups().total,
        scheduled=call.queries.fleet.scheduled(limit=1).total,
    )


def _scheduled(call: Call) -> list[responses.TaskRun]:
    page = call.queries.fleet.scheduled(call.query.before, call.query.limit)
    call.headers["X-Total-Count"] = str(page.total)
    if page.cursor is not None:
        call.headers["X-Next-Cursor"] = page.cursor
    return [responses.task_run_of(run) for run in page.runs]


def _purge_queue(call: Call) -> f.QueueDone:
    return f.QueueDone(name=call.path["name"], purged=call.queries.queues.purge(call.path["name"]))


def _pause_queue(call: Call) -> f.QueueDone:
    call.queries.queues.pause(call.path["name"])
    return f.QueueDone(name=call.path["name"])


def _resume_queue(call: Call) -> f.QueueDone:
    call.queries.queues.resume(call.path["name"])
    return f.QueueDone(name=call.path["name"])


def _command(call: Call, command: Any) -> f.WorkersDone:
    """The name may hold ``*`` and ``?``, as those of the command line."""
    from orchestrator.errors import ConfigurationError

    try:
        command([call.path["name"]])
    except ConfigurationError as error:
        if "no live worker" in str(error):
            raise HTTPException(404, str(error)) from None
        raise
    return f.WorkersDone(name=call.path["name"])


def _replay(call: Call) -> responses.DoneAnswer:
    done = call.queries.dead_letters.replay(call.body.ids)
    return responses.DoneAnswer(asked=done.requested, done=done.done)


def _purge_dead(call: Call) -> responses.DoneAnswer:
    done = call.queries.dead_letters.purge(call.body.ids)
    return responses.DoneAnswer(asked=done.requested, done=done.done)


def _version(call: Call) -> f.ServerVersion:
    from brokers.version import __version__

    return f.ServerVersion(
        version=__version__, python=platform.python_version(), read_only=call.queries.context.read_only
    )


def _settings(call: Call) -> list[f.Setting]:
    values = dict(call.queries.context.fleet.settings.__repr_args__())
    return [
        f.Setting(name=row.name, variable=row.variable, value=_shown(values.get(row.name)), meaning=row.meaning)
        for row in describe()
    ]


def _shown(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _dead(call: Call) -> a.Dead:
    return call.queries.dead_letters.groups()


FLEET, QUEUES, WORKERS, DEAD = "Fleet", "Queues", "Workers", "Dead letters"
_QUEUE: Final[dict[str, Any]] = {"changes": True, "conflict": "Celery carries the calls: ask its workers"}
_WORKER: Final[dict[str, Any]] = {**_QUEUE, "missing": NO_WORKER}
_CHANGE: Final[dict[str, Any]] = {"body": requests.SomeIds, "changes": True}
ENDPOINTS: Final = [
    Endpoint("GET", "/overview", _overview, f.Overview, "The figures of the start page", FLEET, needs=VIEWER),
    Endpoint(
        "GET",
        "/chart",
        lambda call: call.queries.index.chart(call.query.minutes, call.query.step_seconds),
        list[a.Bucket],
        "What happened lately, oldest first",
        FLEET,
        query=ChartQuery,
        needs=VIEWER,
    ),
    Endpoint(
        "GET",
        "/tasks",
        lambda call: call.queries.index.tasks(),
        list[a.TaskFacts],
        "The tasks, by name",
        FLEET,
        needs=VIEWER,
    ),
    Endpoint(
        "GET",
        "/names",
        lambda call: call.queries.index.names(),
        dict[str, list[str]],
        "Values for filters",
        FLEET,
        needs=VIEWER,
    ),
    Endpoint(
        "GET",
        "/scheduled",
        _scheduled,
        list[responses.TaskRun],
        "Calls that wait for a moment, the next one first",
        FLEET,
        query=ScheduledQuery,
        pages=True,
        needs=VIEWER,
    ),
    Endpoint(
        "GET",
        "/health",
        lambda call: call.queries.fleet.health(),
        a.Health,
        "The server underneath",
        FLEET,
        needs=VIEWER,
    ),
    Endpoint("GET", "/version", _version, f.ServerVersion, "Which server this is", FLEET, in_part=True, needs=VIEWER),
    Endpoint("GET", "/settings", _settings, list[f.Setting], "The settings, without secrets", FLEET, needs=VIEWER),
    Endpoint(
        "GET",
        "/ready",
        lambda call: f.Ready(ready=True),
        f.Ready,
        "For probes",
        FLEET,
        everybody=True,
        in_part=True,
        needs=VIEWER,
    ),
    Endpoint(
        "GET", "/hello", lambda call: "👋", str, "A greeting, as Prefect answers", FLEET, in_part=True, needs=VIEWER
    ),
    Endpoint(
        "GET",
        "/admin/version",
        lambda call: API_VERSION,
        str,
        "The version of Prefect's API that this one follows: its clients compare it with their own",
        FLEET,
        in_part=True,
        needs=VIEWER,
    ),
    Endpoint(
        "GET",
        "/queues",
        lambda call: call.queries.queues.all(),
        list[QueueView],
        "The queues, by name",
        QUEUES,
        needs=VIEWER,
    ),
    Endpoint(
        "POST",
        "/queues/{name}/pause",
        _pause_queue,
        f.QueueDone,
        "Begin no more of its calls",
        QUEUES,
        **_QUEUE,
        needs=EDITOR,
    ),
    Endpoint(
        "POST", "/queues/{name}/resume", _resume_queue, f.QueueDone, "Begin them again", QUEUES, **_QUEUE, needs=EDITOR
    ),
    Endpoint(
        "POST",
        "/queues/{name}/purge",
        _purge_queue,
        f.QueueDone,
        "Cancel what waits in it",
        QUEUES,
        changes=True,
        needs=EDITOR,
    ),
    Endpoint(
        "GET",
        "/workers",
        lambda call: call.queries.workers.all(),
        list[WorkerView],
        "The live workers",
        WORKERS,
        needs=VIEWER,
    ),
    Endpoint(
        "POST",
        "/workers/{name}/pause",
        lambda call: _command(call, call.queries.workers.pause),
        f.WorkersDone,
        "It begins no further call",
        WORKERS,
        **_WORKER,
        needs=EDITOR,
    ),
    Endpoint(
        "POST",
        "/workers/{name}/resume",
        lambda call: _command(call, call.queries.workers.resume),
        f.WorkersDone,
        "It begins calls again",
        WORKERS,
        **_WORKER,
        needs=EDITOR,
    ),
    Endpoint(
        "POST",
        "/workers/{name}/stop",
        lambda call: _command(call, call.queries.workers.stop),
        f.WorkersDone,
        "It finishes what runs, and leaves",
        WORKERS,
        **_WORKER,
        needs=EDITOR,
    ),
    Endpoint("GET", "/dead", _dead, a.Dead, "Dead letters, by task and error", DEAD, needs=VIEWER),
    Endpoint(
        "POST", "/dead/replay", _replay, responses.DoneAnswer, "Queue dead letters again", DEAD, **_CHANGE, needs=RUNNER
    ),
    Endpoint(
        "POST", "/dead/purge", _purge_dead, responses.DoneAnswer, "Delete dead letters", DEAD, **_CHANGE, needs=EDITOR
    ),
]
