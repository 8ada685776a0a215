"""What a worker is asked to be: one frozen value, from the command line to the supervisor and its children."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass, field
from typing import Any, Final

from orchestrator.errors import ConfigurationError
from orchestrator.settings import Settings

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,60}")
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


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """What ``orchestrator worker`` is told.

    Args:
        apps: modules (``shop.tasks``), or paths of files or packages, whose tasks are run.
        processes: how many children.
        queues: which queues, best first.
        threads: sync calls at once in each child.
        async_concurrency: async calls at once in each child.
        name: the worker's name for people.
        max_tasks_per_child: calls after which a child is replaced.
        max_memory_per_child_mb: resident memory above which a child is replaced, in MiB.
        shutdown_timeout_seconds: how long running calls may go on after a first signal.
        burst: end when the queues are empty.
        reload: restart the children when a source file changes.
        log_level, log_format: what is logged, and whether as text or JSON lines.
        metrics_port, health_port: where figures are shown and probes answered (0: a free port); ``None``: nowhere.
        listen: the address of both.

    Raises:
        ConfigurationError: a value is not allowed; the message names the option.

    >>> WorkerOptions(("shop.tasks",), processes=0)
    Traceback (most recent call last):
    orchestrator.errors.ConfigurationError: --concurrency 0 is not allowed: 1 or more
    """

    apps: tuple[str, ...]
    processes: int = field(default_factory=cores)
    queues: tuple[str, ...] = ("default",)
    threads: int = 1
    async_concurrency: int = 100
    name: str = field(default_factory=default_name)
    max_tasks_per_child: int | None = None
    max_memory_per_child_mb: float | None = None
    shutdown_timeout_seconds: float = 25.0
    burst: bool = False
    reload: bool = False
    log_level: str = "info"
    log_format: str = "text"
    metrics_port: int | None = None
    health_port: int | None = None
    listen: str = "127.0.0.1"

    def __post_init__(self) -> None:
        if not self.apps:
            raise ConfigurationError(
                "which tasks? Name their module or file: -A shop.tasks (or ORCHESTRATOR_WORKER_APP)"
            )
        _at_least_one("--concurrency", self.processes)
        _at_least_one("--threads", self.threads)
        _at_least_one("--async-concurrency", self.async_concurrency)
        _at_least_one("--max-tasks-per-child", self.max_tasks_per_child)
        if self.max_memory_per_child_mb is not None and self.max_memory_per_child_mb <= 0:
            raise ConfigurationError(
                f"--max-memory-per-child {self.max_memory_per_child_mb:g} is not allowed: MiB above 0"
            )
        if self.shutdown_timeout_seconds < 0:
            raise ConfigurationError(f"--shutdown-timeout {self.shutdown_timeout_seconds:g} is not allowed: 0 or more")
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


def queues_from(text: str | None, settings: Settings) -> tuple[str, ...]:
    """The queues of ``-Q a,b``, in order, each once; the default queue when nothing is said."""
    if text is None:
        return (settings.default_queue,)
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """What a child is told in its first line, as JSON."""

    apps: tuple[str, ...]
    consumer: str
    number: int
    queues: tuple[str, ...]
    threads: int
    async_concurrency: int
    max_tasks: int | None
    shutdown_timeout_seconds: float
    log_level: str
    log_format: str
    table_fd: int
    stacks_fd: int
    events_fd: int
    parent_pid: int
    worker: str = ""  # its name for people
    cells_fd: int | None = None  # where calls are counted; None: they are not
    paused: bool = False  # it begins without taking calls

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> ChildSpec:
        """Read what ``json.dumps(dataclasses.asdict(spec))`` wrote."""
        return cls(**{**told, "apps": tuple(told["apps"]), "queues": tuple(told["queues"])})
