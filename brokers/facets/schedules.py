"""Schedules: what is due when, and the runs that are made of it, one for each tick."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from brokers.messages import Envelope

NEVER: Final = -1
"""A schedule that is not due again."""
AS_IT_WAS: Final = -2
"""A schedule is due when it was due before."""


class StoredSchedule(NamedTuple):
    """A schedule as it is kept; the fields are those of :class:`brokers.schema.ScheduleField`."""

    id: str
    due_ms: int | None  # by the server's clock; None: never
    fields: dict[str, bytes]


class DueSchedules(NamedTuple):
    """What is due now. Moments are milliseconds by the server's clock."""

    now_ms: int
    back_ms: int  # when somebody began to look again after nobody had: what was due until then was missed
    next_ms: int | None  # when another one is due
    due: list[tuple[str, int]]  # schedule, and the tick at which it stands


class PlannedRun(NamedTuple):
    """The run of a tick, as whoever fires it has decided."""

    tick_ms: int
    not_before_ms: int
    call: Envelope


class Tick(NamedTuple):
    """A schedule that is due, as it was read, and what is to be done."""

    schedule_id: str
    due_ms: int  # the tick at which it stood
    generation: int
    next_ms: int  # or NEVER
    missed: int  # ticks that get no run though they were due
    most_runs: int  # after which it is over; 0: any number
    overlap: str  # allow, skip, buffer-one, replace-waiting or cancel-running
    skipped: bytes  # packed list of the ticks that people took out and that are still to come; empty: none
    runs: Sequence[PlannedRun]


class Outcome:
    """What became of a schedule that was due."""

    FIRED: Final = "F"  # it has moved on, and its runs are there
    MOVED: Final = "M"  # somebody else was first, or it was changed
    HELD: Final = "H"  # nobody serves its deployment: to be made up for when somebody does
    PAUSED: Final = "P"  # its deployment is paused
    REFUSED: Final = "E"  # it cannot be fired


class Ticked(NamedTuple):
    """What became of a schedule that was due, and of its ticks.

    ``runs`` are (tick ms, run id, how): how is ``F``: there is a run, ``K``: there was one already, ``S``: none, since
    another one is not over.
    """

    what: str  # of Outcome
    runs: list[tuple[int, str, str]]
    reason: str = ""  # why it cannot be fired


class Schedules(Protocol):
    """Schedules by their ids; they never expire."""

    def write(
        self,
        schedule_id: str,
        fields: Mapping[str, str | bytes],
        *,
        due_ms: int = AS_IT_WAS,
        drop: Sequence[str] = (),
        expected: int | None = None,
        only_new: bool = False,
        who: str = "",
        what: str = "changed",
    ) -> int:
        """Write fields of a schedule and when it is due, in one step; returns its new generation.

        Args:
            schedule_id: which.
            fields: what is written, the others stay. A new one needs an owner.
            due_ms: its next tick by the server's clock, :data:`NEVER` or :data:`AS_IT_WAS`.
            drop: fields that are removed.
            expected: the generation that the writer has read; ``None``: whatever it is.
            only_new: refuse to change one that is there.
            who, what: for the audit.

        Raises:
            BrokerConflict: it has another generation, or is there and must not be.
        """

    def read(self, schedule_ids: Sequence[str]) -> list[StoredSchedule | None]:
        """Schedules by their ids; ``None`` where there is none."""

    def of(self, owner: str) -> list[str]:
        """The ids of the schedules of an owner: ``d:<deployment>`` or ``t:<name>``."""

    def newest(self, first: int = 0, limit: int = 200) -> tuple[int, list[str]]:
        """How many there are, and some of their ids, what was written last first."""

    def delete(self, schedule_ids: Sequence[str], who: str = "") -> int:
        """Forget schedules, their runs stay; returns how many there were."""


class Ticks(Protocol):
    """The moments at which schedules are due, and the runs that are made then."""

    def now_ms(self) -> int:
        """The moment by the server's clock."""

    def due(self, most: int = 1000) -> DueSchedules:
        """What is due now. Asking also notes that somebody looks."""

    def tick(self, ticks: Sequence[Tick], silent_seconds: float) -> list[Ticked]:
        """Fire schedules that are due: each moves on and gets its runs in one step, or nothing happens to it.

        Args:
            ticks: as they were read and decided.
            silent_seconds: a deployment that is served by processes is not fired when none has polled for so long.
        """

    def fired(self, schedule_id: str, first_ms: int, last_ms: int) -> list[int]:
        """The ticks of a time that have had a run; the newest 10,000 are known."""

    def note_fired(self, schedule_id: str, ticks_ms: Sequence[int]) -> None:
        """These ticks have a run, made by somebody else than :meth:`tick`: they are passed over."""

    def release(self, owner: str) -> int:
        """Somebody serves a deployment again: what was held meanwhile is due now. Returns how many schedules were."""
