"""Collects log lines and progress of runs, and writes them to the store in groups."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple, Protocol

from brokers.base import Logs
from brokers.threads import unending
from orchestrator import serializers
from orchestrator.errors import BrokerError, BrokerRefused
from orchestrator.observability.progress_notes import Progress, ProgressNotes
from orchestrator.serializers.texts import fit_text

log = logging.getLogger("orchestrator.run_logs")
MAX_LINE_CHARS: Final = 16_384  # characters
MAX_ID_CHARS: Final = 64
FLUSH_SECONDS: Final = 0.5


class LogLine(NamedTuple):
    """One kept line of a run."""

    timestamp: datetime
    level: str
    message: str


class Notes(Protocol):
    """Values of which only the latest counts, written now and then; ``bool``: whether some wait."""

    def __bool__(self) -> bool: ...

    def write(self, ending: Collection[str] | None) -> None:
        """Write what is due, and whatever belongs to these runs; ``None``: everything. Raises BrokerError."""

    def drop(self) -> int:
        """Forget what waits; returns how many values."""


class LogShipper:
    """Collects lines and progress, and writes them to the store in groups, from a thread of its own.

    Args:
        store: where the lines are kept.
        keep: how many lines a run keeps (its last ones).
    """

    def __init__(self, store: Logs, keep: int) -> None:
        self._store, self._keep = store, keep
        self._progress = ProgressNotes(store)
        self._notes: list[Notes] = [self._progress]
        self._lines: dict[str, list[bytes]] = {}
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, run_id: str, level: str, message: str, created: float) -> None:
        """Keep a line for a run; ``created`` in unix seconds."""
        if not self._keep or not _is_an_id(run_id):
            return
        text = json.dumps([created, fit_text(level), fit_text(message, MAX_LINE_CHARS)]).encode()
        line = serializers.enclose(text, lambda: ("log", run_id))
        with self._lock:
            lines = self._lines.setdefault(run_id, [])
            lines.append(line)
            del lines[: -self._keep]
        self._write_soon()

    def note_progress(self, run_id: str, ticket: str, progress: Progress) -> None:
        """Keep how far an attempt has come; only its latest value is written."""
        self._progress.note(run_id, ticket, progress)
        self._write_soon()

    def carry(self, notes: Notes) -> None:
        """From now on write these as well; :meth:`write_soon` says that some wait."""
        self._notes.append(notes)

    def write_soon(self) -> None:
        """Have what waits written by the thread, within about half a second."""
        self._write_soon()

    def _write_soon(self) -> None:
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=unending(self._run), name="log-shipper", daemon=True)
                    self._thread.start()
        if not self._wake.is_set():
            self._wake.set()

    @property
    def waiting(self) -> bool:
        """Whether there is something that has not been written yet."""
        return bool(self._lines) or any(self._notes) or self._writing.locked()

    def flush(self, ending: Collection[str] | None = None) -> None:
        """Write what waits, and wait for what another thread is writing.

        Raises BrokerUnavailable; all is kept then. A server that is full, or forbids it, gets no log lines and no
        progress: they are dropped, because the ends of runs are sent after them and must get through.

        Args:
            ending: runs that are about to end; of others, progress may wait for its time. ``None``: nothing may wait.
        """
        with self._writing:
            self._write_lines()
            for notes in self._notes:
                try:
                    notes.write(ending)
                except BrokerRefused as error:
                    log.warning("%d values of progress are lost: %s", notes.drop(), error)

    def _write_lines(self) -> None:
        with self._lock:
            lines, self._lines = self._lines, {}
        if not lines:
            return
        try:
            self._store.append(lines, self._keep)
        except BrokerRefused as error:
            log.warning("%d log lines are lost: %s", sum(map(len, lines.values())), error)
        except Exception as error:
            if not isinstance(error, BrokerError | TimeoutError):  # it would fail again, and what comes after it
                log.exception("%d log lines are lost", sum(map(len, lines.values())))
                return
            self._put_back(lines)
            raise
        except BaseException:
            self._put_back(lines)
            raise

    def _put_back(self, lines: dict[str, list[bytes]]) -> None:
        with self._lock:
            for run_id, some in lines.items():
                merged = some + self._lines.get(run_id, [])
                self._lines[run_id] = merged[-self._keep :]

    def _run(self) -> None:
        this_thread, pause = threading.current_thread(), threading.Event()
        while True:
            self._wake.wait()
            self._wake.clear()
            pause.wait(FLUSH_SECONDS)
            try:
                self.flush(())
            except BrokerError:
                self._wake.set()  # kept; tried again
                if self._thread is not this_thread:
                    return
            if self._thread is not this_thread and not self._wake.is_set():  # closed; a later line starts another one
                return
            if any(self._notes):  # values that were too early
                self._wake.set()

    def close(self) -> None:
        """End the thread; what waits is not written: see :meth:`flush`."""
        with self._lock:
            self._thread = None
        self._wake.set()

    def read(self, run_id: str) -> list[LogLine]:
        """The kept lines of a run, oldest first. One that cannot be read here is replaced by a note."""
        self.flush()
        return [_line(run_id, line) for line in self._store.read(run_id)]

    def newest(self, run_ids: Sequence[str]) -> dict[str, bytes | None]:
        """Of each run, something that changes when it gets a line, in one trip. Raises BrokerError."""
        if self._lines:
            self.flush(())
        return self._store.newest(run_ids)

    def progress_of(self, run_ids: Sequence[str]) -> dict[str, Progress]:
        """The log lines of the latest attempts of these runs, in one trip. Raises BrokerError."""
        if self._progress:
            self.flush(run_ids)
        return self._progress.read(run_ids) if run_ids else {}


def _is_an_id(run_id: object) -> bool:
    """Lines may say of which run they are (``extra={"run_id": ...}``), and may be wrong."""
    return isinstance(run_id, str) and run_id.isascii() and 0 < len(run_id) <= MAX_ID_CHARS


def _line(run_id: str, line: bytes) -> LogLine:
    try:
        created, level, text = json.loads(serializers.disclose(line, lambda: ("log", run_id)))
        return LogLine(datetime.fromtimestamp(created, UTC), fit_text(level), fit_text(text))
    except Exception as error:  # a key is missing here, or the line is damaged
        return LogLine(datetime.fromtimestamp(0, UTC), "ERROR", f"(this line cannot be read: {error})")
