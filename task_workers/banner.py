"""What a worker shows of itself when it begins."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from brokers.urls import masked
from orchestrator import __version__
from orchestrator.client.fleet import Fleet
from orchestrator.observability.plain_text import printable
from task_workers.options import WorkerOptions


def server_name(fleet: Fleet) -> str:
    """The server for people; its password is masked.

    Args:
        fleet: of this process.
    """
    url = fleet.settings.redis_url or fleet.settings.broker_url
    return masked(url) if url else f"private server in {fleet.home}"


def show(fleet: Fleet, options: WorkerOptions, tasks: Sequence[str]) -> None:
    """Say it once, on standard error; where lines are JSON, as one of them."""
    if options.log_format != "json":
        print(printable(text(fleet, options, tasks)), file=sys.stderr, flush=True)
        return
    facts = {"version": __version__, "server": server_name(fleet), "queues": options.queues, "tasks": list(tasks)}
    logging.getLogger("orchestrator.worker").info("the worker has begun", extra=facts)


def text(fleet: Fleet, options: WorkerOptions, tasks: Sequence[str]) -> str:
    """The lines, without a last line break."""
    each = f"{options.threads} thread{'s' * (options.threads > 1)}, {options.async_concurrency} async calls"
    rows = [
        ("worker", options.name),
        ("broker", server_name(fleet)),
        ("namespace", fleet.settings.namespace),
        *([("project", fleet.project)] if fleet.project is not None else []),
        ("queues", ", ".join(options.queues)),
        ("concurrency", f"{options.processes} process{'es' * (options.processes > 1)} ({each} each)"),
        ("app", ", ".join(options.apps)),
    ]
    lines = [f"orchestrator {__version__}", *(f"  {name:<12} {value}" for name, value in rows)]
    return "\n".join([*lines, f"  tasks ({len(tasks)})", *(f"    {task}" for task in tasks)])
