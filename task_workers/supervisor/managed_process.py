"""A process that runs calls, as those who look after it see it: a child of ours, or one of a Celery pool."""

from __future__ import annotations

import enum
from collections.abc import Set
from typing import Protocol

from brokers.messages import KillVerdict
from orchestrator.observability.metrics.cells import CellReader
from task_workers.supervisor.slot_table import TableReader


class ChildPhase(enum.IntEnum):
    """How far a child has come in its life; it only ever goes forward."""

    STARTING = 1  # it imports the app
    READY = 2  # it takes calls
    ENDING = 3  # it ends by itself: it was asked to, or announced it; exit status 0 is as it should be
    FINISHED = 4  # it has reported that nothing runs in it any more, or that it could not begin
    CONDEMNED = 5  # we kill it: its calls are not charged for that


def died_unexpectedly(phase: ChildPhase, exit_code: int | None) -> bool:
    """Whether a death was neither our doing nor announced, so that the calls that ran are charged for it.

    >>> died_unexpectedly(ChildPhase.READY, 0), died_unexpectedly(ChildPhase.ENDING, 0)
    (True, False)
    >>> died_unexpectedly(ChildPhase.ENDING, -11), died_unexpectedly(ChildPhase.CONDEMNED, -9)
    (True, False)
    """
    return phase < ChildPhase.ENDING or (phase is ChildPhase.ENDING and bool(exit_code))


class ManagedProcess(Protocol):
    """What crash recovery and the killer need to know of a process."""

    number: int
    consumer: str
    verdicts: dict[str, KillVerdict]

    @property
    def pid(self) -> int:
        """Its process id."""

    @property
    def table(self) -> TableReader:
        """What it runs."""

    @property
    def killed_because(self) -> str | None:
        """Why we kill it; ``None``: we do not."""

    def condemn(self, because: str, verdicts: dict[str, KillVerdict]) -> None:
        """It will be killed: from now on its death is our doing, so that none of its calls is charged for it.

        ``verdicts``: what becomes of the calls that are the reason; the others are given to other workers.
        """

    def kill(self, because: str) -> None:
        """SIGKILL; what ran in it goes to other workers, uncharged but for verdicts."""

    def last_stacks(self, threads: Set[int]) -> dict[int, str]:
        """The Python stacks of its threads now, as text by thread; these at least."""

    def how_it_ended(self) -> str:
        """For people: what became of the process."""

    def close(self) -> None:
        """Give back what the dead process leaves."""


class ManagedChild(ManagedProcess, Protocol):
    """What the supervisor needs to know of a child of its own."""

    phase: ChildPhase
    ready_at: float | None
    cells: CellReader | None  # what it has counted, if that is wanted

    @property
    def exit_code(self) -> int | None:
        """Its exit status; ``None`` while it lives; below zero: the signal that ended it."""

    @property
    def ended(self) -> bool:
        """Whether the process is known to be gone."""

    def advance(self, phase: ChildPhase) -> None:
        """It has come so far; a phase that is behind it changes nothing."""

    def introduce(self, tasks: list[str], scripts: list[str], parameters: str) -> None:
        """It is ready, and these are its tasks."""

    def drain(self, grace_seconds: float | None) -> None:
        """Take no more calls, finish those that run (``None``: however long they take), and exit."""

    def pause(self, paused: bool) -> None:
        """Take no new calls until resumed."""

    def facts(self, name: str, inbox: str, paused: bool) -> dict[str, str]:
        """The description of its consumer, with the inbox of its worker; nothing before it knows its tasks."""
