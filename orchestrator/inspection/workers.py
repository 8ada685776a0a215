"""Workers: who lives, what each runs, and orders to them.

A worker is one ``orchestrator worker`` with all its child processes, one ``serve()``, or one Celery worker. What takes
calls is a process, and each has a row of its own; orders go to the whole worker, whichever of its names is given.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, Final, Literal

from brokers.redis import steering
from brokers.redis.figures import ConsumerFigures, consumer_figures
from orchestrator.errors import ConfigurationError
from orchestrator.fleet import Fleet

PING_SECONDS: Final = 3.0  # longer than between two beats: also workers that take no orders are heard
LOOK_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class WorkerView:
    """A process that takes calls."""

    name: str  # of the process, as the store knows it
    host: str
    pid: int
    queues: tuple[str, ...]
    threads: int
    running: list[str]  # runs that are known to run: those that have just begun are not yet
    beat_age_seconds: float
    memory_bytes: int | None  # resident; as of at most ten seconds ago
    paused: bool
    version: str | None
    started: datetime | None
    worker: str = ""  # the name that people gave the worker
    inbox: str | None = None  # where its orders go; None: it takes none
    engine: str = "redis"  # or celery
    held: int = 0  # calls it has claimed and not ended, those that run included
    async_concurrency: int = 0
    tasks: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain values; the moment as an ISO 8601 text."""
        return {**asdict(self), "started": self.started.isoformat() if self.started else None}


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of an order: ``seconds`` until it was obeyed, ``None`` if nothing was heard in time."""

    name: str
    seconds: float | None


def workers_of(fleet: Fleet) -> list[WorkerView]:
    """The live processes that take calls, by name.

    Raises:
        BrokerError: the server does not answer.
    """
    told = consumer_figures(fleet.broker, fleet.settings.lease_seconds)
    return sorted((_view(figures) for figures in told if figures.facts), key=lambda view: view.name)


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
        started=datetime.fromisoformat(started) if started else None,
        worker=facts.get("name", ""),
        inbox=facts.get("inbox"),
        engine=facts.get("engine", "redis"),
        held=figures.held,
        async_concurrency=_number(facts.get("async_concurrency")),
        tasks=_names(facts.get("tasks")),
    )


def _number(text: str | None) -> int:
    return int(text) if text and text.isdigit() else 0


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name for name in (text or "").split(",") if name)


def parameter_names(fleet: Fleet) -> dict[str, list[str]]:
    """Task -> names of its parameters, as the live workers tell them: for :func:`orchestrator.inspection.detail_of`."""
    known: dict[str, list[str]] = {}
    for facts in fleet.live_workers().values():
        try:
            told = json.loads(facts.get("parameters") or "{}")
        except ValueError:
            continue
        known.update({str(task): [str(name) for name in names] for task, names in told.items()})
    return known


def chosen(workers: Iterable[WorkerView], names: Sequence[str]) -> list[WorkerView]:
    """The processes of the workers that are meant; a name may be the process's, its worker's, or hold ``*`` and ``?``.

    Raises:
        ConfigurationError: a name means no live worker.
    """
    known = list(workers)
    inboxes: set[str | None] = set()
    alone: set[str] = set()
    for name in names:
        found = [
            view for view in known if any(fnmatchcase(own, name) for own in (view.name, view.worker, view.inbox or ""))
        ]
        if not found:
            told = ", ".join(sorted({view.worker or view.name for view in known})) or "none"
            raise ConfigurationError(f"no live worker {name!r}; live are: {told}")
        inboxes |= {view.inbox for view in found if view.inbox}
        alone |= {view.name for view in found}
    return [view for view in known if view.inbox in inboxes or view.name in alone]


def ping_workers(fleet: Fleet, names: Sequence[str] = ("*",), timeout_seconds: float = PING_SECONDS) -> list[Answer]:
    """Ask workers for a sign of life; how long each process's took.

    Raises:
        ConfigurationError: a name means no live worker.
        BrokerError: the server does not answer.
    """
    began = time.monotonic()
    meant = _send(fleet, "ping", names)
    return _await(fleet, meant, began, timeout_seconds, lambda view, waited: view.beat_age_seconds < waited)


def pause_workers(fleet: Fleet, names: Sequence[str], timeout_seconds: float = PING_SECONDS) -> list[Answer]:
    """Have workers take no new calls; what they have claimed is run. They forget it when they are started anew.

    Raises:
        ConfigurationError: a name means no live worker, or one of Celery's.
        BrokerError: the server does not answer.
    """
    began = time.monotonic()
    meant = _send(fleet, "pause", names)
    return _await(fleet, meant, began, timeout_seconds, lambda view, waited: view.paused)


def resume_workers(fleet: Fleet, names: Sequence[str], timeout_seconds: float = PING_SECONDS) -> list[Answer]:
    """Have paused workers take calls again. Raises as :func:`pause_workers` does."""
    began = time.monotonic()
    meant = _send(fleet, "resume", names)
    return _await(fleet, meant, began, timeout_seconds, lambda view, waited: not view.paused)


def stop_workers(fleet: Fleet, names: Sequence[str]) -> list[str]:
    """Ask workers to end as by SIGTERM: running calls are finished, the others handed back.

    Returns at once, with the names of the processes that were asked.

    Raises:
        ConfigurationError: a name means no live worker.
        BrokerError: the server does not answer.
    """
    return [view.name for view in _send(fleet, "stop", names)]


def _send(fleet: Fleet, what: Literal["ping", "pause", "resume", "stop"], names: Sequence[str]) -> list[WorkerView]:
    """Put the order into inboxes; returns the processes it concerns."""
    live = workers_of(fleet)
    if not live and list(names) == ["*"]:
        return []
    meant = chosen(live, names)
    if what in ("pause", "resume"):
        for view in meant:
            if view.engine == "celery":
                verb = "cancel_consumer" if what == "pause" else "add_consumer"
                raise ConfigurationError(
                    f"{view.worker or view.name} is a Celery worker: "
                    f"`celery -A task_workers.celery_app control {verb} QUEUE -d {view.worker}`"
                )
    steering.order(fleet.broker, what, sorted({view.inbox for view in meant if view.inbox}))
    return meant


def _await(fleet: Fleet, meant: list[WorkerView], began: float, timeout_seconds: float, obeyed: Any) -> list[Answer]:
    answers = {view.name: Answer(view.name, None) for view in meant}
    while any(answer.seconds is None for answer in answers.values()):
        waited = time.monotonic() - began
        for view in workers_of(fleet):
            answer = answers.get(view.name)
            if answer is not None and answer.seconds is None and obeyed(view, waited):
                answers[view.name] = replace(answer, seconds=round(waited, 3))
        if waited > timeout_seconds:
            break
        time.sleep(LOOK_SECONDS)
    return list(answers.values())
