"""The Celery application that serves our calls, and what makes any other application serve them too."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import Any, Final

from celery import Celery, signals

from brokers.celery.topology import Topology, is_amqp, kombu_url
from orchestrator.contrib.celery import report_ends
from orchestrator.settings import Settings, current
from task_workers.celery import message_task as calls
from task_workers.celery import process
from task_workers.celery.command import APP_VARIABLE, LOGS_VARIABLE, QUEUES_VARIABLE
from task_workers.celery.worker_step import FleetStep

LOST_WAIT_SECONDS: Final = 1.0  # Celery keeps a dead child's message for ten seconds by default


def install(app: Any, queues: Sequence[str] | None = None) -> None:
    """Have the workers of a Celery application serve our calls too.

    Its own tasks, queues and settings stay as they are; started with ``-Q`` a worker reads only what that names.

    Args:
        app: the application.
        queues: ours to be read; unset: those of ``ORCHESTRATOR_WORKER_QUEUES``, else ``ORCHESTRATOR_DEFAULT_QUEUE``.

    ``ORCHESTRATOR_BROKER_URL`` must be ``celery+`` and the URL of the application's broker; ``ORCHESTRATOR_REDIS_URL``
    says where calls and results are kept.
    """
    app.steps["worker"].add(FleetStep)
    report_ends()

    def prepare(instance: Any = None, **_: Any) -> None:
        if instance is None or instance.app is app or instance.app.main == app.main:
            _prepare(app, queues)

    signals.worker_init.connect(prepare, weak=False, dispatch_uid=f"orchestrator-{id(app)}")
    signals.task_unknown.connect(calls.on_unknown_task, weak=False, dispatch_uid="orchestrator-unknown")
    signals.task_revoked.connect(calls.on_revoked, weak=False, dispatch_uid="orchestrator-revoked")
    signals.worker_process_init.connect(_begin_process, weak=False, dispatch_uid="orchestrator-begin")
    signals.worker_process_shutdown.connect(_end_process, weak=False, dispatch_uid="orchestrator-end")


def _begin_process(**_: Any) -> None:
    process.begin_child()


def _end_process(**_: Any) -> None:
    process.end()


def _prepare(app: Any, queues: Sequence[str] | None) -> None:
    """At a worker's start, when the application is configured: our queues and tasks."""
    from task_workers.app import import_app

    settings = current()
    for name in filter(None, os.environ.get(APP_VARIABLE, "").split(",")):
        import_app(name)
    app.loader.import_default_modules()  # what -I names, and the application's own
    calls.add_tasks(app)
    if settings.broker_url is None:
        return  # the step says what is missing
    known = app.amqp.queues
    for queue in _queues(settings, queues):
        if queue.name not in known:
            known.select_add(queue)  # should -Q be given, it selects afterwards, and knows this one then


def _queues(settings: Settings, queues: Sequence[str] | None = None) -> list[Any]:
    """What is read unless -Q says otherwise: three queues on the broker for each of ours."""
    chosen = tuple(queues or _queues_from_environment() or (settings.default_queue,))
    return Topology(settings.namespace, amqp=is_amqp(settings.broker_url or "")).queues(chosen)


def _queues_from_environment() -> list[str]:
    return [name.strip() for name in os.environ.get(QUEUES_VARIABLE, "").split(",") if name.strip()]


def _settings_of_ours() -> dict[str, Any]:
    """Read when the application is used for the first time."""
    settings = current()
    return {
        "broker_url": kombu_url(settings.broker_url) if settings.broker_url else None,
        "result_backend": settings.celery_result_backend,
        "accept_content": ["json"],
        "task_serializer": "json",
        "result_serializer": "json",
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_queues": _queues(settings) if settings.broker_url else [],
        "task_default_queue": f"{settings.namespace}.{settings.default_queue}",
        "worker_consumer": "task_workers.celery.consumer:Consumer",
        "broker_transport_options": _transport_options(settings.broker_url or ""),
        "worker_prefetch_multiplier": 1,
        "worker_lost_wait": LOST_WAIT_SECONDS,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_enable_prefetch_count_reduction": False,  # a message that comes again is passed over, not run again
        "worker_redirect_stdouts": False,
        "broker_connection_retry_on_startup": True,
    }


def _transport_options(url: str) -> dict[str, Any]:
    if kombu_url(url).startswith(("redis", "rediss", "sentinel", "valkey")):
        return {"queue_order_strategy": "task_workers.celery.consumer:BestFirst"}
    return {}


def _write_lines(loglevel: int | None = None, **_: Any) -> None:
    """Lines as on engine 1, where ``orchestrator worker`` started this. Celery sets up none when someone else does."""
    from task_workers import logs

    name = logging.getLevelName(loglevel or logging.INFO).lower()
    logs.set_up(name, os.environ[LOGS_VARIABLE], "worker")


app = Celery("orchestrator", set_as_current=False)  # who imports this for install() has a current application already
app.add_defaults(_settings_of_ours)
app.ends_in_time = True  # our own application's workers end after ORCHESTRATOR_SHUTDOWN_TIMEOUT_SECONDS
install(app)


@signals.celeryd_init.connect(weak=False)  # type: ignore[untyped-decorator]
def _choose_lines(**_: Any) -> None:
    if os.environ.get(LOGS_VARIABLE):
        signals.setup_logging.connect(_write_lines, weak=False, dispatch_uid="orchestrator-lines")
