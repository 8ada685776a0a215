"""Logs of runs: lines written through ``get_run_logger()`` (or ``print`` where asked) are kept with their run."""

from __future__ import annotations

import builtins
import logging
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from orchestrator.context import current_attempt, current_flow_run
from orchestrator.errors import MissingResult
from orchestrator.log_shipper import LogLine


def read_logs(run_id: str) -> list[LogLine]:
    """The kept log lines of a task run or flow run, oldest first, from any process.

    Raises:
        BrokerError: the store does not answer.
    """
    from orchestrator.fleet import current_fleet

    return current_fleet().logs.read(str(run_id))


class RunLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger that knows its run."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        kwargs["extra"] = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        return msg, kwargs


class _KeepWithRun(logging.Handler):
    """Gives the records of run loggers to whoever keeps them (set per run, so that local runs need no server)."""

    def emit(self, record: logging.LogRecord) -> None:
        run = current_attempt.get() or current_flow_run.get()
        keep = run.keep_log if run is not None else None
        run_id = getattr(record, "run_id", None)
        if keep is None or run_id is None:
            return
        try:
            keep(run_id, record.levelname, record.getMessage(), record.created)
        except Exception:
            self.handleError(record)


Keep = Callable[[str, str, str, float], None]
_task_log = logging.getLogger("orchestrator.task_runs")
_flow_log = logging.getLogger("orchestrator.flow_runs")
_handler = _KeepWithRun()
for _logger in (_task_log, _flow_log):
    _logger.setLevel(logging.INFO)
    _logger.addHandler(_handler)


def get_run_logger() -> RunLogger:
    """The logger of the run around this line.

    >>> get_run_logger()
    Traceback (most recent call last):
    orchestrator.errors.MissingResult: there is no active flow or task run: call this inside one

    Follows Prefect 3 (``prefect.get_run_logger``).
    """
    attempt = current_attempt.get()
    if attempt is not None:
        task = attempt.task
        extra = {"run_id": attempt.run_id, "task": task.name, "task_key": task.task_key, "task_run_name": attempt.name}
        return RunLogger(_task_log, extra)
    flow_run = current_flow_run.get()
    if flow_run is not None:
        return RunLogger(
            _flow_log, {"run_id": flow_run.run_id, "flow": flow_run.flow.name, "flow_run_name": flow_run.name}
        )
    raise MissingResult("there is no active flow or task run: call this inside one")


# -- print as log lines ------------------------------------------------------------------------------------------

_printing: ContextVar[bool] = ContextVar("orchestrator_log_prints", default=False)
_real_print = builtins.print


def _print(*values: Any, sep: str | None = " ", end: str | None = "\n", file: Any = None, flush: bool = False) -> None:
    if file is None and _printing.get():
        get_run_logger().info("%s", (" " if sep is None else sep).join(map(str, values)))
    else:
        _real_print(*values, sep=sep, end=end, file=file, flush=flush)


@contextmanager
def logging_prints() -> Iterator[None]:
    """Inside the block, ``print`` to standard output becomes a log line of the run (this thread or asyncio task)."""
    if builtins.print is _real_print:
        builtins.print = _print
    token = _printing.set(True)
    try:
        yield
    finally:
        _printing.reset(token)
