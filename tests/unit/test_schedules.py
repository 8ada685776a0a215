"""When schedules are due, where clocks change: the table, and what is true of every schedule."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.schedules import Cron, Interval, RRule, Schedule

NEW_YORK = "America/New_York"
GAP = datetime(2026, 3, 8, 5, 59, 59, tzinfo=UTC)  # 00:59:59 EST; 02:00-03:00 does not exist
REPEAT = datetime(2026, 11, 1, 4, 59, 59, tzinfo=UTC)  # 00:59:59 EDT; 01:00-02:00 comes twice
ANCHOR = datetime(2026, 1, 1, 2, 30)


def local(schedule: Schedule, start: datetime, count: int) -> list[str]:
    """The next ticks on the clock of the schedule."""
    found, tick = [], start
    for _ in range(count):
        tick = schedule.next_after(tick)  # type: ignore[assignment]
        found.append(tick.astimezone(schedule.zone).strftime("%d %H:%M %Z"))
    return found


@pytest.mark.parametrize(
    ("schedule", "in_the_gap", "in_the_repeated_hour"),
    [
        (Cron("30 2 * * *", NEW_YORK), ["08 03:00 EDT", "09 02:30 EDT"], ["01 02:30 EST"]),
        (Cron("30 1 * * *", NEW_YORK), ["08 01:30 EST", "09 01:30 EDT"], ["01 01:30 EDT", "02 01:30 EST"]),
        (Cron("0 0,2 * * *", NEW_YORK), ["08 03:00 EDT", "09 00:00 EDT"], ["01 02:00 EST", "02 00:00 EST"]),
        (Cron("15 2-4 * * *", NEW_YORK), ["08 03:00 EDT", "08 03:15 EDT", "08 04:15 EDT"], ["01 02:15 EST"]),
        (
            Cron("*/30 * * * *", NEW_YORK),
            ["08 01:00 EST", "08 01:30 EST", "08 03:00 EDT", "08 03:30 EDT"],
            ["01 01:00 EDT", "01 01:30 EDT", "01 01:00 EST", "01 01:30 EST", "01 02:00 EST"],
        ),
        (Cron("0 * * * *", NEW_YORK), ["08 01:00 EST", "08 03:00 EDT"], ["01 01:00 EDT", "01 01:00 EST"]),
        (Cron("0 */2 * * *", NEW_YORK), ["08 04:00 EDT"], ["01 02:00 EST", "01 04:00 EST"]),
        (
            Interval(3600, anchor_date=ANCHOR, timezone=NEW_YORK),
            ["08 01:30 EST", "08 03:30 EDT"],
            ["01 01:30 EDT", "01 01:30 EST", "01 02:30 EST"],
        ),
        (Interval("P1D", ANCHOR, NEW_YORK), ["08 03:30 EDT", "09 02:30 EDT"], ["01 02:30 EST", "02 02:30 EST"]),
        (
            Interval("P1D", ANCHOR.replace(hour=1), NEW_YORK),
            ["08 01:30 EST", "09 01:30 EDT"],
            ["01 01:30 EDT", "02 01:30 EST"],
        ),
        (RRule("FREQ=DAILY;BYHOUR=2;BYMINUTE=30", NEW_YORK), ["08 03:30 EDT", "09 02:30 EDT"], ["01 02:30 EST"]),
        (RRule("FREQ=DAILY;BYHOUR=1;BYMINUTE=30", NEW_YORK), ["08 01:30 EST"], ["01 01:30 EDT", "02 01:30 EST"]),
        (
            RRule("FREQ=HOURLY", NEW_YORK),
            ["08 01:00 EST", "08 03:00 EDT", "08 04:00 EDT"],
            ["01 01:00 EDT", "01 01:00 EST", "01 02:00 EST"],
        ),
        (
            RRule("FREQ=MINUTELY;INTERVAL=30", NEW_YORK),
            ["08 01:00 EST", "08 01:30 EST", "08 03:00 EDT"],
            ["01 01:00 EDT", "01 01:30 EDT", "01 01:00 EST", "01 01:30 EST"],
        ),
        (RRule("FREQ=HOURLY;BYHOUR=1", NEW_YORK), ["08 01:00 EST", "09 01:00 EDT"], ["01 01:00 EDT", "01 01:00 EST"]),
    ],
)
def test_where_new_yorks_clocks_change(
    schedule: Schedule, in_the_gap: list[str], in_the_repeated_hour: list[str]
) -> None:
    assert local(schedule, GAP, len(in_the_gap)) == in_the_gap
    assert local(schedule, REPEAT, len(in_the_repeated_hour)) == in_the_repeated_hour


@pytest.mark.parametrize(
    ("schedule", "start", "expected"),
    [
        (Cron("0 9 * * *", "Pacific/Apia"), "2011-12-29T20:00+00:00", ["31 00:00 +14", "31 09:00 +14"]),
        (Cron("*/30 1-2 * * *", "Australia/Lord_Howe"), "2026-04-04T14:29+00:00", ["05 01:30 +11", "05 01:30 +1030"]),
        (Cron("0 2 * * *", "Africa/Casablanca"), "2026-02-14T12:00+00:00", ["15 02:00 +01", "16 02:00 +00"]),
        (Cron("30 1 * * *", "Europe/London"), "2026-03-28T12:00+00:00", ["29 02:00 BST", "30 01:30 BST"]),
        (Interval("P1D", datetime(2026, 1, 1, 1, 30), "Europe/London"), "2026-03-28T12:00+00:00", ["29 02:30 BST"]),
        (RRule("FREQ=HOURLY", "Australia/Lord_Howe"), "2026-04-04T14:30+00:00", ["05 01:30 +1030", "05 02:30 +1030"]),
    ],
)
def test_where_other_clocks_change(schedule: Schedule, start: str, expected: list[str]) -> None:
    assert local(schedule, datetime.fromisoformat(start), len(expected)) == expected


@pytest.mark.parametrize(
    ("text", "count"),
    [("* * * * * */20", 3), ("0 9 * * FRI-MON", 0), ("@hourly", 0), ("*/20 * * * *", 0), ("30-10/10 * * * * 0", 0)],
)
def test_seconds_come_last_and_ranges_wrap(text: str, count: int) -> None:
    start = datetime(2026, 5, 5, 10, 0, 30, tzinfo=UTC)
    ticks = list(Cron(text).ticks(start, start + timedelta(seconds=59)))
    assert len(ticks) == count


@pytest.mark.parametrize("text", ["0 9 * * FRI-MON", "0 9 * * 5-1", "0 9 * * FRI,SAT,SUN,MON"])
def test_days_that_wrap_around_the_week(text: str) -> None:
    ticks = list(Cron(text).ticks(datetime(2026, 5, 4, tzinfo=UTC), datetime(2026, 5, 11, tzinfo=UTC)))
    assert [tick.strftime("%a") for tick in ticks] == ["Mon", "Fri", "Sat", "Sun"]


@pytest.mark.parametrize("text", ["0 0 * * L5", "0 0 * * 5L"])
def test_the_last_friday_is_written_in_two_ways(text: str) -> None:
    assert Cron(text).next_after(datetime(2026, 5, 1, tzinfo=UTC)) == datetime(2026, 5, 29, tzinfo=UTC)


def test_both_day_fields_of_a_cron() -> None:
    start = datetime(2026, 2, 1, tzinfo=UTC)
    assert Cron("0 0 13 * FRI").next_after(start) == datetime(2026, 2, 6, tzinfo=UTC)
    assert Cron("0 0 13 * FRI", day_or=False).next_after(start) == datetime(2026, 2, 13, tzinfo=UTC)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: Cron("0 0 31 2 *"), "'0 0 31 2 \\*' never fires"),
        (lambda: Cron("0 0 30 2 MON", day_or=False), "never fires"),
        (lambda: Cron("61 * * * *"), "bad minute"),
        (lambda: Cron("@reboot"), "@reboot"),
        (lambda: Cron("H * * * *"), "jitter"),
        (lambda: Cron("* * * *"), "4 fields"),
        (lambda: Cron(""), "0 fields"),
        (lambda: Interval(0), "at least 1 second, not 0"),
        (lambda: Interval(-5), "-5"),
        (lambda: Interval("P1M"), "use cron or rrule"),
        (lambda: Interval("soon"), "'soon'"),
        (lambda: Interval(float("nan")), "nan"),
        (lambda: Interval(10**12 * 1.0e9), "out of range"),
        (lambda: RRule("FREQ=NEVER"), "FREQ=NEVER"),
        (lambda: RRule("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"), "never fires"),
        (lambda: RRule("FREQ=DAILY;BYSETPOS=2"), "never fires"),
        (lambda: RRule("FREQ=MINUTELY;INTERVAL=1440;BYHOUR=5"), "never fires"),
        (lambda: RRule("FREQ=SECONDLY;INTERVAL=7200;BYHOUR=5;BYMINUTE=1"), "never fires"),
        (lambda: RRule("RRULE:FREQ=SECONDLY\nEXRULE:FREQ=SECONDLY"), "leave out more than 1,000 moments in a row"),
        (lambda: RRule("FREQ=MINUTELY;COUNT=1001"), "COUNT is between 1 and 1,000"),
        (lambda: RRule("FREQ=DAILY;COUNT=3;UNTIL=20300101"), "both UNTIL and COUNT"),
        (lambda: RRule("x" * 7_000), "6,500"),
        (lambda: Cron("0 9 * * *", "Amerika/New_York"), "America/New_York"),
        (lambda: Schedule(), "none of them"),
        (lambda: Schedule(cron="@daily", interval=timedelta(1)), "interval and cron"),
    ],
)
def test_what_is_no_schedule_is_refused_with_its_value(made: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        made()  # type: ignore[operator]


def test_a_truth_value_is_no_number_of_seconds() -> None:
    with pytest.raises(TypeError, match="True"):
        Interval(True)


def test_sets_of_rules_and_dates() -> None:
    rule = RRule("RRULE:FREQ=DAILY\nEXDATE:20260102T000000Z\nRDATE:20260101T120000Z")
    start = datetime(2025, 12, 31, 23, tzinfo=UTC)
    ticks = [tick.strftime("%d %H") for tick, _ in zip(rule.ticks(start), range(3), strict=False)]
    assert ticks == ["01 00", "01 12", "03 00"]


def test_count_ends_a_rule_also_across_a_change_of_clocks() -> None:
    rule = RRule("DTSTART:20261101T000000\nRRULE:FREQ=HOURLY;COUNT=4", NEW_YORK)
    assert local(rule, REPEAT - timedelta(hours=2), 4) == [
        "01 00:00 EDT",
        "01 01:00 EDT",
        "01 01:00 EST",
        "01 02:00 EST",
    ]
    assert rule.next_after(datetime(2026, 11, 2, tzinfo=UTC)) is None


def test_count_ends_a_rule_of_months_after_centuries() -> None:
    rule = RRule("DTSTART:20200131T000000\nRRULE:FREQ=MONTHLY;COUNT=5000")  # of each year the seven long months
    assert rule.next_after(datetime(2734, 1, 1, tzinfo=UTC)) == datetime(2734, 1, 31, tzinfo=UTC)
    assert rule.next_after(datetime(2735, 1, 1, tzinfo=UTC)) is None


def test_dates_for_people_are_in_the_schedules_zone() -> None:
    schedule = Cron("0 9 * * SAT,SUN", timezone="Europe/Oslo")
    dates = asyncio.run(schedule.get_dates(2, start=datetime(2026, 5, 4)))
    assert [date.isoformat() for date in dates] == ["2026-05-09T09:00:00+02:00", "2026-05-10T09:00:00+02:00"]
    assert len(asyncio.run(Interval(1).get_dates(5_000, datetime(2026, 1, 1)))) == 1_000


ZONES = st.sampled_from(
    ["UTC", NEW_YORK, "Europe/London", "Australia/Lord_Howe", "Africa/Casablanca", "Pacific/Apia", "Asia/Kathmandu"]
)
HOURS = st.sampled_from(["*", "3", "1-11/2"])
SECONDS = st.sampled_from([1, 59, 3600, 86_400, 90_000, 604_800])
FIELD = st.sampled_from(["*", "*/7", "0", "1-3", "5,9"])
CRONS = st.builds(lambda a, b, c, d: Cron(f"{a} {b} * {c} *", d), FIELD, FIELD, HOURS, ZONES)
INTERVALS = st.builds(
    lambda seconds, zone: Interval(seconds, ANCHOR, zone),
    st.sampled_from([1, 59, 3600, 86_400, 90_000, 604_800]),
    ZONES,
)
RULES = st.builds(
    lambda frequency, interval, zone: RRule(f"FREQ={frequency};INTERVAL={interval}", zone),
    st.sampled_from(["SECONDLY", "MINUTELY", "HOURLY", "DAILY", "WEEKLY", "MONTHLY"]),
    st.sampled_from([1, 2, 7, 26]),
    ZONES,
)
MOMENTS = st.datetimes(datetime(2025, 1, 1), datetime(2028, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC))


@given(schedule=CRONS | INTERVALS | RULES, moment=MOMENTS)
def test_ticks_come_after_rise_and_are_the_same_wherever_one_begins(schedule: Schedule, moment: datetime) -> None:
    first = schedule.next_after(moment)
    assert first is not None
    second = schedule.next_after(first)
    assert second is not None
    assert moment < first < second
    assert schedule.next_after(first - timedelta(seconds=1)) == first
    assert schedule.next_after(second - timedelta(microseconds=1)) == second
    assert first.microsecond == 0


@given(
    minutes=st.sampled_from(["*", "*/7", "*/30"]),
    hours=st.sampled_from(["*", "1-3", "*/2"]),
    zone=ZONES,
    moment=MOMENTS,
)
def test_a_cron_with_stars_is_every_minute_whose_local_time_fits(
    minutes: str, hours: str, zone: str, moment: datetime
) -> None:
    moment = moment.replace(second=0, microsecond=0)
    schedule = Cron(f"{minutes} {hours} * * *", zone)
    end = moment + timedelta(hours=6)
    step_of_minutes = {"*": 1, "*/7": 7, "*/30": 30}[minutes]
    fits = {"*": range(24), "1-3": range(1, 4), "*/2": range(0, 24, 2)}[hours]
    every = [moment + timedelta(minutes=number) for number in range(361)]
    expected = [
        one
        for one in every
        if (here := one.astimezone(ZoneInfo(zone))).minute % step_of_minutes == 0 and here.hour in fits
    ]
    assert list(schedule.ticks(moment, end)) == expected


def test_an_interval_ticks_at_whole_milliseconds_so_that_a_tick_that_was_kept_is_still_one() -> None:
    schedule = Interval(timedelta(minutes=2), anchor_date=datetime(2026, 1, 1, 0, 0, 55, 636742, tzinfo=UTC))
    tick = schedule.next_after(datetime(2026, 1, 1, 0, 1, tzinfo=UTC))
    assert tick == datetime(2026, 1, 1, 0, 2, 55, 636000, tzinfo=UTC)
    assert next(schedule.ticks(tick)) == tick
    assert Interval(1.00049).interval == timedelta(seconds=1)
