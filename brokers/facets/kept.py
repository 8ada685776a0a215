"""What is kept beside runs: the journal, cached results, log lines, undo logs, figures, the server's health."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from brokers.records import BEGINNING, Change, ConsumerFigures, QueueFigures


class Journal(Protocol):
    """What changed, in order: lists of runs and histories are made from it."""

    def newest(self) -> str:
        """The position after everything that has been written until now."""

    def after(self, position: str = BEGINNING, count: int = 1000) -> tuple[str, list[Change]]:
        """The changes after a position, oldest first, of at most ``count`` entries; and the position to go on from.

        Raises:
            BrokerError: the server does not answer.
        """

    def forwards(self, position: str = BEGINNING, count: int = 1000) -> list[tuple[str, list[Change]]]:
        """At most ``count`` entries after a position, the oldest first: position and changes of each."""

    def backwards(self, first: str = "+", count: int = 100) -> list[tuple[str, list[Change]]]:
        """At most ``count`` entries, the newest first: position and changes of each.

        Args:
            first: position of the first one, itself included; ``(`` in front of it: not included.
            count: how many at most; fewer come at the journal's beginning only.
        """


class Cache(Protocol):
    """Results by key, and who computes a key."""

    def get(self, key: str) -> bytes | None:
        """A cached result."""

    def put(self, key: str, value: bytes, ttl_seconds: float) -> None:
        """Keep a result under a cache key."""

    def lock(self, key: str, run_id: str, ttl_seconds: float) -> str:
        """Try to be the one run that computes a key; returns the run id of the one that is."""

    def unlock(self, key: str, holder: str) -> None:
        """Let others compute a key, if this is still the one that does."""


class Logs(Protocol):
    """What runs say while they run: log lines and progress."""

    def append(self, lines: Mapping[str, Sequence[bytes]], keep: int) -> None:
        """Append log lines to runs; each run keeps its last ``keep``."""

    def read(self, run_id: str) -> list[bytes]:
        """The kept log lines of a run, oldest first."""

    def newest(self, run_ids: Sequence[str]) -> dict[str, bytes | None]:
        """The newest kept log line of each run."""

    def note_progress(self, notes: Sequence[tuple[str, str, bytes]]) -> None:
        """Record (run, ticket, value): how far attempts have come. Reports of an attempt that is over are ignored."""

    def read_progress(self, run_ids: Sequence[str]) -> list[tuple[str, bytes] | None]:
        """Of each run, the ticket and the report of its latest attempt; ``None`` where there is no report."""


class UndoLogs(Protocol):
    """What has to be undone if the process of a run dies. A run that ends, or is replayed, while it has one is noted
    for :meth:`Deliveries.killed`, or for its next delivery, which counts as one that was taken over."""

    def write(self, run_id: str, ticket: str, stay: int, entries: Sequence[bytes], ttl_seconds: float) -> bool:
        """Let the first entries of a run stay, and put others behind them.

        Args:
            run_id: whose.
            ticket: of the writer's delivery; empty: whoever writes.
            stay: how many stay; with no entries, 0 deletes it.
            entries: what follows.
            ttl_seconds: how long it is kept from now on.

        Returns:
            Whether it was written; not if another delivery has the run by now.
        """

    def read(self, run_id: str) -> list[bytes]:
        """Its entries, the oldest first."""


class Figures(Protocol):
    """How full, how many: what people and metrics look at."""

    def queues(self, further: Sequence[str] = ()) -> list[QueueFigures]:
        """Of every queue that has been used, is paused, or is named here; by name."""

    def consumers(self, lease_seconds: float) -> list[ConsumerFigures]:
        """Of every consumer with a beat within the lease, by the time of its last beat."""

    def ended(self) -> dict[tuple[str, bytes], int]:
        """How many runs have ended so far: (task, status) -> number."""

    def submitted(self) -> dict[tuple[str, str], int]:
        """How many calls were ever accepted, by task and queue."""


class Health(Protocol):
    """Whether the server is there, and fit to keep calls."""

    def ping(self) -> None:
        """Ask the server for an answer. Raises BrokerError."""

    def is_reachable(self) -> bool:
        """Whether the server answers now."""

    def facts(self) -> dict[str, str]:
        """What the server says of its memory and persistence, by the names of ``INFO``. Raises BrokerError."""

    def warnings(self) -> list[str]:
        """What an operator should mend about the server, one sentence each; empty when all is well.

        Raises:
            BrokerError: it does not answer.
        """
