"""``orchestrator worker`` on this engine: our flags in Celery's words."""

from __future__ import annotations

import os
import sys
from typing import Final

from orchestrator.errors import ConfigurationError
from orchestrator.neighbours import python_arguments
from orchestrator.settings import current, shown
from task_workers.options import WorkerOptions

APP_VARIABLE: Final = "ORCHESTRATOR_WORKER_APP"
QUEUES_VARIABLE: Final = "ORCHESTRATOR_WORKER_QUEUES"
BURST_VARIABLE: Final = "ORCHESTRATOR_WORKER_BURST"
LOGS_VARIABLE: Final = "ORCHESTRATOR_WORKER_LOGS"  # set here only: lines as on engine 1, not as Celery writes them


def become_celery_worker(options: WorkerOptions) -> None:
    """Replace this process by ``celery worker``; it keeps its number, its terminal and its signals. Does not return.

    Raises:
        ConfigurationError: an option that this engine does not have, or a broker that Celery does not know.
    """
    arguments, environment = celery_worker(options)
    check_broker(str(current().broker_url))
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, *arguments], {**os.environ, **environment})


def check_broker(url: str) -> None:
    """Raise ConfigurationError for a URL that Celery cannot use at all: a scheme or port that is none, a library that
    is not installed. Nothing is asked; a broker that is away is waited for.

    >>> check_broker("celery+redis://127.0.0.1:6379/0")
    """
    from kombu import Connection

    try:
        Connection(url.removeprefix("celery+")).get_transport_cls()
    except (KeyError, ValueError, ImportError) as error:
        reason = str(error.args[0]) if error.args else type(error).__name__
        raise ConfigurationError(
            f"Celery cannot use ORCHESTRATOR_BROKER_URL={shown('broker_url', url)}: {reason}"
        ) from None


def celery_worker(options: WorkerOptions) -> tuple[list[str], dict[str, str]]:
    """The arguments for Python, and what the environment must say.

    >>> celery_worker(WorkerOptions(("shop.tasks",), processes=2, name="oven"))[0][4:]
    ['worker', '-P', 'prefork', '-c', '2', '-n', 'oven@%h', '-l', 'info']
    """
    if options.reload:
        raise ConfigurationError("--reload is not there with Celery's workers: restart them, or use watchfiles itself")
    if options.metrics_port is not None or options.health_port is not None:
        raise ConfigurationError(
            "--metrics-port and --health-port are not there with Celery's workers: `orchestrator check --workers` is a "
            "probe, and the server's /metrics has those of the fleet"
        )
    pool = "prefork" if options.threads == 1 else "threads"
    places = options.processes * options.threads
    arguments = [*python_arguments("celery"), "-A", "task_workers.celery", "worker", "-P", pool, "-c", str(places)]
    arguments += ["-n", f"{options.name}@%h", "-l", options.log_level]
    if options.max_tasks_per_child is not None:
        arguments += ["--max-tasks-per-child", str(options.max_tasks_per_child)]
    if options.max_memory_per_child_mb is not None:
        arguments += ["--max-memory-per-child", str(int(options.max_memory_per_child_mb * 1024))]  # Celery's are KiB
    environment = {
        APP_VARIABLE: ",".join(options.apps),
        QUEUES_VARIABLE: ",".join(options.queues),
        LOGS_VARIABLE: options.log_format,
        "ORCHESTRATOR_SHUTDOWN_TIMEOUT_SECONDS": f"{options.shutdown_timeout_seconds:g}",
        BURST_VARIABLE: "1" if options.burst else "",
    }
    return arguments, environment
