"""Collects log lines of runs and writes them to the store in groups."""

from __future__ import annotations

import json
import logging
import threading
from datetime import UTC, datetime
from typing import Final, NamedTuple

from brokers.redis.broker import RedisBroker
from orchestrator import serializers
from orchestrator.errors import BrokerError, BrokerRefused, SerializationError

log = logging.getLogger("orchestrator.run_logs")
LONGEST_LINE: Final = 16_384  # characters
FLUSH_SECONDS: Final = 0.5


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
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="log-shipper", daemon=True)
            self._thread.start()
        self._wake.set()

    @property
    def waiting(self) -> bool:
        """Whether there are lines that have not been written yet."""
        return bool(self._lines) or self._writing.locked()

    def flush(self) -> None:
        """Write what waits, and wait for what another thread is writing.

        Raises BrokerUnavailable; the lines are kept then. A server that is full, or forbids it, gets no log lines: they
        are dropped, because the ends of runs are sent after them and must get through.
        """
        with self._writing:
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
                self.flush()
            except BrokerError:
                self._wake.set()  # kept; tried again

    def read(self, run_id: str) -> list[LogLine]:
        """The kept lines of a run, oldest first. One that cannot be read here says so."""
        self.flush()
        return [_line(run_id, line) for line in self._broker.log_lines(run_id)]


def _line(run_id: str, line: bytes) -> LogLine:
    try:
        created, level, text = json.loads(serializers.disclose(line, lambda: ("log", run_id)))
        return LogLine(datetime.fromtimestamp(created, UTC), level, text)
    except (SerializationError, ValueError, TypeError, OSError) as error:
        return LogLine(datetime.fromtimestamp(0, UTC), "ERROR", f"(this line cannot be read: {error})")
