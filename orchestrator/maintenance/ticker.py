"""Fires schedules that are due. Any number of them may run, and none leads: whoever comes first fires a tick, once."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import orchestrator.deployments.tick_calls  # noqa: F401  # also in workers that know no flow
from brokers.facets.schedules import DueSchedules, Outcome, Tick, Ticked
from orchestrator.client.fleet import Fleet
from orchestrator.errors import BrokerError
from orchestrator.maintenance.chore import Chore
from orchestrator.schedules.effort import TooMuchWork
from orchestrator.scheduling import edit
from orchestrator.scheduling.calls import calls_for
from orchestrator.scheduling.lookup import named
from orchestrator.scheduling.planning import decision_for, runs_of, tick_of
from orchestrator.scheduling.record import ScheduleRecord, moment_of, record_of

log = logging.getLogger("orchestrator.schedules")

LONGEST_SLEEP_SECONDS: Final = 0.2  # a schedule may be written anywhere at any time
SHORTEST_SLEEP_SECONDS: Final = 0.005
READ_AT_ONCE: Final = 1_000
SCHEDULES_PER_SCRIPT: Final = 100
RUNS_PER_SCRIPT: Final = 200  # a script blocks the server: about 4 ms for so many
LEFT_ALONE_SECONDS: Final = 30.0
SERVED_WITHIN_SECONDS: Final = 15.0  # whoever serves a deployment says so every 5 s


class _LeftAlone(NamedTuple):
    """A schedule that cannot be fired here."""

    due_ms: int
    until: float  # by the monotonic clock: then it is looked at again


class Ticker(Chore):
    """Reads what is due by the server's clock, decides, and has the store move on and write the runs in one script.

    A schedule that cannot be evaluated here, because it is damaged or was written by a newer version, is left alone:
    its tick does not move, others are fired, and the log has its reason once.

    Args:
        fleet: where the schedules are.
    """

    name = "ticker"

    def __init__(self, fleet: Fleet) -> None:
        super().__init__()
        self._fleet = fleet
        self._left_alone: dict[str, _LeftAlone] = {}
        self._came_too_late: dict[str, tuple[int, int]] = {}  # due and generation of these schedules, as they were read
        self._reported: set[tuple[str, str]] = set()
        self._names: dict[str, str] = {}  # of deployments, by owner

    def run_once(self) -> float:
        found = self._fleet.broker.ticks.due(READ_AT_ONCE + len(self._left_alone))
        wanted = self._wanted(found.due)
        for first in range(0, len(wanted), SCHEDULES_PER_SCRIPT):
            self._fire(wanted[first : first + SCHEDULES_PER_SCRIPT], found)
        if wanted:
            return 0.0
        if found.next_ms is None:
            return LONGEST_SLEEP_SECONDS
        seconds = max((found.next_ms - found.now_ms) / 1000, SHORTEST_SLEEP_SECONDS)
        return min(seconds, LONGEST_SLEEP_SECONDS)

    def _wanted(self, due: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
        """Those that are not left alone, from somewhere in the middle: others begin elsewhere."""
        now = time.monotonic()
        there = dict(due)
        self._left_alone = {
            one: left for one, left in self._left_alone.items() if there.get(one) == left.due_ms and now < left.until
        }
        self._came_too_late = {one: read for one, read in self._came_too_late.items() if one in there}
        wanted = [pair for pair in due if pair[0] not in self._left_alone]
        if len(wanted) <= SCHEDULES_PER_SCRIPT:
            return wanted
        start = random.randrange(0, len(wanted), SCHEDULES_PER_SCRIPT)
        return wanted[start:] + wanted[:start]

    def _fire(self, some: Sequence[tuple[str, int]], found: DueSchedules) -> None:
        stored = self._fleet.broker.schedules.read([schedule_id for schedule_id, _ in some])
        records = {one.id: one for one in map(record_of, stored) if one is not None}
        planned = (
            tick
            for schedule_id, due_ms in some
            if (tick := self._planned(records.get(schedule_id), schedule_id, due_ms, found)) is not None
        )
        for ticks in _portions(planned):
            replies = self._fleet.broker.ticks.tick(ticks, SERVED_WITHIN_SECONDS)
            for tick, reply in zip(ticks, replies, strict=True):
                self._report(records[tick.schedule_id], tick, reply)

    def _planned(
        self, record: ScheduleRecord | None, schedule_id: str, due_ms: int, found: DueSchedules
    ) -> Tick | None:
        try:
            if record is None or not record.owner:
                raise ValueError("its record is damaged or gone")
            if not record.active:
                raise ValueError("it is paused, and should not be due: resume it, or delete it")
            decision = decision_for(record, due_ms, found.now_ms, found.back_ms)
            calls = calls_for(self._fleet, record, runs_of(record, decision))
            return tick_of(record, due_ms, decision, calls)
        except TooMuchWork as error:
            edit.pause(self._fleet, schedule_id, str(error), who="ticker")
            log.warning("schedule %s is paused: %s", schedule_id, error)
        except BrokerError:
            raise
        except Exception as error:  # whatever is the matter with it: the others are fired
            self._leave_alone(schedule_id, due_ms, str(error) or type(error).__name__)
        return None

    def _note_too_late(self, tick: Tick) -> None:
        """Somebody else was quicker, so that it is due at another moment; if it is not, its record is damaged."""
        read = (tick.due_ms, tick.generation)
        if self._came_too_late.get(tick.schedule_id) == read:
            self._leave_alone(tick.schedule_id, tick.due_ms, "its record is damaged: generation or next tick")
        self._came_too_late[tick.schedule_id] = read

    def _leave_alone(self, schedule_id: str, due_ms: int, reason: str) -> None:
        self._left_alone[schedule_id] = _LeftAlone(due_ms, time.monotonic() + LEFT_ALONE_SECONDS)
        if (schedule_id, reason) not in self._reported:
            self._reported.add((schedule_id, reason))
            log.warning("schedule %s cannot be fired here and is left alone: %s", schedule_id, reason)

    def _report(self, record: ScheduleRecord, tick: Tick, reply: Ticked) -> None:
        if reply.what == Outcome.REFUSED:
            return self._leave_alone(record.id, tick.due_ms, reply.reason)
        if reply.what == Outcome.MOVED:
            return self._note_too_late(tick)
        if reply.what != Outcome.FIRED:
            return
        if tick.missed:
            log.warning("schedule %s: %d ticks were missed", self._shown(record), tick.missed)
        if not log.isEnabledFor(logging.INFO):
            return
        for tick_ms, run_id, how in reply.runs:
            if how == "F":
                log.info("schedule %s: run %s for %s", self._shown(record), run_id, moment_of(tick_ms).isoformat())
            elif how == "S":
                log.info("schedule %s: no run for %s: another one is not over, or it has had its runs",
                         self._shown(record), moment_of(tick_ms).isoformat())  # fmt: skip

    def _shown(self, record: ScheduleRecord) -> str:
        """A schedule by its name and id. The name of a deployment never changes, and is read once."""
        name = record.owner.removeprefix("t:")
        if record.is_of_deployment:
            name = self._names.get(record.owner) or named(self._fleet, [record])[0].name
            self._names[record.owner] = name
        return f"{name} ({record.id})"


def _portions(ticks: Iterator[Tick]) -> Iterator[list[Tick]]:
    portion: list[Tick] = []
    runs = 0
    for tick in ticks:
        if portion and runs + len(tick.runs) > RUNS_PER_SCRIPT:
            yield portion
            portion, runs = [], 0
        portion.append(tick)
        runs += len(tick.runs)
    if portion:
        yield portion
