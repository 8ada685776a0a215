"""Logs of runs: lines written through ``get_run_logger()`` (or ``print`` where asked) are kept with their run."""

from __future__ import annotations

import builtins
import logging
import sys
import weakref
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, Literal

from orchestrator.errors import MissingContextError
from orchestrator.observability import console
from orchestrator.observability.log_shipper import LogLine
from orchestrator.observability.loggers import StaysOn
from orchestrator.runs.current import CurrentAttempt, CurrentFlowRun, current_attempt, current_flow_run
from orchestrator.settings import current


def read_logs(run_id: str) -> list[LogLine]:
    """The kept log lines of a task run or flow run, oldest first, from any process.

    Raises:
        BrokerError: the store does not answer.
    """
    from orchestrator.client.fleet import current_fleet

    return current_fleet().logs.read(str(run_id))


class RunLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger that knows its run, in whatever thread it is used; ``None``: its lines belong to no run."""

    def __init__(self, logger: logging.Logger, extra: dict[str, Any], run: Any) -> None:
        super().__init__(logger, extra)
        self._run = run
        if run is not None:
            _speaking[run.run_id] = run

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        kwargs["extra"] = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        return msg, kwargs


Keep = Callable[[str, str, str, float], None]
_speaking: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()  # runs that have a logger


def _keep(record: logging.LogRecord) -> None:
    """Give a record to whoever keeps its run's lines (set per run, so that local runs need no server)."""
    run_id = getattr(record, "run_id", None)
    run = current_attempt.get() or current_flow_run.get() or _speaking.get(str(run_id))
    if run is None or run_id is None:
        return
    try:
        keep = run.keep_log
        if keep is not None:
            keep(run_id, record.levelname, record.getMessage(), record.created)
    except Exception:
        logging.Handler().handleError(record)


class _RunLog(StaysOn):
    """Where run loggers write. Its lines are kept whatever a program sets up for ``logging``."""

    def getEffectiveLevel(self) -> int:
        return self.level or logging.INFO

    def isEnabledFor(self, level: int) -> bool:
        return not _silences and super().isEnabledFor(level)

    def callHandlers(self, record: logging.LogRecord) -> None:
        console.show()  # before the record comes to the loggers above this one
        _keep(record)
        super().callHandlers(record)


_task_log = logging.getLogger("orchestrator.task_runs")
_flow_log = logging.getLogger("orchestrator.flow_runs")
for _logger in (_task_log, _flow_log):
    _logger.setLevel(logging.INFO)
    _logger.__class__ = _RunLog


_silences: list[object] = []  # of blocks of disable_run_logger() that are open, in whatever thread


@contextmanager
def disable_run_logger() -> Iterator[None]:
    """Inside the block the loggers of runs are silent, in the whole process, and ``get_run_logger()`` needs no run.

    For tests of plain functions: ``with disable_run_logger(): my_task.fn(1)``.

    >>> with disable_run_logger():
    ...     get_run_logger().info("nobody reads this")

    Follows Prefect 3 (``prefect.logging.disable_run_logger``).
    """
    mine = object()
    _silences.append(mine)
    try:
        yield
    finally:
        _silences.remove(mine)


def get_run_logger(
    context: Any = None,
    on_missing_context: Literal["raise", "warn", "ignore"] = "raise",
    fallback_logger_name: str = "orchestrator",
    **fields: Any,
) -> RunLogger:
    """The logger of the run around this line.

    Args:
        context: a FlowRunContext or TaskRunContext whose run is meant instead, as in another thread.
        on_missing_context: what happens where there is no run: an error, or a logger that keeps its lines nowhere,
            with (``warn``, at level debug) or without (``ignore``) a word about it.
        fallback_logger_name: name of that logger.
        fields: further fields of its records.

    Raises:
        MissingContextError: there is no run. TypeError: the context is none.

    >>> get_run_logger()
    Traceback (most recent call last):
    orchestrator.errors.MissingContextError: there is no active flow or task run: call this inside one

    Follows Prefect 3 (``prefect.get_run_logger``).
    """
    if context is not None:
        return _logger_in(context, fields)
    attempt = current_attempt.get()
    if attempt is not None:
        return logger_of(attempt, fields)
    flow_run = current_flow_run.get()
    if flow_run is not None:
        return flow_run_logger(flow_run, flow_run.flow, **fields)
    if _silences:
        return RunLogger(_flow_log, fields, None)
    if on_missing_context not in ("warn", "ignore"):
        raise MissingContextError("there is no active flow or task run: call this inside one")
    fallback = RunLogger(logging.getLogger(fallback_logger_name), fields, None)
    if on_missing_context == "warn":
        fallback.debug("there is no active flow or task run: these lines are kept with no run")
    return fallback


def _logger_in(context: Any, fields: dict[str, Any]) -> RunLogger:
    flow_run, task_run = getattr(context, "flow_run", None), getattr(context, "task_run", None)
    if task_run is not None:
        return task_run_logger(task_run, context.task, **fields)
    if flow_run is not None:
        return flow_run_logger(flow_run, context.flow, **fields)
    raise TypeError(f"context={context!r} is neither a FlowRunContext nor a TaskRunContext")


_UNKNOWN: Final = "<unknown>"


class _RunElsewhere:
    """A run that this process does not run: its lines go to the store."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id

    @property
    def keep_log(self) -> Keep:
        from orchestrator.client.fleet import current_fleet

        return current_fleet().logs.add


def flow_run_logger(flow_run: Any = None, flow: Any = None, flow_run_id: Any = None, **fields: Any) -> RunLogger:
    """The logger of a flow run that is not the one around this line; its lines are kept with that run.

    Args:
        flow_run: as hooks get it, or as a client reads it.
        flow: whose name the records have.
        flow_run_id: its id, where there is nothing else.
        fields: further fields of its records.

    Raises:
        ValueError: neither a flow run nor an id.

    Follows Prefect 3 (``prefect.logging.loggers.flow_run_logger``).
    """
    if flow_run is None and flow_run_id is None:
        raise ValueError("flow_run_logger() needs a flow_run or a flow_run_id")
    run_id = str(flow_run.id if flow_run is not None else flow_run_id)
    name = flow.name if flow is not None else getattr(flow_run, "flow_name", None) or _UNKNOWN
    facts = {"flow_run_id": run_id, "flow_run_name": getattr(flow_run, "name", _UNKNOWN), "flow_name": name}
    return RunLogger(_flow_log, {"run_id": run_id, "flow": name, **facts, **fields}, _speaker(flow_run, run_id))


def task_run_logger(
    task_run: Any, task: Any = None, flow_run: Any = None, flow: Any = None, **fields: Any
) -> RunLogger:
    """The logger of a task run that is not the one around this line; its lines are kept with that run.

    Args:
        task_run: as hooks get it, or as a client reads it.
        task, flow_run, flow: whose names the records have; the flow run around this line unless given.
        fields: further fields of its records.

    Follows Prefect 3 (``prefect.logging.loggers.task_run_logger``).
    """
    run_id = str(task_run.id)
    around = current_flow_run.get()
    flow_run = flow_run if flow_run is not None else around
    flow = flow if flow is not None else getattr(flow_run, "flow", None)
    name = task.name if task is not None else getattr(task_run, "task_name", None) or _UNKNOWN
    facts = {
        "run_id": run_id,
        "task": name,
        "task_key": task_run.task_key,
        "task_run_id": run_id,
        "task_run_name": task_run.name,
        "task_name": name,
        "flow_run_id": None if task_run.flow_run_id is None else str(task_run.flow_run_id),
        "flow_run_name": getattr(flow_run, "name", _UNKNOWN),
        "flow_name": getattr(flow, "name", _UNKNOWN),
    }
    return RunLogger(_task_log, {**facts, **fields}, _speaker(task_run, run_id))


def _speaker(run: Any, run_id: str) -> Any:
    """Who keeps the lines of a run: the run itself where it is in this process, else the store."""
    for known in (run, current_attempt.get(), _speaking.get(run_id)):
        if getattr(known, "run_id", None) == run_id and hasattr(type(known), "keep_log"):
            return known
    return _RunElsewhere(run_id)


def logger_of(attempt: CurrentAttempt, fields: dict[str, Any] | None = None) -> RunLogger:
    """The logger of an attempt's run. Its records have Prefect's fields: ``task_run_id``, ``flow_run_name``, ..."""
    task = attempt.task
    extra = {
        "run_id": attempt.run_id,
        "task": task.name,
        "task_key": task.task_key,
        "task_run_id": attempt.run_id,
        "task_run_name": attempt.name,
        "task_name": task.name,
        "flow_run_id": attempt.flow_run_id,
    }
    flow_run = current_flow_run.get()
    if flow_run is not None and flow_run.run_id == attempt.flow_run_id:
        extra |= _facts_of(flow_run)
    return RunLogger(_task_log, extra | fields if fields else extra, attempt)


def _facts_of(flow_run: CurrentFlowRun) -> dict[str, Any]:
    return {"flow_run_id": flow_run.run_id, "flow_run_name": flow_run.name, "flow_name": flow_run.flow.name}


# -- print as log lines ------------------------------------------------------------------------------------------

_printing: ContextVar[bool | None] = ContextVar(
    "orchestrator_log_prints", default=None
)  # None: no option around gives it
_real_print = builtins.print


def _print(*values: Any, sep: str | None = " ", end: str | None = "\n", file: Any = None, flush: bool = False) -> None:
    if _printing.get() and (file is None or file is sys.stdout or file is sys.stderr):
        text = (" " if sep is None else sep).join(map(str, values))
        get_run_logger().info("%s", text, stacklevel=2)  # the line is that of whoever prints
    else:
        _real_print(*values, sep=sep, end=end, file=file, flush=flush)


def prints_are_logged() -> bool | None:
    """Whether ``print`` makes log lines here: what a task that does not say anything about it inherits.

    ``None``: no option around this line says anything.
    """
    return _printing.get()


def by_setting() -> bool | None:
    """What holds for a run that does not say: ``None``, as around it, unless nobody there says and the setting does."""
    return True if _printing.get() is None and current().log_prints else None


@contextmanager
def logging_prints(wanted: bool = True) -> Iterator[None]:
    """Inside the block, ``print`` to standard output becomes a log line of the run (this thread or asyncio task).

    Args:
        wanted: ``False``: it does not, whatever is true around the block.
    """
    if wanted and builtins.print is _real_print:
        builtins.print = _print
    token = _printing.set(wanted)
    try:
        yield
    finally:
        _printing.reset(token)
