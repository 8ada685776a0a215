"""Schedules of deployments and of tasks: lists with their next ticks, and what people do to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from orchestrator.client.fleet import Fleet
from orchestrator.deployments.lookup import read_deployments
from orchestrator.deployments.schedules import parameters_of
from orchestrator.schedules import Schedule
from orchestrator.schedules.effort import limited
from orchestrator.scheduling import by_hand, edit
from orchestrator.scheduling.record import ScheduleRecord, moment_of, ms_of
from orchestrator.server.definition_views import SchedulePage, ScheduleView, TickView
from orchestrator.server.queries.context import QueryContext, page_size
from orchestrator.server.queries.runs import PAGE

NEXT_TICKS: Final = 5  # of each schedule in a list
MAX_TICKS: Final = 1000
MAX_LOOKED_AT: Final = 10_000  # for somebody who sees a part of them
SECONDS_PER_LIST: Final = 0.25  # of work, for the ticks of one schedule


class ScheduleQueries:
    """The schedules of the fleet. Changes raise ReadOnly on a server that refuses actions."""

    def __init__(self, context: QueryContext) -> None:
        self._context = context

    def newest(self, first: int = 0, limit: int = PAGE) -> SchedulePage:
        """A page of all, what was written last first."""
        if self._context.reach is not None:
            every = self._seen(edit.newest(self._context.fleet, 0, MAX_LOOKED_AT)[1])
            return SchedulePage(self._views(every[first : first + page_size(limit)]), len(every))
        total, records = edit.newest(self._context.fleet, first, page_size(limit))
        return SchedulePage(self._views(records), total)

    def of(self, owner: str, ticks: int = NEXT_TICKS) -> list[ScheduleView]:
        """Those of ``d:<deployment id>`` or ``t:<name>``."""
        return self._views(self._seen(edit.of_owner(self._context.fleet, owner)), ticks)

    def of_deployments(self, names: Mapping[str, str], ticks: int = NEXT_TICKS) -> dict[str, list[ScheduleView]]:
        """Deployment -> its schedules, of these deployments (id -> ``flow/deployment``)."""
        fleet = self._context.fleet
        ids = {deployment_id: fleet.broker.schedules.of(f"d:{deployment_id}") for deployment_id in names}
        every = [schedule_id for some in ids.values() for schedule_id in some]
        records = [record for record in edit.read(fleet, every) if record is not None] if every else []
        found = {view.id: view for view in views_of(fleet, records, names, ticks)}
        return {owner: [found[one] for one in some if one in found] for owner, some in ids.items()}

    def get(self, schedule_id: str, ticks: int = NEXT_TICKS) -> ScheduleView | None:
        """One; ``None`` if there is none."""
        records = [record for record in edit.read(self._context.fleet, [schedule_id]) if record is not None]
        return next(iter(self._views(self._seen(records), ticks)), None)

    def _seen(self, records: Sequence[ScheduleRecord]) -> list[ScheduleRecord]:
        """Those of deployments in reach."""
        reach = self._context.reach
        if reach is None:
            return list(records)
        return [one for one in records if one.is_of_deployment and one.owner[2:] in reach.deployments]

    def _must_act_on(self, schedule_id: str) -> None:
        """Raises ReadOnly; ObjectNotFound: it is out of reach."""
        self._context.must_write()
        if self._context.reach is not None:
            found = [record for record in edit.read(self._context.fleet, [schedule_id]) if record is not None]
            self._context.must_reach("such schedule", bool(self._seen(found)))

    def ticks(self, schedule: Schedule, count: int = NEXT_TICKS) -> list[datetime]:
        """The next ticks of a schedule that need not be kept, in its zone: what a form shows before it is sent."""
        now = moment_of(self._context.fleet.broker.ticks.now_ms())
        ticks = zip(schedule.ticks(now), range(min(count, MAX_TICKS)), strict=False)
        return [tick.astimezone(schedule.zone) for tick, _ in ticks]

    def _views(self, records: Sequence[ScheduleRecord], ticks: int = NEXT_TICKS) -> list[ScheduleView]:
        fleet = self._context.fleet
        owners = sorted({record.owner[2:] for record in records if record.is_of_deployment})
        deployments = read_deployments(fleet.broker, owners) if owners else []
        names = {deployment.id: deployment.full_name for deployment in deployments if deployment is not None}
        return views_of(fleet, records, names, ticks)

    def now_ms(self) -> int:
        """The moment by the clock that schedules follow."""
        return self._context.fleet.broker.ticks.now_ms()

    def paused_deployments(self, views: Sequence[ScheduleView]) -> set[str]:
        """The ids of those deployments of these schedules that are paused."""
        owners = sorted({view.deployment_id for view in views if view.deployment_id is not None})
        found = read_deployments(self._context.fleet.broker, owners) if owners else []
        return {record.id for record in found if record is not None and record.paused}

    # -- what people do to them --------------------------------------------------------------------------------------

    def pause(self, schedule_id: str, reason: str = "paused by hand") -> bool:
        """Have it rest; whether there is such a one."""
        self._must_act_on(schedule_id)
        return edit.pause(self._context.fleet, schedule_id, reason)

    def resume(self, schedule_id: str) -> bool:
        """Have it fire again, from its next tick on; whether there is such a one. Raises ValueError: left alone."""
        self._must_act_on(schedule_id)
        with limited(SECONDS_PER_LIST):
            return edit.resume(self._context.fleet, schedule_id)

    def delete(self, schedule_id: str) -> bool:
        """Forget it, its runs stay; whether there was such a one."""
        self._must_act_on(schedule_id)
        return edit.delete(self._context.fleet, [schedule_id]) > 0

    def skip(self, schedule_id: str, tick: datetime) -> bool:
        """Take out a tick to come; whether there is such a schedule. Raises ValueError: it is no tick to come."""
        self._must_act_on(schedule_id)
        with limited(SECONDS_PER_LIST):
            return edit.skip(self._context.fleet, schedule_id, ms_of(tick))

    def trigger(self, schedule_id: str) -> str:
        """Make a run now; returns its id. Raises ValueError: there is no such schedule."""
        self._must_act_on(schedule_id)
        return by_hand.trigger(self._context.fleet, schedule_id)

    def backfill(self, schedule_id: str, start: datetime, end: datetime, **options: Any) -> list[str]:
        """Make the runs of a time; returns their ids. Options and errors are those of ``by_hand.backfill``."""
        self._must_act_on(schedule_id)
        return by_hand.backfill(self._context.fleet, schedule_id, start, end, **options)


def views_of(
    fleet: Fleet, records: Sequence[ScheduleRecord], names: Mapping[str, str], ticks: int = NEXT_TICKS
) -> list[ScheduleView]:
    """Schedules as people see them; ``names`` are those of deployments, by id."""
    now_ms = fleet.broker.ticks.now_ms() if records else 0
    return [_view(record, names, now_ms, min(ticks, MAX_TICKS)) for record in records]


def _view(record: ScheduleRecord, names: Mapping[str, str], now_ms: int, ticks: int) -> ScheduleView:
    def moment(tick_ms: int) -> datetime:
        return moment_of(tick_ms).astimezone(record.schedule.zone if record.schedule is not None else None)

    owner = record.owner[2:]
    return ScheduleView(
        record,
        names.get(owner, owner) if record.is_of_deployment else owner or record.id,
        when_text(record.schedule) if record.schedule is not None else "?",
        _status(record),
        [TickView(moment(tick.tick_ms), tick.run_id) for tick in ticks_to_come(record, now_ms, ticks)],
        moment(record.last_tick_ms) if record.last_tick_ms is not None else None,
        [moment(tick_ms) for tick_ms in record.skipped if tick_ms > now_ms],
        parameters_of(record)[0] if record.is_of_deployment else {},
    )


def ticks_to_come(record: ScheduleRecord, now_ms: int, count: int) -> list[edit.Upcoming]:
    """The next ticks of a schedule; none of one that takes too long to evaluate, which is left alone by all."""
    try:
        with limited(SECONDS_PER_LIST):
            return edit.upcoming(record, now_ms, count)
    except (ValueError, OverflowError):
        return []


def _status(record: ScheduleRecord) -> str:
    if record.trouble:
        return "LEFT ALONE"
    if not record.active:
        return "PAUSED"
    return "ACTIVE" if record.due_ms is not None else "OVER"


def when_text(schedule: Schedule) -> str:
    """When a schedule is due, in short.

    >>> from orchestrator.schedules import Cron, Interval
    >>> when_text(Cron("0 9 * * *", "Europe/Oslo")), when_text(Interval("PT90M"))
    ('0 9 * * * (Europe/Oslo)', 'every 1:30:00')
    """
    text = f"every {schedule.interval}" if schedule.interval is not None else schedule.cron or schedule.rrule or ""
    text = " ".join(text.split())
    return text if schedule.timezone in (None, "UTC") else f"{text} ({schedule.timezone})"
