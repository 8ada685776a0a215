"""Progress on its way to the store and back: the latest value of each run, written now and then."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from orchestrator.errors import BrokerError

if TYPE_CHECKING:
    from brokers.base import Logs

log = logging.getLogger("orchestrator.run_logs")

WRITE_SECONDS: Final = 0.5  # from one value of a run in the store to its next
LONGEST_NOTE: Final = 500  # characters


class Progress(NamedTuple):
    """How far a run has come."""

    done: float
    total: float | None
    note: str | None
    moment: datetime  # when it was reported, UTC

    @property
    def fraction(self) -> float | None:
        """From 0 to 1; ``None`` where the total is not known.

        >>> progress_at(3, 4, None, 0).fraction
        0.75
        """
        return min(1.0, max(0.0, self.done / self.total)) if self.total else None


def progress_at(done: float, total: float | None, note: str | None, seconds: float) -> Progress:
    """A value as of a moment in unix seconds."""
    shown = None if note is None else str(note)[:LONGEST_NOTE]
    return Progress(done, total, shown, datetime.fromtimestamp(seconds, UTC))


class ProgressNotes:
    """The latest values that are not in the store yet. Whoever writes them holds a lock of their own.

    Args:
        store: where they go.
    """

    def __init__(self, store: Logs) -> None:
        self._store = store
        self._latest: dict[str, tuple[str, Progress]] = {}  # run -> ticket of the attempt, value
        self._written: dict[str, float] = {}  # run -> monotonic moment of its last write
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._latest)

    def note(self, run_id: str, ticket: str, progress: Progress) -> None:
        """This attempt has come so far."""
        with self._lock:
            self._latest[run_id] = ticket, progress

    def write(self, ending: Collection[str] | None) -> None:
        """Write what is due.

        Args:
            ending: the runs whose last value must be written now; ``None``: of every run.

        Raises:
            BrokerError: nothing was written; all of it is kept unless there is a newer value, or the server refuses.
        """
        now = time.monotonic()
        with self._lock:
            taken = {run_id: self._latest.pop(run_id) for run_id in list(self._latest) if self._is_due(run_id, ending)}
            self._written = {run_id: at for run_id, at in self._written.items() if now - at < WRITE_SECONDS}
        if not taken:
            return
        try:
            self._store.note_progress([_packed(run_id, *value) for run_id, value in taken.items()])
        except Exception as error:
            if not isinstance(error, BrokerError | TimeoutError):  # it would fail again, and whatever comes after it
                log.exception("the progress of %d runs is lost", len(taken))
                return
            self._put_back(taken)
            raise
        except BaseException:
            self._put_back(taken)
            raise
        with self._lock:
            self._written.update(dict.fromkeys(taken, now))

    def _put_back(self, taken: dict[str, tuple[str, Progress]]) -> None:
        with self._lock:
            self._latest = {**taken, **self._latest}

    def _is_due(self, run_id: str, ending: Collection[str] | None) -> bool:
        at = self._written.get(run_id)
        return ending is None or run_id in ending or at is None or time.monotonic() - at >= WRITE_SECONDS

    def drop(self) -> int:
        """Forget what waits; returns how many values."""
        with self._lock:
            count = len(self._latest)
            self._latest = {}
        return count

    def read(self, run_ids: Sequence[str]) -> dict[str, Progress]:
        """The progress of the latest attempts of these runs."""
        stored = self._store.read_progress(run_ids)
        found = {run_id: _read(run_id, *pair) for run_id, pair in zip(run_ids, stored, strict=True) if pair}
        return {run_id: progress for run_id, progress in found.items() if progress is not None}


def _packed(run_id: str, ticket: str, progress: Progress) -> tuple[str, str, bytes]:
    import msgpack

    from orchestrator import serializers

    done, total, note, moment = progress
    value = msgpack.packb((done, total, note, moment.timestamp()))
    return run_id, ticket, serializers.enclose(value, lambda: ("progress", run_id, ticket))


def _read(run_id: str, ticket: str, stored: bytes) -> Progress | None:
    import msgpack

    from orchestrator import serializers

    try:
        value = serializers.disclose(stored, lambda: ("progress", run_id, ticket))
        done, total, note, seconds = msgpack.unpackb(value)
        return progress_at(done + 0, None if total is None else total + 0, note, seconds)
    except Exception:  # not ours, damaged, or for want of a key: as if nothing had been reported
        return None
