"""What a worker writes: one line per state change, its own news, and the lines of run loggers; as text or as JSON.

A line is one write to standard error, so that the lines of several processes do not mix. State changes go there without
the machinery of ``logging``, which costs three times as much as the rest of an empty call; above level *info* nobody
listens to them, and they cost nothing.
"""

from __future__ import annotations

import json
import logging
import os
import time
from datetime import UTC, datetime
from typing import Any, Final

from orchestrator.engine import Again, Attempt, Behind, Verdict
from orchestrator.events import listen

LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class LineWriter:
    """Whole lines to standard error.

    Args:
        who: put in front of text lines; a child's number.
        as_json: one JSON object per line.
        worker: the worker's name, for JSON lines.
    """

    def __init__(self, who: str, as_json: bool, worker: str = "") -> None:
        self.who, self.as_json, self.worker = who, as_json, worker
        self._second, self._written = 0, ""

    def clock(self, moment: float) -> str:
        """The local time of day with milliseconds; formatted once a second."""
        second = int(moment)
        if second != self._second:
            self._second, self._written = second, time.strftime("%H:%M:%S", time.localtime(moment))
        return f"{self._written}.{int((moment - second) * 1000):03d}"

    def write(self, line: str) -> None:
        """One line. A reader that is gone must not stop the worker."""
        blob = (line + "\n").encode("utf-8", "backslashreplace")
        try:
            while blob:
                blob = blob[os.write(2, blob) :]
        except OSError:
            pass


class LineHandler(logging.Handler):
    """Records of ``logging`` as lines."""

    def __init__(self, writer: LineWriter) -> None:
        super().__init__()
        self._writer = writer
        self._formatter = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._writer.write(self._as_json(record) if self._writer.as_json else self._as_text(record))
        except Exception:
            self.handleError(record)

    def _as_text(self, record: logging.LogRecord) -> str:
        told = f"{self._writer.clock(record.created)} {record.levelname:<7} [{self._writer.who}] {record.getMessage()}"
        run_id = getattr(record, "run_id", None)
        if run_id is not None:
            told += f"  ({getattr(record, 'task', None) or getattr(record, 'flow', '')} {run_id})"
        return told + self._traceback(record, "\n")

    def _as_json(self, record: logging.LogRecord) -> str:
        told: dict[str, Any] = {
            "ts": _iso(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": record.getMessage(),
            "worker": self._writer.worker,
            "child": self._writer.who,
        }
        told.update((name, value) for name, value in vars(record).items() if name not in _STANDARD)
        if "task_key" in told:  # as in lines about states
            told["task"] = told.pop("task_key")
        if trace := self._traceback(record, ""):
            told["traceback"] = trace
        return json.dumps(told, default=str)

    def _traceback(self, record: logging.LogRecord, before: str) -> str:
        parts = []
        if record.exc_info and record.exc_info[0] is not None:
            parts.append(self._formatter.formatException(record.exc_info))
        if record.stack_info:
            parts.append(record.stack_info)
        return before + "\n".join(parts) if parts else ""


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")


class StateLines:
    """One line whenever a run changes its state in this process."""

    def __init__(self, writer: LineWriter) -> None:
        self._writer = writer

    def listen(self) -> None:
        """From now on."""
        listen("run.started", self.started)
        listen("run.ended", self.ended)

    def started(self, attempt: Attempt, verdict: Verdict | None, seconds: float) -> None:
        """An attempt has started."""
        self._line(attempt, "Running" if attempt.run_count == 1 else "Retrying", None, None)

    def ended(self, attempt: Attempt, verdict: Verdict | None, seconds: float) -> None:
        """An attempt has ended, and this is what follows."""
        if type(verdict) is Again:
            again = f"again in {verdict.delay_seconds:g} s: {verdict.state.message}"
            self._line(attempt, "AwaitingRetry", seconds, again)
        elif type(verdict) is Behind:
            self._line(attempt, "Pending", seconds, f"the same is being computed by run {verdict.run_id}")
        elif verdict is not None:
            assert not isinstance(verdict, Again | Behind)
            self._line(attempt, verdict.name or verdict.type.value.capitalize(), seconds, verdict.message)

    def _line(self, attempt: Attempt, state: str, seconds: float | None, message: str | None) -> None:
        writer, now = self._writer, time.time()
        if writer.as_json:
            told = {
                "ts": _iso(now),
                "level": "info",
                "logger": "orchestrator.runs",
                "msg": f"{attempt.task.name} {state}" + (f": {message}" if message else ""),
                "worker": writer.worker,
                "child": writer.who,
                "run_id": attempt.run_id,
                "task": attempt.task.task_key,
                "state": state,
                "seconds": None if seconds is None else round(seconds, 6),
                "run_count": attempt.run_count,
            }
            writer.write(json.dumps(told))
            return
        took = "" if seconds is None else f" {seconds:.3f} s"
        why = f"  {message}" if message else ""
        writer.write(
            f"{writer.clock(now)} INFO    [{writer.who}] {state:<9} {attempt.task.name} {attempt.run_id}{took}{why}"
        )


def set_up(level: str, log_format: str, who: str, states: bool = True, worker: str = "") -> None:
    """Write what this process has to tell; whatever the app sets up for ``logging`` afterwards comes on top.

    Args:
        level: "debug", "info", "warning", "error" or "critical".
        log_format: "text" or "json".
        who: put in front of text lines.
        states: whether to tell changes of state (at level info or below).
        worker: the worker's name for people; it is in JSON lines.
    """
    writer = LineWriter(who, log_format == "json", worker)
    root = logging.getLogger()
    root.addHandler(LineHandler(writer))
    root.setLevel(LEVELS[level])
    if LEVELS[level] > logging.INFO:
        for name in ("orchestrator.task_runs", "orchestrator.flow_runs"):
            # Their own level stays: lines are kept with their run whatever is written here.
            logging.getLogger(name).propagate = False
    elif states:
        StateLines(writer).listen()
    if LEVELS[level] > logging.DEBUG:
        logging.getLogger("asyncio").setLevel(logging.WARNING)
