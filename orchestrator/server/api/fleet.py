"""The fleet: overview, queues, workers, dead letters, scheduled calls, health, settings."""

from __future__ import annotations

import platform
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from orchestrator.inspection import QueueView, WorkerView
from orchestrator.server import answers as a
from orchestrator.server.api import asked, told
from orchestrator.server.api.endpoint import Call, Endpoint
from orchestrator.settings import describe

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


def _overview(call: Call) -> told.Overview:
    queues, workers = call.queries.queues(), call.queries.workers()
    return told.Overview(
        task_runs=call.queries.state_counts(),
        queues=len(queues),
        waiting=sum(queue.waiting for queue in queues),
        workers=len(workers),
        running=sum(len(worker.running) for worker in workers),
        dead=call.queries.dead().total,
        scheduled=call.queries.scheduled(limit=1).total,
    )


def _scheduled(call: Call) -> list[told.TaskRun]:
    page = call.queries.scheduled(call.query.before, call.query.limit)
    call.headers["X-Total-Count"] = str(page.total)
    if page.cursor is not None:
        call.headers["X-Next-Cursor"] = page.cursor
    return [told.task_run_of(run) for run in page.runs]


def _purge_queue(call: Call) -> told.QueueDone:
    return told.QueueDone(name=call.path["name"], purged=call.queries.purge_queue(call.path["name"]))


def _pause_queue(call: Call) -> told.QueueDone:
    call.queries.pause_queue(call.path["name"])
    return told.QueueDone(name=call.path["name"])


def _resume_queue(call: Call) -> told.QueueDone:
    call.queries.resume_queue(call.path["name"])
    return told.QueueDone(name=call.path["name"])


def _order(call: Call, order: Any) -> told.WorkersDone:
    """The name may hold ``*`` and ``?``, as those of the command line."""
    from orchestrator.errors import ConfigurationError

    try:
        order([call.path["name"]])
    except ConfigurationError as error:
        if "no live worker" in str(error):
            raise HTTPException(404, str(error)) from None
        raise
    return told.WorkersDone(name=call.path["name"])


def _replay(call: Call) -> told.DoneAnswer:
    done = call.queries.replay_dead(call.body.ids)
    return told.DoneAnswer(asked=done.asked, done=done.done)


def _purge_dead(call: Call) -> told.DoneAnswer:
    done = call.queries.purge_dead(call.body.ids)
    return told.DoneAnswer(asked=done.asked, done=done.done)


def _version(call: Call) -> told.ServerVersion:
    from orchestrator import __version__

    return told.ServerVersion(version=__version__, python=platform.python_version(), read_only=call.queries.read_only)


def _settings(call: Call) -> list[told.Setting]:
    values = dict(call.queries.fleet.settings.__repr_args__())
    return [
        told.Setting(name=row.name, variable=row.variable, value=_shown(values.get(row.name)), meaning=row.meaning)
        for row in describe()
    ]


def _shown(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _dead(call: Call) -> a.Dead:
    return call.queries.dead()


FLEET, QUEUES, WORKERS, DEAD = "Fleet", "Queues", "Workers", "Dead letters"
_QUEUE: Final[dict[str, Any]] = {"changes": True, "conflict": "Celery carries the calls: ask its workers"}
_WORKER: Final[dict[str, Any]] = {**_QUEUE, "missing": NO_WORKER}
_CHANGE: Final[dict[str, Any]] = {"body": asked.SomeIds, "changes": True}
ENDPOINTS: Final = [
    Endpoint("GET", "/overview", _overview, told.Overview, "The figures of the start page", FLEET),
    Endpoint(
        "GET",
        "/chart",
        lambda call: call.queries.chart(call.query.minutes, call.query.step_seconds),
        list[a.Bucket],
        "What happened lately, oldest first",
        FLEET,
        query=ChartQuery,
    ),
    Endpoint("GET", "/tasks", lambda call: call.queries.tasks(), list[a.TaskFacts], "The tasks, by name", FLEET),
    Endpoint("GET", "/names", lambda call: call.queries.names(), dict[str, list[str]], "What filters can say", FLEET),
    Endpoint(
        "GET",
        "/scheduled",
        _scheduled,
        list[told.TaskRun],
        "Calls that wait for a moment, the next one first",
        FLEET,
        query=ScheduledQuery,
        pages=True,
    ),
    Endpoint("GET", "/health", lambda call: call.queries.health(), a.Health, "The server underneath", FLEET),
    Endpoint("GET", "/version", _version, told.ServerVersion, "Which server this is", FLEET),
    Endpoint("GET", "/settings", _settings, list[told.Setting], "The settings, without secrets", FLEET),
    Endpoint("GET", "/ready", lambda call: told.Ready(ready=True), told.Ready, "For probes", FLEET, everybody=True),
    Endpoint("GET", "/queues", lambda call: call.queries.queues(), list[QueueView], "The queues, by name", QUEUES),
    Endpoint(
        "POST", "/queues/{name}/pause", _pause_queue, told.QueueDone, "Begin no more of its calls", QUEUES, **_QUEUE
    ),
    Endpoint("POST", "/queues/{name}/resume", _resume_queue, told.QueueDone, "Begin them again", QUEUES, **_QUEUE),
    Endpoint(
        "POST", "/queues/{name}/purge", _purge_queue, told.QueueDone, "Cancel what waits in it", QUEUES, changes=True
    ),
    Endpoint("GET", "/workers", lambda call: call.queries.workers(), list[WorkerView], "The live workers", WORKERS),
    Endpoint(
        "POST",
        "/workers/{name}/pause",
        lambda call: _order(call, call.queries.pause_workers),
        told.WorkersDone,
        "It begins no further call",
        WORKERS,
        **_WORKER,
    ),
    Endpoint(
        "POST",
        "/workers/{name}/resume",
        lambda call: _order(call, call.queries.resume_workers),
        told.WorkersDone,
        "It begins calls again",
        WORKERS,
        **_WORKER,
    ),
    Endpoint(
        "POST",
        "/workers/{name}/stop",
        lambda call: _order(call, call.queries.stop_workers),
        told.WorkersDone,
        "It finishes what runs, and leaves",
        WORKERS,
        **_WORKER,
    ),
    Endpoint("GET", "/dead", _dead, a.Dead, "Dead letters, by task and error", DEAD),
    Endpoint("POST", "/dead/replay", _replay, told.DoneAnswer, "Queue dead letters again", DEAD, **_CHANGE),
    Endpoint("POST", "/dead/purge", _purge_dead, told.DoneAnswer, "Delete dead letters", DEAD, **_CHANGE),
]
