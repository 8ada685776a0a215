"""Schedules as Prefect's clients write them, and what else is taken for a schedule."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import DAILY, rrule, rruleset
from dateutil.tz import gettz

from orchestrator.client.schemas.schedules import (
    CronSchedule,
    IntervalSchedule,
    NoSchedule,
    RRuleSchedule,
    construct_schedule,
    is_schedule_type,
)
from orchestrator.schedules import Cron, Interval, RRule, Schedule
from orchestrator.schedules.conversion import as_schedule

OSLO = "Europe/Oslo"
HALF_PAST = datetime(2026, 1, 1, 0, 0, 30)


@pytest.mark.parametrize(
    ("given", "means"),
    [
        (CronSchedule(cron="0 9 * * MON-FRI", timezone=OSLO), Cron("0 9 * * MON-FRI", OSLO)),
        (CronSchedule(cron="0 0 13 * FRI", day_or=False), Cron("0 0 13 * FRI", day_or=False)),
        (IntervalSchedule(interval=timedelta(hours=1)), Interval(3600)),
        (IntervalSchedule.model_validate({"interval": 1800}), Interval(1800)),
        (IntervalSchedule.model_validate({"interval": "PT30M"}), Interval(1800)),
        (IntervalSchedule.model_validate({"interval": "00:30:00", "timezone": OSLO}), Interval(1800, timezone=OSLO)),
        (RRuleSchedule(rrule="FREQ=DAILY"), RRule("FREQ=DAILY", "UTC")),
        (construct_schedule(cron="@daily"), Cron("@daily")),
        (construct_schedule(interval=60, anchor_date="2026-01-01T00:00:30"), Interval(60, HALF_PAST)),
        (Cron("@daily"), Cron("@daily")),
        ({"cron": "@daily", "slug": "nightly"}, Cron("@daily", slug="nightly")),
        ({"schedule": CronSchedule(cron="@daily"), "active": False}, Cron("@daily", active=False)),
        (SimpleNamespace(schedule=CronSchedule(cron="@daily"), active=True, slug="x"), Cron("@daily", slug="x")),
    ],
)
def test_each_form_of_a_schedule_means_the_same_value(given: Any, means: Schedule) -> None:
    assert as_schedule(given) == means


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: CronSchedule(cron="61 * * * *"), "'61 \\* \\* \\* \\*': bad minute"),
        (lambda: CronSchedule(cron="0 0 31 2 *"), "never fires"),
        (lambda: CronSchedule(cron="@daily", timezone="Amerika/New_York"), "America/New_York"),
        (lambda: CronSchedule.model_validate({"cron": "@daily", "seconds": 3}), "seconds"),
        (lambda: IntervalSchedule(interval=timedelta(0)), "at least 1 second"),
        (lambda: IntervalSchedule.model_validate({"interval": True}), "not True"),
        (lambda: RRuleSchedule(rrule="FREQ=NEVER"), "FREQ=NEVER"),
        (lambda: construct_schedule(), "none of them"),
        (lambda: construct_schedule(cron="@daily", interval=3), "interval and cron"),
        (lambda: construct_schedule(cron="@daily", anchor_date=datetime(2026, 1, 1)), "anchor_date"),
        (lambda: as_schedule({"cron": "@daily", "every": 3}), "no field 'every'"),
        (lambda: as_schedule("@daily"), "'@daily' is no schedule"),
        (lambda: as_schedule(NoSchedule()), "is no schedule"),
    ],
)
def test_what_is_no_schedule_is_refused_in_a_sentence(made: Any, words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words):
        made()


def test_an_interval_without_an_anchor_stays_so_through_json() -> None:
    schedule = IntervalSchedule(interval=timedelta(hours=1))
    assert IntervalSchedule.model_validate_json(schedule.model_dump_json()) == schedule
    assert schedule.anchor_date is None


def test_the_four_classes_are_schedules_and_others_are_not() -> None:
    assert is_schedule_type(NoSchedule())
    assert not is_schedule_type(Cron("@daily"))
    assert NoSchedule().to_schedule() is None


@pytest.mark.parametrize("zone", [ZoneInfo(OSLO), gettz(OSLO)])
def test_a_set_of_dateutils_keeps_its_zone_and_what_it_leaves_out(zone: Any) -> None:
    rules = rruleset()
    rules.rrule(rrule(DAILY, dtstart=datetime(2026, 1, 1, 9, tzinfo=zone), count=4))
    rules.exrule(rrule(DAILY, interval=3, dtstart=datetime(2026, 1, 1, 9, tzinfo=zone)))
    rules.exdate(datetime(2026, 1, 2, 9, tzinfo=zone))
    rules.rdate(datetime(2026, 1, 2, 12, tzinfo=zone))
    made = RRuleSchedule.from_rrule(rules)
    assert made.timezone == OSLO
    ticks = as_schedule(made).ticks(datetime(2025, 12, 31, tzinfo=UTC))
    assert [f"{tick.astimezone(ZoneInfo(OSLO)):%d %H}" for tick in ticks] == ["02 12", "03 09"]


def test_a_set_whose_rules_begin_at_different_moments_is_refused() -> None:
    rules = rruleset()
    for day in (1, 2):
        rules.rrule(rrule(DAILY, dtstart=datetime(2026, 1, day)))
    with pytest.raises(ValueError, match="2026-01-02"):
        RRuleSchedule.from_rrule(rules)


@pytest.mark.parametrize("given", ["2026-01-01", date(2026, 1, 1), datetime(2026, 1, 1), "2026-01-01T00:00:00"])
def test_an_anchor_as_files_have_it(given: Any) -> None:
    made = as_schedule({"interval": 3600, "anchor_date": given, "until": "2026-01-01T02:00:00+00:00"})
    assert made.anchor_date == datetime(2026, 1, 1)
    assert len(list(made.ticks(datetime(2026, 1, 1, tzinfo=UTC)))) == 3


def test_an_anchor_that_is_none() -> None:
    with pytest.raises(ValueError, match="anchor_date='soon' is no moment"):
        as_schedule({"interval": 3600, "anchor_date": "soon"})
    with pytest.raises(TypeError, match="until=5 must be a datetime"):
        Cron("@daily", until=5)  # type: ignore[arg-type]
