"""What a worker is asked to be: one frozen value, from the command line to the supervisor, and its flags."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass, field
from typing import Final

from brokers.spans import LONGEST_SECONDS
from orchestrator.errors import ConfigurationError
from task_workers.flags import PORTS, flag

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,60}")
LOG_LEVELS: Final = ("debug", "info", "warning", "error", "critical")
MOST_AT_ONCE: Final = 4_096  # a slip of the pen would fork until the machine has no memory left
_QUEUE: Final = re.compile(r"[A-Za-z0-9_.-]{1,40}")


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def default_name() -> str:
    """A worker's name unless it was given one: the machine's.

    >>> bool(default_name())
    True
    """
    return re.sub(r"[^A-Za-z0-9_.-]", "-", platform.node())[:60] or "worker"


def queues_from(text: str) -> tuple[str, ...]:
    """The queues of ``-Q a,b``, in order, each once.

    >>> queues_from("high, default,high")
    ('high', 'default')
    """
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """The options of ``orchestrator worker``: the flag of a field says what it means, for the command line as well.

    Args:
        for_flow_runs: each child runs one flow run and is replaced; ``apps`` may be empty, for flows that are loaded
            by their entrypoints.
        python_path: where children look for modules; empty: where Python does by itself.

    Raises:
        ConfigurationError: a value is not allowed; the message names the option.

    >>> WorkerOptions(("shop.tasks",), processes=0)
    Traceback (most recent call last):
    orchestrator.errors.ConfigurationError: --concurrency 0 is not allowed: 1 or more
    """

    apps: tuple[str, ...] = field(
        metadata=flag(
            "-A",
            "--app",
            takes=tuple,
            help="Module (shop.tasks), file or package whose tasks are run; may be given several times.",
        )
    )
    processes: int = field(
        default_factory=cores,
        metadata=flag("-c", "--concurrency", takes=int, help="Child processes.", default="one per core"),
    )
    queues: tuple[str, ...] = field(
        default=("default",),
        metadata=flag(
            "-Q",
            "--queues",
            help="Queues, best first: high,default.",
            default="default",
            setting="default_queue",
            read=queues_from,
        ),
    )
    threads: int = field(default=1, metadata=flag("--threads", takes=int, help="Sync calls at once in each child."))
    async_concurrency: int = field(
        default=100, metadata=flag("--async-concurrency", takes=int, help="Async calls at once in each child.")
    )
    name: str = field(
        default_factory=default_name,
        metadata=flag("-n", "--name", help="The worker's name for people.", default="the machine's"),
    )
    max_tasks_per_child: int | None = field(
        default=None,
        metadata=flag("--max-tasks-per-child", takes=int, help="Replace a child after so many calls."),
    )
    max_memory_per_child_mb: float | None = field(
        default=None,
        metadata=flag(
            "--max-memory-per-child",
            takes=float,
            metavar="MB",
            help="Replace a child whose resident memory exceeds so many MiB.",
        ),
    )
    shutdown_timeout_seconds: float = field(
        default=25.0,
        metadata=flag(
            "--shutdown-timeout",
            takes=float,
            metavar="SECONDS",
            help="How long running calls may go on after SIGTERM.",
            default="25",
            setting="shutdown_timeout_seconds",
        ),
    )
    burst: bool = field(default=False, metadata=flag("--burst", takes=bool, help="Exit when the queues are empty."))
    reload: bool = field(
        default=False, metadata=flag("--reload", takes=bool, help="Restart when source files change (watchfiles).")
    )
    log_level: str = field(
        default="info",
        metadata=flag(
            "-l",
            "--log-level",
            "--loglevel",
            takes=LOG_LEVELS,
            help="What is logged.",
            setting="log_level",
            read=str.lower,
        ),
    )
    log_format: str = field(
        default="text",
        metadata=flag(
            "--log-format",
            takes=("text", "json"),
            help="How lines are written.",
            setting="log_format",
            read=str.lower,
        ),
    )
    metrics_port: int | None = field(
        default=None,
        metadata=flag(
            "--metrics-port",
            takes=PORTS,
            metavar="PORT",
            help="Count calls, and show figures for Prometheus at /metrics; 0: a free port.",
        ),
    )
    health_port: int | None = field(
        default=None,
        metadata=flag(
            "--health-port",
            takes=PORTS,
            metavar="PORT",
            help="Answer probes at /live and /ready; may be the same port; 0: a free one.",
        ),
    )
    listen: str = field(
        default="127.0.0.1",
        metadata=flag("--listen", metavar="ADDRESS", help="Address of these ports; 0.0.0.0 in a container."),
    )
    start_method: str = field(
        default="forkserver",
        metadata=flag(
            "--start-method",
            takes=("forkserver", "spawn"),
            help="Fork children from a process that has imported the app (Linux), or let each import it.",
        ),
    )
    for_flow_runs: bool = False
    python_path: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.apps and not self.for_flow_runs:
            raise ConfigurationError(
                "which tasks? Name their module or file: -A shop.tasks (or ORCHESTRATOR_WORKER_APP)"
            )
        _at_least_one("--concurrency", self.processes)
        _at_least_one("--threads", self.threads)
        _at_least_one("--async-concurrency", self.async_concurrency)
        _at_least_one("--max-tasks-per-child", self.max_tasks_per_child)
        if max(self.processes, self.threads) > MOST_AT_ONCE:
            raise ConfigurationError(
                f"{self.processes} child processes of {self.threads} threads are not allowed: {MOST_AT_ONCE:,} of each"
            )
        if self.max_memory_per_child_mb is not None and not 0 < self.max_memory_per_child_mb < float("inf"):
            raise ConfigurationError(
                f"--max-memory-per-child {self.max_memory_per_child_mb:g} is not allowed: MiB above 0"
            )
        if not 0 <= self.shutdown_timeout_seconds <= LONGEST_SECONDS:
            raise ConfigurationError(
                f"--shutdown-timeout {self.shutdown_timeout_seconds:g} is not allowed: seconds, 0 or more"
            )
        if not _NAME.fullmatch(self.name):
            raise ConfigurationError(
                f"--name {self.name!r} is not allowed: 1 to 60 of the characters A-Z a-z 0-9 _ . -"
            )
        for queue in self.queues:
            if not _QUEUE.fullmatch(queue):
                raise ConfigurationError(
                    f"--queues: {queue!r} is not a queue's name: 1 to 40 of the characters A-Z a-z 0-9 _ . -"
                )
        if not self.queues:
            raise ConfigurationError("--queues names no queue: give one or more, separated by commas")


def _at_least_one(option: str, value: int | None) -> None:
    if value is not None and value < 1:
        raise ConfigurationError(f"{option} {value} is not allowed: 1 or more")
