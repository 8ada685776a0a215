"""``serve(*tasks)``: run these tasks in this very process, also those of a script (``__main__``)."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Any, Final

from orchestrator.client.fleet import Fleet, current_fleet
from orchestrator.client.server_wait import wait_for_server
from orchestrator.errors import ConfigurationError
from orchestrator.maintenance.schedule_writer import ScheduleWriter
from orchestrator.runnables.loading import is_loading
from orchestrator.slots import SlotsOptions
from orchestrator.slots.local_workers import LocalWorkers
from orchestrator.tasks import Task
from task_workers import logs
from task_workers.banner import server_name

log = logging.getLogger("orchestrator.worker")
NO_LIMIT: Final = 100  # threads are started for it, so it has one
LOOK_UP_SECONDS: Final = 1.0


def serve(
    *tasks: Task[..., Any],
    limit: int | None = 10,
    queues: Iterable[str] | None = None,
    async_concurrency: int = 100,
) -> None:
    """Run calls of these tasks in this process until SIGINT or SIGTERM; then finish what runs and return.

    In a script, whose tasks a worker process could not import as ``__main__``::

        if __name__ == "__main__":
            serve(resize, send_mail, limit=4)

    Every call in the queues is taken; a call of a task that this process does not know is left to a worker that knows
    it. Tasks that are served here are better off in a queue of their own if other workers know other tasks.

    Args:
        tasks: what to serve; their queues are read.
        limit: sync calls at once; ``None`` for a hundred.
        queues: other queues than those of the tasks.
        async_concurrency: async calls at once.

    Raises:
        ConfigurationError: no task was given, or a value that is none.
        BrokerError: the server refuses us. One that does not answer yet is waited for.

    While a worker imports the script this does nothing.

    Follows Prefect 3 (``prefect.task_worker.serve``).
    """
    if is_loading():
        return
    _check(tasks, limit)
    fleet = current_fleet()
    if queues is None:
        queues = (task.options.queue or fleet.settings.default_queue for task in tasks)
    options = SlotsOptions(tuple(dict.fromkeys(queues)), limit or NO_LIMIT, async_concurrency)
    if not logging.getLogger().handlers:
        logs.set_up(fleet.settings.log_level, fleet.settings.log_format, "serve")
    with signals() as arrived:
        if not _server_answers(fleet, arrived):
            return
        workers = LocalWorkers(fleet, options, on_stop=lambda: arrived.put(signal.SIGTERM))
        workers.start()
        ScheduleWriter(fleet).start()
        names = ", ".join(task.task_key for task in tasks)
        log.info("serving %s from %s on %s", names, ", ".join(options.queues), server_name(fleet))
        while not signal_came(arrived):
            pass
        finish(workers, arrived, fleet.settings.shutdown_timeout_seconds)


def _server_answers(fleet: Fleet, arrived: SimpleQueue[int]) -> bool:
    """Wait for the server; False when a signal comes first."""
    stopped = threading.Event()

    def stop_on_signal() -> None:
        while not stopped.is_set():
            if not arrived.empty():
                stopped.set()
            stopped.wait(0.1)

    watch = threading.Thread(target=stop_on_signal, name="stop-waiting", daemon=True)
    watch.start()
    try:
        return wait_for_server(fleet, stopped)
    finally:
        stopped.set()
        watch.join(1.0)


def _check(tasks: tuple[Any, ...], limit: int | None) -> None:
    if not tasks:
        raise ConfigurationError("serve() needs at least one task: serve(my_task)")
    for task in tasks:
        if not isinstance(task, Task):
            raise ConfigurationError(f"serve() takes tasks, not {task!r}: decorate it with @task")
    if limit is not None and limit < 1:
        raise ConfigurationError(f"serve(limit={limit}) is not allowed: 1 or more, or None")


def finish(workers: LocalWorkers, arrived: SimpleQueue[int], grace_seconds: float) -> None:
    """Finish what runs; a second signal ends it now."""
    log.info("stopping: running calls are finished (for up to %g s), the others handed back", grace_seconds)
    ending = threading.Thread(target=workers.stop, args=(grace_seconds,), name="end", daemon=True)
    ending.start()
    while ending.is_alive():
        try:
            arrived.get(timeout=0.1)
        except Empty:
            continue
        workers.stop(0.0)
        sys.exit(1)


def signal_came(arrived: SimpleQueue[int]) -> bool:
    """Whether a signal has come; looks up now and then, since one that another thread got is obeyed only then."""
    try:
        arrived.get(timeout=LOOK_UP_SECONDS)
    except Empty:
        return False
    return True


@contextmanager
def signals() -> Iterator[SimpleQueue[int]]:
    """SIGINT and SIGTERM as values of a queue. In another thread than the main one nothing ends ``serve``."""
    arrived: SimpleQueue[int] = SimpleQueue()
    if threading.current_thread() is not threading.main_thread():
        yield arrived
        return
    wanted = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda number, frame: arrived.put(number)) for number in wanted}
    try:
        yield arrived
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
