"""Live workers: what each runs, and commands to them.

A worker is one ``orchestrator worker`` with all its child processes, one ``serve()``, or one Celery worker. Each of its
processes has a row of its own; a command goes to the whole worker, whichever of its names is given.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, Final, Literal

from brokers.records import ConsumerFigures
from orchestrator.client.fleet import Fleet
from orchestrator.errors import ConfigurationError

PING_SECONDS: Final = 3.0  # longer than a heartbeat, so that workers without an inbox respond too
POLL_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class WorkerView:
    """A process that runs calls."""

    name: str  # of the process, as the store knows it
    host: str
    pid: int
    queues: tuple[str, ...]
    threads: int
    running: list[str]  # as of the last heartbeat: runs that have just begun are missing
    beat_age_seconds: float
    memory_bytes: int | None  # resident; as of at most ten seconds ago
    paused: bool
    version: str | None
    started: datetime | None
    worker: str = ""  # the worker's own name
    inbox: str | None = None  # receives its commands; None: it takes none
    engine: str = "redis"  # or celery
    held: int = 0  # claimed calls that have not ended, running ones included
    async_concurrency: int = 0
    tasks: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain values; the time as an ISO 8601 string."""
        return {**asdict(self), "started": self.started.isoformat() if self.started else None}


@dataclass(frozen=True, slots=True)
class Reply:
    """The reply to a command: ``seconds`` until it took effect, ``None`` if there was none in time."""

    name: str
    seconds: float | None


def workers_of(fleet: Fleet) -> list[WorkerView]:
    """The live worker processes, by name.

    Raises:
        BrokerError: the server does not respond.
    """
    rows = fleet.broker.figures.consumers(fleet.settings.lease_seconds)
    return sorted((_view(figures) for figures in rows if figures.facts), key=lambda view: view.name)


def _view(figures: ConsumerFigures) -> WorkerView:
    facts = figures.facts
    memory, started = facts.get("memory_bytes", ""), facts.get("started")
    return WorkerView(
        name=figures.name,
        host=facts.get("host", ""),
        pid=_number(facts.get("pid")),
        queues=_names(facts.get("queues")),
        threads=_number(facts.get("threads")),
        running=figures.running,
        beat_age_seconds=figures.beat_age_seconds,
        memory_bytes=_number(memory) or None,
        paused=facts.get("paused") == "true",
        version=facts.get("version"),
        started=_moment(started),
        worker=facts.get("name", ""),
        inbox=facts.get("inbox"),
        engine=facts.get("engine", "redis"),
        held=figures.held,
        async_concurrency=_number(facts.get("async_concurrency")),
        tasks=_names(facts.get("tasks")),
    )


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() and len(text) < 19 else 0


def _moment(text: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        return None


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name for name in (text or "").split(",") if name)


def parameter_names(fleet: Fleet) -> dict[str, list[str]]:
    """Task -> names of its parameters, as live workers report them: for :func:`orchestrator.inspection.detail_of`."""
    known: dict[str, list[str]] = {}
    for facts in fleet.live_workers().values():
        try:
            reported = json.loads(facts.get("parameters") or "{}")
        except ValueError:
            continue
        if isinstance(reported, dict):
            lists = {task: names for task, names in reported.items() if isinstance(names, list)}
            known.update({task: [str(name) for name in names] for task, names in lists.items()})
    return known


def select_workers(workers: Iterable[WorkerView], names: Sequence[str]) -> list[WorkerView]:
    """The processes of the named workers; a name may be the process's, its worker's, or a pattern with ``*`` and ``?``.

    Raises:
        ConfigurationError: a name matches no live worker.
    """
    known = list(workers)
    inboxes: set[str | None] = set()
    without_inbox: set[str] = set()
    for name in names:
        found = [
            view for view in known if any(fnmatchcase(own, name) for own in (view.name, view.worker, view.inbox or ""))
        ]
        if not found:
            names_of_live = ", ".join(sorted({view.worker or view.name for view in known})) or "none"
            raise ConfigurationError(f"no live worker {name!r}; live are: {names_of_live}")
        inboxes |= {view.inbox for view in found if view.inbox}
        without_inbox |= {view.name for view in found}
    return [view for view in known if view.inbox in inboxes or view.name in without_inbox]


def ping_workers(fleet: Fleet, names: Sequence[str] = ("*",), timeout_seconds: float = PING_SECONDS) -> list[Reply]:
    """Ping workers; returns the response time of each process.

    Raises:
        ConfigurationError: a name matches no live worker.
        BrokerError: the server does not respond.
    """
    began = time.monotonic()
    selected = _send(fleet, "ping", names)
    return _await_replies(fleet, selected, began, timeout_seconds, lambda view, waited: view.beat_age_seconds < waited)


def pause_workers(fleet: Fleet, names: Sequence[str], timeout_seconds: float = PING_SECONDS) -> list[Reply]:
    """Have workers claim no new calls; claimed ones still run. A restart resumes the worker.

    Raises:
        ConfigurationError: a name matches no live worker, or one of Celery's.
        BrokerError: the server does not respond.
    """
    began = time.monotonic()
    selected = _send(fleet, "pause", names)
    return _await_replies(fleet, selected, began, timeout_seconds, lambda view, waited: view.paused)


def resume_workers(fleet: Fleet, names: Sequence[str], timeout_seconds: float = PING_SECONDS) -> list[Reply]:
    """Have paused workers claim calls again. Raises as :func:`pause_workers` does."""
    began = time.monotonic()
    selected = _send(fleet, "resume", names)
    return _await_replies(fleet, selected, began, timeout_seconds, lambda view, waited: not view.paused)


def stop_workers(fleet: Fleet, names: Sequence[str]) -> list[str]:
    """Ask workers to stop as on SIGTERM: running calls finish, the others are handed back.

    Returns at once the names of the processes concerned.

    Raises:
        ConfigurationError: a name matches no live worker.
        BrokerError: the server does not respond.
    """
    return [view.name for view in _send(fleet, "stop", names)]


def _send(fleet: Fleet, what: Literal["ping", "pause", "resume", "stop"], names: Sequence[str]) -> list[WorkerView]:
    """Put the command into inboxes; returns the processes it concerns."""
    live = workers_of(fleet)
    if not live and list(names) == ["*"]:
        return []
    selected = select_workers(live, names)
    if what in ("pause", "resume"):
        for view in selected:
            if view.engine == "celery":
                verb = "cancel_consumer" if what == "pause" else "add_consumer"
                raise ConfigurationError(
                    f"{view.worker or view.name} is a Celery worker: "
                    f"`celery -A task_workers.celery control {verb} QUEUE -d {view.worker}`"
                )
    fleet.broker.inboxes.send_order(what, sorted({view.inbox for view in selected if view.inbox}))
    return selected


def _await_replies(
    fleet: Fleet, selected: list[WorkerView], began: float, timeout_seconds: float, took_effect: Any
) -> list[Reply]:
    replies = {view.name: Reply(view.name, None) for view in selected}
    while any(reply.seconds is None for reply in replies.values()):
        waited = time.monotonic() - began
        for view in workers_of(fleet):
            reply = replies.get(view.name)
            if reply is not None and reply.seconds is None and took_effect(view, waited):
                replies[view.name] = replace(reply, seconds=round(waited, 3))
        if waited > timeout_seconds:
            break
        time.sleep(POLL_SECONDS)
    return list(replies.values())
