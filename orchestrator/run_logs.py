"""Logs of runs: lines written through ``get_run_logger()`` (or ``print`` where asked) are kept with their run."""

from __future__ import annotations

import builtins
import json
import logging
import threading
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.context import current_attempt, current_flow_run
from orchestrator.errors import BrokerError, MissingResult

if TYPE_CHECKING:
    from brokers.redis.broker import RedisBroker

LONGEST_LINE_BYTES = 16_384
FLUSH_SECONDS = 0.5


class LogLine(NamedTuple):
    """One kept line of a run."""

    timestamp: datetime
    level: str
    message: str


class LogShipper:
    """Collects lines and writes them to the store in groups, from a thread of its own.

    Args:
        broker: where the lines are kept.
        keep: how many lines a run keeps (its last ones).
    """

    def __init__(self, broker: RedisBroker, keep: int) -> None:
        self._broker, self._keep = broker, keep
        self._lines: dict[str, list[bytes]] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, run_id: str, level: str, message: str, created: float) -> None:
        """Keep a line for a run; ``created`` in unix seconds."""
        if not self._keep:
            return
        line = json.dumps([created, level, message[:LONGEST_LINE_BYTES]]).encode()
        with self._lock:
            lines = self._lines.setdefault(run_id, [])
            lines.append(line)
            del lines[: -self._keep]
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="log-shipper", daemon=True)
            self._thread.start()
        self._wake.set()

    @property
    def waiting(self) -> bool:
        """Whether there are lines that have not been written yet."""
        return bool(self._lines)

    def flush(self) -> None:
        """Write what waits. Raises BrokerError; the lines are kept then."""
        with self._lock:
            lines, self._lines = self._lines, {}
        if not lines:
            return
        try:
            self._broker.add_log_lines(lines, self._keep)
        except BrokerError:
            with self._lock:
                for run_id, some in lines.items():
                    merged = some + self._lines.get(run_id, [])
                    self._lines[run_id] = merged[-self._keep :]
            raise

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            self._wake.wait()
            self._wake.clear()
            pause.wait(FLUSH_SECONDS)
            try:
                self.flush()
            except BrokerError:
                self._wake.set()  # kept; tried again

    def read(self, run_id: str) -> list[LogLine]:
        """The kept lines of a run, oldest first."""
        self.flush()
        rows = (json.loads(line) for line in self._broker.log_lines(run_id))
        return [LogLine(datetime.fromtimestamp(created, UTC), level, text) for created, level, text in rows]


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
        extra = {"run_id": attempt.run_id, "task": attempt.task.name, "task_run_name": attempt.name}
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
