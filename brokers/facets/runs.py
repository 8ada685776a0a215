"""Runs and their records: what is sent, what is known of it, what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from brokers.messages import Envelope, Record
from brokers.records import ExternalNote, ExternalRun, Place, Row, Standing


class Runs(Protocol):
    """Calls on their way: queued, cancelled, queued again, forgotten."""

    @property
    def keeps_blocks(self) -> bool:
        """Whether calls with ids of :mod:`brokers.block_ids` are kept together; others are kept one by one."""

    def submit(self, envelopes: Sequence[Envelope]) -> Sequence[str]:
        """Write records and queue entries; returns the run ids (another one where an idempotency key was known).

        Raises:
            BrokerError: with the run ids of those that are queued all the same, and of those that may be.
        """

    def cancel(
        self, run_ids: Sequence[str], reason: str = "cancelled before it started", *, only_waiting: bool = False
    ) -> list[bytes]:
        """Cancel; returns the status each run had before.

        Args:
            run_ids: which.
            reason: for people.
            only_waiting: leave those alone that somebody has taken or that have been tried before; of them
                ``Status.RUNNING`` is returned, whichever they had.
        """

    def replay(self, run_ids: Sequence[str]) -> list[str]:
        """Queue ended runs again under their ids; returns those that were queued."""

    def run_now(self, run_ids: Sequence[str]) -> list[str]:
        """Queue runs at once that wait for a moment; returns those that did."""

    def delete(self, run_ids: Sequence[str]) -> list[str]:
        """Forget ended runs with their logs; returns those that were deleted."""

    def move_due(self, limit: int = 200) -> float | None:
        """Queue what is due; returns seconds until the next delayed run is due, ``None`` if there is none."""


class Records(Protocol):
    """What is known of runs."""

    def read(self, run_ids: Sequence[str]) -> list[Record]:
        """What is known of these runs, in order; unknown ones have ``Status.UNKNOWN``."""

    def rows(self, run_ids: Sequence[str], largest_outcome: int = 0) -> list[Row]:
        """The records of runs, in order, as a list shows them.

        Args:
            run_ids: which.
            largest_outcome: bytes; outcomes up to this size are given along.
        """

    def standings(self, run_ids: Sequence[str]) -> list[Standing]:
        """Where the calls of these runs stand, in order; a worker that has one may not have begun it."""

    def bodies(self, run_ids: Sequence[str]) -> list[tuple[bytes | None, bytes | None]]:
        """Packed arguments and meta of each run, ``None`` where they are not kept (any more)."""

    def upstreams(self, run_ids: Sequence[str]) -> list[bytes | None]:
        """Of each run, the packed list of the runs whose results its arguments refer to, if there are any."""

    def delayed(self, first: int, limit: int) -> tuple[int, list[str]]:
        """How many runs wait for a moment, and the ids of some of them: from place ``first`` on, the next due first."""

    def places(self, run_ids: Sequence[str]) -> list[Place | None]:
        """Of each run, what its named limit says; ``None`` for one without a limit."""

    def holder(self, row: Row) -> str | None:
        """The consumer that has claimed a run and not ended it; ``None``: it waits, or has ended."""


class DeadLetters(Protocol):
    """Runs that were given up, kept to be looked at and replayed."""

    def newest(self, count: int = 100) -> list[str]:
        """Run ids of the dead letters, newest first."""

    def count(self) -> int:
        """How many there are."""

    def forget(self, run_ids: Sequence[str]) -> int:
        """Take runs off the list of dead letters; their records and logs are deleted. Returns how many were on it.

        A run that was replayed meanwhile is not on the list any more, and keeps its record.
        """


class ExternalRuns(Protocol):
    """Runs that a foreign Celery application does."""

    def begin(self, runs: Sequence[ExternalRun], forget_after_seconds: float) -> None:
        """Write down runs before they are sent. Their sender confirms with :meth:`sent`, or withdraws them.

        Args:
            runs: which.
            forget_after_seconds: how long a run that never ends is kept.
        """

    def sent(self, run_ids: Sequence[str]) -> None:
        """Their messages have arrived. A run that nobody confirms is Crashed after :data:`PATIENCE_SECONDS`."""

    def withdraw(self, run_ids: Sequence[str]) -> None:
        """Forget runs that could not be sent."""

    def note(self, notes: Sequence[ExternalNote]) -> list[str]:
        """Note what has become of runs; returns those that were passed over: ended, unknown, or of another kind."""


class FlowRunName(NamedTuple):
    """What a flow run is a run of; the name of its flow is empty where it is not known."""

    flow: str = ""
    parent: str | None = None  # flow run that it is a part of
    deployment: str | None = None  # id


class FlowRuns(Protocol):
    """Records of flow runs, and which of them go on."""

    def write(self, flow_run_id: str, fields: Mapping[str, str | bytes]) -> None:
        """Note something about a flow run."""

    def note(self, notes: Sequence[tuple[str, Mapping[str, str | bytes], bool]], only_new: bool = False) -> None:
        """Note (flow run, fields, whether it goes on), in order. One that goes on has to be beaten for.

        ``only_new``: of those of which nothing is known yet.
        """

    def beat(self, flow_run_ids: Sequence[str], lease_seconds: float) -> tuple[list[str], list[str]]:
        """Say that these flow runs go on.

        Returns:
            Those of them that the store does not know to go on, and those of anybody, a hundred at most, that were not
            with no beat for longer than the lease.
        """

    def end_silent(self, flow_run_id: str, lease_seconds: float, fields: Mapping[str, str | bytes]) -> bool:
        """Record how a flow run ended, unless it has a beat within the lease; whether it was recorded."""

    def read(self, flow_run_id: str) -> dict[str, bytes]:
        """What is known of a flow run; empty: nothing."""

    def read_many(self, flow_run_ids: Sequence[str], names: Sequence[str] = ()) -> list[dict[str, bytes]]:
        """What is known of each of these flow runs, in order; of these fields where some are named."""

    def listed(self, deployment_id: str | None = None, first: int = 0, limit: int = 200) -> tuple[int, list[str]]:
        """How many runs of deployments, or of one, are kept, and some ids: the last to begin first, from a place on."""

    def names(self, flow_run_ids: Sequence[str]) -> list[FlowRunName]:
        """What each of these flow runs is a run of."""
