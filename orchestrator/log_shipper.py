"""Collects log lines and progress of runs, and writes them to the store in groups."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from brokers.redis.broker import RedisBroker
from orchestrator import serializers
from orchestrator.errors import BrokerError, BrokerRefused, SerializationError
from orchestrator.progress_notes import Progress, ProgressNotes

log = logging.getLogger("orchestrator.run_logs")
LONGEST_LINE: Final = 16_384  # characters
FLUSH_SECONDS: Final = 0.5


class LogLine(NamedTuple):
    """One kept line of a run."""

    timestamp: datetime
    level: str
    message: str


class LogShipper:
    """Collects lines and progress, and writes them to the store in groups, from a thread of its own.

    Args:
        broker: where the lines are kept.
        keep: how many lines a run keeps (its last ones).
    """

    def __init__(self, broker: RedisBroker, keep: int) -> None:
        self._broker, self._keep = broker, keep
        self._progress = ProgressNotes(broker)
        self._lines: dict[str, list[bytes]] = {}
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, run_id: str, level: str, message: str, created: float) -> None:
        """Keep a line for a run; ``created`` in unix seconds."""
        if not self._keep:
            return
        text = json.dumps([created, level, message[:LONGEST_LINE]]).encode()
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

    def _write_soon(self) -> None:
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="log-shipper", daemon=True)
                    self._thread.start()
        if not self._wake.is_set():
            self._wake.set()

    @property
    def waiting(self) -> bool:
        """Whether there is something that has not been written yet."""
        return bool(self._lines) or bool(self._progress) or self._writing.locked()

    def flush(self, ending: Collection[str] | None = None) -> None:
        """Write what waits, and wait for what another thread is writing.

        Raises BrokerUnavailable; all is kept then. A server that is full, or forbids it, gets no log lines and no
        progress: they are dropped, because the ends of runs are sent after them and must get through.

        Args:
            ending: runs that are about to end; of others, progress may wait for its time. ``None``: nothing may wait.
        """
        with self._writing:
            self._write_lines()
            try:
                self._progress.write(ending)
            except BrokerRefused as error:
                log.warning("the progress of %d runs is lost: %s", self._progress.drop(), error)

    def _write_lines(self) -> None:
        with self._lock:
            lines, self._lines = self._lines, {}
        if not lines:
            return
        try:
            self._broker.add_log_lines(lines, self._keep)
        except BrokerRefused as error:
            log.warning("%d log lines are lost: %s", sum(map(len, lines.values())), error)
        except BaseException:
            self._put_back(lines)
            raise

    def _put_back(self, lines: dict[str, list[bytes]]) -> None:
        with self._lock:
            for run_id, some in lines.items():
                merged = some + self._lines.get(run_id, [])
                self._lines[run_id] = merged[-self._keep :]

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            self._wake.wait()
            self._wake.clear()
            pause.wait(FLUSH_SECONDS)
            try:
                self.flush(())
            except BrokerError:
                self._wake.set()  # kept; tried again
            if self._progress:  # values that were too early
                self._wake.set()

    def read(self, run_id: str) -> list[LogLine]:
        """The kept lines of a run, oldest first. One that cannot be read here says so."""
        self.flush()
        return [_line(run_id, line) for line in self._broker.log_lines(run_id)]

    def newest(self, run_ids: Sequence[str]) -> dict[str, bytes | None]:
        """Of each run, something that changes when it gets a line, in one trip. Raises BrokerError."""
        if self._lines:
            self.flush(())
        return self._broker.newest_log_lines(run_ids)

    def progress_of(self, run_ids: Sequence[str]) -> dict[str, Progress]:
        """What the latest attempts of these runs have said, in one trip. Raises BrokerError."""
        if self._progress:
            self.flush(run_ids)
        return self._progress.read(run_ids) if run_ids else {}


def _line(run_id: str, line: bytes) -> LogLine:
    try:
        created, level, text = json.loads(serializers.disclose(line, lambda: ("log", run_id)))
        return LogLine(datetime.fromtimestamp(created, UTC), level, text)
    except (SerializationError, ValueError, TypeError, OSError) as error:
        return LogLine(datetime.fromtimestamp(0, UTC), "ERROR", f"(this line cannot be read: {error})")
