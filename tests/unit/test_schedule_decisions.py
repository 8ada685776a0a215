"""What a schedule that is due does: decided from the schedule, its tick and the moment alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.runs.run_ids import created_at, tick_run_id
from orchestrator.schedules import Cron, Interval, RRule, Schedule
from orchestrator.schedules.decisions import TICKS_AT_ONCE, decide
from orchestrator.schedules.policies import jitter_ms
from orchestrator.schedules.spec import NewerSchedule, schedule_from, schedule_id, spec_of

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def seconds_of(ticks: tuple[datetime, ...]) -> list[float]:
    return [(tick - NOON).total_seconds() for tick in ticks]


def test_a_tick_that_is_due_is_fired_and_the_next_one_noted() -> None:
    decision = decide(Interval(10), NOON, at(0.1), back_at=at(-100))
    assert (decision.fire, decision.missed, decision.next_tick) == ((NOON,), 0, at(10))


def test_nothing_is_done_before_it_is_due() -> None:
    assert decide(Interval(10), at(10), NOON, back_at=NOON) == ((), 0, at(10))


def test_ticks_that_are_merely_late_are_all_fired() -> None:
    decision = decide(Interval(1, catchup="none"), NOON, at(4.5), back_at=at(-100))
    assert seconds_of(decision.fire) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("catchup", "fired", "missed"), [("latest", [90], 9), ("none", [], 10)])
def test_after_an_outage_missed_ticks_are_made_up_for_as_it_says(catchup: Any, fired: list[int], missed: int) -> None:
    decision = decide(Interval(10, catchup=catchup), NOON, at(95), back_at=at(94.9))
    assert (seconds_of(decision.fire), decision.missed, decision.next_tick) == (fired, missed, at(100))


def test_all_missed_ticks_are_fired_oldest_first() -> None:
    decision = decide(Interval(10, catchup="all"), NOON, at(95), back_at=at(94.9))
    assert (seconds_of(decision.fire), decision.missed) == (list(range(0, 100, 10)), 0)


def test_ticks_outside_of_the_window_are_only_counted() -> None:
    decision = decide(Interval(10, catchup="all", catchup_seconds=30), NOON, at(95), back_at=at(94.9))
    assert (seconds_of(decision.fire), decision.missed) == ([70, 80, 90], 7)


def test_a_thousand_are_made_up_for_portion_by_portion_and_the_rest_is_counted() -> None:
    schedule, due, back = Interval(1, catchup="all"), NOON, at(3000)
    fired: list[datetime] = []
    missed = rounds = 0
    while due <= at(3000.5):
        decision = decide(schedule, due, at(3000.5), back_at=back)
        assert decision.next_tick is not None
        fired, missed, due, rounds = [*fired, *decision.fire], missed + decision.missed, decision.next_tick, rounds + 1
    assert seconds_of(tuple(fired)) == list(range(2001, 3001))
    assert rounds == 1_000 // TICKS_AT_ONCE
    assert missed == pytest.approx(2001, abs=3)


def test_a_year_of_seconds_is_looked_over_quickly_and_counted_roughly() -> None:
    year = 365 * 86_400
    calls = 0

    class Counting(Schedule):
        def next_after(self, moment: datetime) -> datetime | None:
            nonlocal calls
            calls += 1
            return super().next_after(moment)

    decision = decide(Counting(interval=timedelta(seconds=1)), NOON, at(year), back_at=at(year))
    assert seconds_of(decision.fire) == [year]
    assert decision.missed == pytest.approx(year, rel=0.01)
    assert calls < 3_000


def test_a_tick_that_people_took_out_is_neither_fired_nor_counted() -> None:
    decision = decide(Interval(10), NOON, at(95), back_at=at(94.9), skipped={at(90), at(20)})
    assert (seconds_of(decision.fire), decision.missed) == ([80], 7)


@pytest.mark.parametrize("catchup", ["latest", "all"])
@pytest.mark.parametrize("back", [-100, 50])
def test_a_tick_that_other_data_of_the_zone_has_set_is_fired_all_the_same(catchup: Any, back: int) -> None:
    decision = decide(Interval(3600, catchup=catchup), at(7), at(60), back_at=at(back))
    assert (seconds_of(decision.fire), decision.missed, decision.next_tick) == ([7], 0, at(3600))


def test_it_is_over_after_its_last_moment() -> None:
    decision = decide(Interval(10, until=at(5)), NOON, at(1), back_at=at(-100))
    assert (decision.fire, decision.next_tick) == ((NOON,), None)


SCHEDULES = st.one_of(
    st.integers(1, 5000).map(Interval),
    st.sampled_from(["*/7 * * * *", "0 3 * * *", "30 2 * * *", "* * * * * */20", "0 9 * * FRI-MON"]).map(
        lambda text: Cron(text, timezone="America/New_York")
    ),
    st.sampled_from(["FREQ=HOURLY;INTERVAL=5", "FREQ=WEEKLY;BYDAY=MO,TU"]).map(RRule),
)


@given(
    SCHEDULES,
    st.sampled_from(["latest", "all", "none"]),
    st.integers(0, 20_000),
    st.integers(0, 20_000),
    st.integers(0, 100_000),
    st.integers(0, 400),
)
def test_every_tick_is_fired_or_counted_once_and_time_only_moves_forward(
    schedule: Schedule, catchup: Any, start: int, until: int, window: int, back: int
) -> None:
    values = {**spec_of(schedule), "catchup": catchup, "catchup_seconds": window}
    schedule = schedule_from(values)
    due, now = schedule.next_after(at(start)), at(start + until)
    assert due is not None
    expected = list(schedule.ticks(due, now))
    fired: list[datetime] = []
    missed = 0
    while due is not None and due <= now:
        decision = decide(schedule, due, now, back_at=now - timedelta(seconds=back), at_once=7)
        assert decision.next_tick is None or decision.next_tick > due
        fired, missed, due = [*fired, *decision.fire], missed + decision.missed, decision.next_tick
    assert fired == sorted(set(fired))
    assert set(fired) <= set(expected)
    if len(expected) <= 1_000:
        assert len(fired) + missed == len(expected)
    if catchup == "all" and window >= until:
        assert fired == expected[-len(fired) :] if fired else not expected
    assert due is None or due == schedule.next_after(now)


@given(SCHEDULES, st.sampled_from(["skip", "allow"]), st.none() | st.integers(1, 9))
def test_a_schedule_comes_back_from_its_spec(schedule: Schedule, overlap: Any, most: int | None) -> None:
    said = schedule_from({**spec_of(schedule), "overlap": overlap, "max_runs": most, "until": "2030-01-01T00:00:00Z"})
    assert schedule_from(spec_of(said)) == said
    assert schedule_id("d:1", said) == schedule_id("d:1", schedule), "how it is caught up is no part of what it is"


@pytest.mark.parametrize("spec", [{"v": 2, "cron": "@daily"}, {"v": 1, "cron": "@daily", "moon": "full"}, {}])
def test_what_a_newer_version_says_is_not_understood(spec: dict[str, Any]) -> None:
    with pytest.raises(NewerSchedule, match="newer version"):
        schedule_from(spec)


def test_schedules_of_an_owner_are_told_apart_by_slug_or_by_what_they_say() -> None:
    daily = Cron("@daily")
    ids = {
        schedule_id("d:1", daily),
        schedule_id("d:2", daily),
        schedule_id("d:1", Cron("@daily", parameters={"city": "Oslo"})),
        schedule_id("d:1", Cron("@daily", slug="night")),
    }
    assert len(ids) == 4
    assert schedule_id("d:1", Cron("@hourly", slug="night")) in ids


@pytest.mark.parametrize(
    "keywords", [{"catchup": "some"}, {"overlap": "maybe"}, {"jitter": 10}, {"jitter": -1}, {"max_runs": 0},
                 {"until": datetime(2026, 1, 1)}, {"pause_on_failure": True}, {"catchup_seconds": "1"}]
)  # fmt: skip
def test_a_policy_that_is_none_is_refused_with_its_name(keywords: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(keywords))):
        Interval(10, **keywords)


def test_a_start_is_put_off_by_the_same_share_everywhere() -> None:
    shares = {jitter_ms("nightly", tick, 5.0) for tick in range(0, 1_000_000, 1_000)}
    assert len(shares) > 500
    assert all(0 <= share < 5_000 for share in shares)
    assert jitter_ms("nightly", 1_000, 5.0) == 3_319


def test_the_run_of_a_tick_has_the_same_id_everywhere_and_tells_the_tick() -> None:
    tick_ms = 1_767_225_600_000
    assert created_at(tick_run_id("a", tick_ms)) == datetime(2026, 1, 1, tzinfo=UTC)
    assert len({tick_run_id("a", tick_ms), tick_run_id("b", tick_ms), tick_run_id("a", tick_ms, 1)}) == 3
    assert tick_run_id("nightly", tick_ms) == tick_run_id("nightly", tick_ms)
