"""What a worker writes: one line per state change, its own log lines, and the lines of run loggers; as text or as JSON.

Whole lines go to standard error in one write, so that those of several processes do not mix. State changes go there
without the machinery of ``logging``, which costs three times as much as the rest of an empty call; if there are many of
them they are written together, and an attempt that ended before its start was written has the line of its end alone.
Above level *info* nobody listens to them, and they cost nothing.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from brokers.threads import unending
from orchestrator.execution.attempt import Attempt
from orchestrator.execution.verdicts import Retry, Verdict, WaitForRun, retry_text
from orchestrator.observability import console
from orchestrator.observability.events import listen
from orchestrator.observability.loggers import keep_on
from orchestrator.observability.plain_text import printable

LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
TOGETHER_SECONDS: Final = 0.02  # lines of states that come so fast are written together
MOST_LINES: Final = 30  # in one write
MANY_LINES: Final = 10_000
ONE_WRITE_BYTES: Final = 4096  # what a pipe takes as a whole (PIPE_BUF of Linux)
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class LateLine(Protocol):
    """A line that is made when it is written."""

    def text(self) -> str | None:
        """The line; ``None`` if it is not wanted any more."""


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
        self._waiting: deque[str | LateLine] = deque()
        self._flushed = 0.0
        self._wake = threading.Event()
        self._turn = threading.Lock()
        self._thread: threading.Thread | None = None
        self._thread_of = 0
        os.register_at_fork(after_in_child=self.forget)

    def clock(self, moment: float) -> str:
        """The local time of day with milliseconds; formatted once a second."""
        second = int(moment)
        if second != self._second:
            self._second, self._written = second, time.strftime("%H:%M:%S", time.localtime(moment))
        return f"{self._written}.{int((moment - second) * 1000):03d}"

    def write(self, line: str) -> None:
        """One line, now; what would steer a terminal is escaped. A reader that is gone must not stop the worker."""
        self._waiting.append(line)
        self.flush()

    def write_soon(self, line: str | LateLine) -> None:
        """One line within :data:`TOGETHER_SECONDS`; now, if it is the first one for so long.

        A process that is killed meanwhile takes it along: its supervisor names the calls that ran in it.
        """
        self._waiting.append(line)
        if time.monotonic() - self._flushed > TOGETHER_SECONDS or len(self._waiting) >= MOST_LINES:
            self.flush()
        elif not self._wake.is_set():
            self._ensure_thread()
            self._wake.set()

    def flush(self) -> None:
        """Write what waits, in order. Who finds somebody else at it leaves the rest to them.

        It does not wait for them, as a signal may have interrupted just them, unless very many lines wait: then whoever
        reads them is slow, and memory is not for that.
        """
        while self._waiting and self._turn.acquire(timeout=0 if len(self._waiting) < MANY_LINES else 1.0):
            try:
                self._flushed = time.monotonic()
                self._write_some()
            finally:
                self._turn.release()

    def _write_some(self) -> None:
        lines: list[str] = []
        with suppress(IndexError):
            while len(lines) < MOST_LINES:
                line = self._waiting.popleft()
                text = line if isinstance(line, str) else line.text()
                if text is not None:
                    lines.append(text)
        try:
            blob = _blob("\n".join(lines)) if lines else b""
            for part in [blob] if len(blob) <= ONE_WRITE_BYTES else map(_blob, lines):
                _write(part)
        except BaseException:  # raised in this thread by somebody who interrupts its call: to write twice is better
            self._waiting.extendleft(reversed(lines))
            raise

    def _ensure_thread(self) -> None:
        if self._thread is None or self._thread_of != os.getpid():
            self._thread_of = os.getpid()
            self._thread = threading.Thread(target=unending(self._flush_soon), name="log-lines", daemon=True)
            self._thread.start()

    def _flush_soon(self) -> None:
        while True:
            self._wake.wait()
            time.sleep(TOGETHER_SECONDS)
            self._wake.clear()
            self.flush()

    def forget(self) -> None:
        """In a process that was forked: what waits is its parent's to write."""
        self._waiting.clear()
        self._wake, self._turn = threading.Event(), threading.Lock()


def _blob(text: str) -> bytes:
    return (printable(text) + "\n").encode("utf-8", "backslashreplace")


def _write(blob: bytes) -> None:
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

    def flush(self) -> None:
        """Write what waits; ``logging`` calls it at the end of a process."""
        self._writer.flush()

    def _as_text(self, record: logging.LogRecord) -> str:
        line = f"{self._writer.clock(record.created)} {record.levelname:<7} [{self._writer.who}] {record.getMessage()}"
        run_id = getattr(record, "run_id", None)
        if run_id is not None:
            line += f"  ({getattr(record, 'task', None) or getattr(record, 'flow', '')} {run_id})"
        return line + self._traceback(record, "\n")

    def _as_json(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "ts": _iso(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": record.getMessage(),
            "worker": self._writer.worker,
            "child": self._writer.who,
        }
        line.update((name, value) for name, value in vars(record).items() if name not in _STANDARD)
        if "task_key" in line:  # as in lines about states
            line["task"] = line.pop("task_key")
        if trace := self._traceback(record, ""):
            line["traceback"] = trace
        return json.dumps(line, default=str)

    def _traceback(self, record: logging.LogRecord, before: str) -> str:
        parts = []
        if record.exc_info and record.exc_info[0] is not None:
            parts.append(self._formatter.formatException(record.exc_info))
        if record.stack_info:
            parts.append(record.stack_info)
        return before + "\n".join(parts) if parts else ""


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")


class _Start:
    """The line of an attempt's start, while it waits to be written."""

    __slots__ = ("_at", "_attempt", "_lines", "over")

    def __init__(self, lines: StateLines, attempt: Attempt) -> None:
        self._lines, self._attempt, self._at = lines, attempt, time.time()
        self.over = False

    def text(self) -> str | None:
        if self.over:
            return None
        attempt = self._attempt
        self._lines.unwritten.pop(attempt.run_id, None)
        return self._lines.line(self._at, attempt, "Running" if attempt.run_count == 1 else "Retrying")


class StateLines:
    """One line whenever a run changes its state in this process.

    Attributes:
        unwritten: the starts that wait to be written, by run.
    """

    def __init__(self, writer: LineWriter) -> None:
        self._writer = writer
        self.unwritten: dict[str, _Start] = {}

    def listen(self) -> None:
        """From now on."""
        listen("run.started", self.started)
        listen("run.ended", self.ended)

    def started(self, attempt: Attempt, verdict: Verdict | None, seconds: float) -> None:
        """An attempt has started."""
        start = self.unwritten[attempt.run_id] = _Start(self, attempt)
        self._writer.write_soon(start)

    def ended(self, attempt: Attempt, verdict: Verdict | None, seconds: float) -> None:
        """An attempt has ended, and this is what follows."""
        start = self.unwritten.pop(attempt.run_id, None)
        if start is not None:
            start.over = True
        if type(verdict) is Retry:
            self._write(attempt, "AwaitingRetry", seconds, retry_text(attempt, verdict))
        elif type(verdict) is WaitForRun:
            self._write(attempt, "Pending", seconds, f"the same is being computed by run {verdict.run_id}")
        elif verdict is not None:
            assert not isinstance(verdict, Retry | WaitForRun)
            self._write(attempt, verdict.name or verdict.type.value.capitalize(), seconds, verdict.message)

    def _write(self, attempt: Attempt, state: str, seconds: float, message: str | None) -> None:
        self._writer.write_soon(self.line(time.time(), attempt, state, seconds, message))

    def line(
        self, at: float, attempt: Attempt, state: str, seconds: float | None = None, message: str | None = None
    ) -> str:
        """The line of a state that an attempt came to, at a moment (unix seconds)."""
        writer = self._writer
        if writer.as_json:
            line = {
                "ts": _iso(at),
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
            return json.dumps(line)
        took = "" if seconds is None else f" {seconds:.3f} s"
        why = f"  {message}" if message else ""
        return f"{writer.clock(at)} INFO    [{writer.who}] {state:<9} {attempt.task.name} {attempt.run_id}{took}{why}"


def set_up(level: str, log_format: str, who: str, states: bool = True, worker: str = "") -> LineWriter:
    """Write the log lines of this process, by the writer returned.

    Whatever the app sets up for ``logging`` afterwards comes on top.

    Args:
        level: "debug", "info", "warning", "error" or "critical".
        log_format: "text" or "json".
        who: put in front of text lines.
        states: whether to write changes of state (at level info or below).
        worker: the worker's name for people; it is in JSON lines.
    """
    console.keep_out()
    writer = LineWriter(who, log_format == "json", worker)
    root = logging.getLogger()
    root.addHandler(LineHandler(writer))
    root.setLevel(LEVELS[level])
    keep_on()
    if LEVELS[level] > logging.INFO:
        for name in ("orchestrator.task_runs", "orchestrator.flow_runs"):
            # Their own level stays: lines are kept with their run whatever is written here.
            logging.getLogger(name).propagate = False
    elif states:
        StateLines(writer).listen()
    if LEVELS[level] > logging.DEBUG:
        logging.getLogger("asyncio").setLevel(logging.WARNING)
    return writer
