"""Progress artifacts on their way to the store: at most two writes a second of each, and always the last value."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import weakref
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple

from orchestrator.artifacts.writing import packed_changes
from orchestrator.client.fleet import Fleet
from orchestrator.errors import BrokerError, ObjectNotFound

log = logging.getLogger("orchestrator.artifacts")
WRITE_SECONDS: Final = 0.5


class _Waiting(NamedTuple):
    """What is to be written of an artifact."""

    changes: Mapping[str, Any]
    run_ids: frozenset[str]  # when one of them ends, it is written before


class ProgressWrites:
    """The changes of progress artifacts that this process has not written yet.

    The first is written at once, one that comes sooner than half a second after another waits. Whoever writes log
    lines writes these as well: a thread now and then, a worker before it sends the end of a run, everybody at the end
    of the process.

    Args:
        fleet: where they are kept.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = weakref.ref(fleet)
        self._waiting: dict[str, _Waiting] = {}
        self._written: dict[str, float] = {}  # artifact -> monotonic moment of its last write
        self._lock = threading.Lock()
        self._sending = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def note(self, artifact_id: str, changes: Mapping[str, Any], run_ids: frozenset[str]) -> None:
        """Write a change now, or soon if another one was written just before.

        Raises:
            ObjectNotFound: there is no such artifact. BrokerError: the server does not answer, or refuses.
        """
        with self._sending:  # what is sent later is newer
            with self._lock:
                before = self._waiting.pop(artifact_id, None)
                merged = {**before.changes, **changes} if before is not None else dict(changes)
                if not self._is_due(artifact_id):
                    self._waiting[artifact_id] = _Waiting(merged, run_ids)
                    return
                self._written[artifact_id] = time.monotonic()
            if self._send({artifact_id: merged}):
                raise ObjectNotFound(f"there is no artifact {artifact_id}: it was deleted, or has expired with its run")

    def write(self, ending: Collection[str] | None) -> None:
        """Write what is due.

        Args:
            ending: the runs whose last values must be written now; ``None``: all of them.

        Raises:
            BrokerError: nothing was written; all of it is kept unless there is a newer value.
        """
        with self._sending:
            taken = self._take(ending)
            try:
                gone = self._send({artifact_id: waiting.changes for artifact_id, waiting in taken.items()})
            except BaseException:
                self._put_back(taken)
                raise
        for artifact_id in gone:
            log.warning("the progress of artifact %s is lost: it was deleted, or has expired with its run", artifact_id)

    def _take(self, ending: Collection[str] | None) -> dict[str, _Waiting]:
        with self._lock:
            due = [one for one, waiting in self._waiting.items() if self._must_be_written(one, waiting, ending)]
            now = time.monotonic()
            self._written = {one: at for one, at in self._written.items() if now - at < WRITE_SECONDS}
            self._written.update(dict.fromkeys(due, now))
            return {artifact_id: self._waiting.pop(artifact_id) for artifact_id in due}

    def _put_back(self, taken: Mapping[str, _Waiting]) -> None:
        with self._lock:
            for artifact_id, old in taken.items():
                new = self._waiting.get(artifact_id, old)
                self._waiting[artifact_id] = _Waiting({**old.changes, **new.changes}, new.run_ids)

    def drop(self) -> int:
        """Forget what waits; returns how many values."""
        with self._lock:
            count = len(self._waiting)
            self._waiting = {}
        return count

    def _is_due(self, artifact_id: str) -> bool:
        at = self._written.get(artifact_id)
        return at is None or time.monotonic() - at >= WRITE_SECONDS

    def _must_be_written(self, artifact_id: str, waiting: _Waiting, ending: Collection[str] | None) -> bool:
        return ending is None or not waiting.run_ids.isdisjoint(ending) or self._is_due(artifact_id)

    def _send(self, changes: Mapping[str, Mapping[str, Any]]) -> list[str]:
        """Write these; returns those that are not there."""
        fleet = self._fleet()
        if fleet is None or not changes:
            return []
        packed = {artifact_id: packed_changes(artifact_id, some) for artifact_id, some in changes.items()}
        there = fleet.broker.artifacts.change(packed)
        return [artifact_id for artifact_id, found in zip(packed, there, strict=True) if not found]


_writes: weakref.WeakKeyDictionary[Fleet, ProgressWrites] = weakref.WeakKeyDictionary()
_making = threading.Lock()


def writes_of(fleet: Fleet) -> ProgressWrites:
    """Those of a fleet of this process."""
    with _making:
        found = _writes.get(fleet)
        if found is None:
            found = _writes[fleet] = ProgressWrites(fleet)
            fleet.logs.carry(found)
            _write_at_exit(found)
        return found


def write_what_waits(fleet: Fleet) -> None:
    """Before artifacts are read: what this process has noted of them. Raises BrokerError."""
    if writes := _writes.get(fleet):
        writes.write(None)


def _write_at_exit(writes: ProgressWrites) -> None:
    process = os.getpid()

    def write() -> None:
        if os.getpid() == process:  # else it was forked, and the values are the parent's
            with suppress(BrokerError):
                writes.write(None)

    atexit.register(write)


def _forget_after_fork() -> None:
    global _making, _writes
    _making, _writes = threading.Lock(), weakref.WeakKeyDictionary()


os.register_at_fork(after_in_child=_forget_after_fork)
