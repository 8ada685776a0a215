"""``my_task.serve()``: have this process run the calls of a task. What does it is found by its name, one floor up."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from orchestrator.errors import ConfigurationError

GROUP: Final = "orchestrator.hosts"
OURS: Final = EntryPoint("tasks", "task_workers.serving:serve", GROUP)  # where no installed metadata names one


def serve(*tasks: Any, limit: int | None = 10, **options: Any) -> None:
    """Run calls of these tasks in this process until SIGINT or SIGTERM; then finish what runs and return.

    Args:
        tasks: what to serve; their queues are read.
        limit: sync calls at once; ``None`` for a hundred.
        options: see ``task_workers.serve``.

    Raises:
        ConfigurationError: no task was given, a value that is none, or nothing that is installed can run tasks.
        BrokerError: the server refuses us. One that does not answer yet is waited for.

    Follows Prefect 3 (``prefect.task_worker.serve``).
    """
    entry = next(iter(entry_points(group=GROUP, name=OURS.name)), OURS)
    try:
        run: Callable[..., None] = entry.load()
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(
            f"tasks cannot be served here: {entry.value} of the entry points {GROUP!r} cannot be imported ({error})"
        ) from error
    run(*tasks, limit=limit, **options)


class ServableTask:
    """A part of every task; see :class:`orchestrator.tasks.Task`."""

    def serve(self, **options: Any) -> None:
        """Run calls of this task in this process until SIGINT or SIGTERM, see :func:`orchestrator.task_worker.serve`.

        Follows Prefect 3 (``Task.serve``).
        """
        serve(self, **options)
