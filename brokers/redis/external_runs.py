"""Runs that a foreign Celery application does: recorded here, sent by its own broker, ended by the first report.

Such a run has a record like any other, so handles, waiting and dependants work as they do; but no worker of ours claims
it, and it has no ticket. Its end counts if it is the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from brokers.records import ExternalNote, ExternalRun, in_portions

from .store import RedisStore

PATIENCE_SECONDS: Final = 10.0  # a send takes two at most


class RedisExternalRuns:
    """See :class:`brokers.base.ExternalRuns`."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    def begin(self, runs: Sequence[ExternalRun], forget_after_seconds: float) -> None:
        for some in in_portions(runs):
            self._store.run("away_begin", [int(forget_after_seconds * 1000), int(PATIENCE_SECONDS * 1000), some])

    def sent(self, run_ids: Sequence[str]) -> None:
        for some in in_portions(run_ids):
            self._store.run("away_sent", some)

    def withdraw(self, run_ids: Sequence[str]) -> None:
        for some in in_portions(run_ids):
            self._store.run("withdraw", [(run_id, False) for run_id in some])

    def note(self, notes: Sequence[ExternalNote]) -> list[str]:
        passed_over: list[str] = []
        for some in in_portions(notes):
            passed_over += [run_id.decode() for run_id in self._store.run("away_note", some)]
        return passed_over
