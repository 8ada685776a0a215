"""Schedules that are due every second while everything breaks: each of their ticks is to have one run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import count
from typing import Final, NamedTuple

from brokers.messages import FINAL_STATUSES, Record, Status
from chaos import tasks
from chaos.tasks import insist
from orchestrator.client.fleet import Fleet
from orchestrator.runs.run_ids import tick_run_id
from orchestrator.schedules import Cron, Schedule
from orchestrator.schedules.spec import schedule_id
from orchestrator.scheduling import edit
from orchestrator.scheduling.calls import task_template
from orchestrator.scheduling.record import moment_of
from orchestrator.submission.call_options import NO_OPTIONS

CATCHUPS: Final = ("all", "all", "latest")
"""One schedule each: of all ticks, or of all but those that it counts as missed."""
SECOND: Final = 1000
TASK: Final = "chaos.tasks.tick"


class Found(NamedTuple):
    """What the store says of a schedule in the end."""

    schedule_id: str
    fired: list[int]
    counted: int
    missed: int


class Ticks:
    """Makes the schedules, deploys them again and again, waits for their end and judges them.

    Args:
        fleet: where they are.
        seconds: how long they are due.
    """

    def __init__(self, fleet: Fleet, seconds: float) -> None:
        self._fleet = fleet
        begun = insist(fleet.broker.ticks.now_ms)
        end = begun // SECOND * SECOND + round(seconds) * SECOND + SECOND // 2  # between two ticks
        self._possible = range(next_second(begun), end, SECOND)
        self._schedules = [Cron("* * * * * *", catchup=catchup, until=moment_of(end)) for catchup in CATCHUPS]
        self._numbers = count()
        self.deployed = 0
        self.deploy()
        self._certain = range(next_second(insist(fleet.broker.ticks.now_ms)), end, SECOND)
        self.found: list[Found] = []
        self.run_ids: set[str] = set()

    def _owned(self) -> Iterator[tuple[str, str, Schedule]]:
        for number, schedule in enumerate(self._schedules):
            owner = f"t:chaos-{number}"
            yield owner, schedule_id(owner, schedule), schedule

    def deploy(self) -> None:
        """Write them all, each time with other arguments: whoever fires a tick at that moment has read old ones."""
        for owner, the_id, schedule in self._owned():
            template, route = task_template(self._fleet, tasks.tick, the_id, (next(self._numbers),), {}, NO_OPTIONS)
            insist(partial(edit.apply, self._fleet, owner, schedule, template, route))
            self.deployed += 1

    def wait(self, seconds: float) -> None:
        """Until all are over, and so are their runs; then forget them, which leaves nothing behind."""
        deadline = time.monotonic() + seconds
        ids = [the_id for _, the_id, _ in self._owned()]
        wait_for(lambda: all(one and one.due_ms is None for one in edit.read(self._fleet, ids)), deadline)
        self.found = [insist(partial(self._look, the_id)) for the_id in ids]
        self.run_ids = {tick_run_id(one.schedule_id, tick) for one in self.found for tick in one.fired}
        wait_for(self._runs_are_over, deadline)
        insist(lambda: edit.delete(self._fleet, ids))

    def _look(self, the_id: str) -> Found:
        (record,) = edit.read(self._fleet, [the_id])
        assert record is not None
        fired = self._fleet.broker.ticks.fired(the_id, 0, self._possible.stop)
        return Found(the_id, fired, record.fired, record.missed)

    def _runs_are_over(self) -> bool:
        found = self._fleet.broker.records.read(sorted(self.run_ids))
        return all(record.status in FINAL_STATUSES for record in found)

    # -- the judgement -------------------------------------------------------------------------------------------

    def violations(self, records: Mapping[str, Record]) -> dict[str, list[str]]:
        """What is wrong, by kind."""
        found: dict[str, list[str]] = {"ticks lost": [], "ticks without a run": [], "runs without a tick": []}
        for one, schedule in zip(self.found, self._schedules, strict=True):
            found["ticks lost"] += lost(one, schedule.catchup, self._certain, self._possible)
            for tick in one.fired:
                record = records.get(tick_run_id(one.schedule_id, tick))
                if record is None or record.status != Status.COMPLETED:
                    found["ticks without a run"].append(f"{one.schedule_id} {moment_of(tick)}: {record}")
        found["runs without a tick"] = [str(record) for record in self._beyond(records.values())]
        return found

    def _beyond(self, records: Iterable[Record]) -> Iterator[Record]:
        return (record for record in records if record.task == TASK and record.run_id not in self.run_ids)


def lost(one: Found, catchup: str, certain: range, possible: range) -> list[str]:
    """Ticks that have neither a run nor are counted as missed, and counts that are not those of the ticks.

    Args:
        one: what the store says.
        catchup: of the schedule; with ``all`` no tick may be missed.
        certain: the ticks that were due after the schedule was written.
        possible: and those that were due while it was.
    """
    fired, found = set(one.fired), []
    if strange := sorted(fired - set(possible)):
        found.append(f"it fired when it was not due: {strange}")
    if one.counted != len(one.fired):
        found.append(f"it counts {one.counted} runs for {len(one.fired)} ticks")
    missed = 0 if catchup == "all" else one.missed
    if not len(certain) <= len(fired) + missed <= len(possible):
        gone = sorted(set(certain) - fired)
        found.append(f"{len(fired)} runs and {one.missed} missed of {len(certain)} ticks; none at {gone[:5]}")
    return [f"{one.schedule_id} ({catchup}): {text}" for text in found]


def next_second(moment_ms: int) -> int:
    """The first full second after a moment.

    >>> next_second(999), next_second(1000)
    (1000, 2000)
    """
    return moment_ms // SECOND * SECOND + SECOND


def wait_for(condition: Callable[[], bool], deadline: float) -> None:
    """Until it is so, or the time is over: then the judgement says what is not as it should be."""
    while not insist(condition) and time.monotonic() < deadline:
        time.sleep(0.1)
