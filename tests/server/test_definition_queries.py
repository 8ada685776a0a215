"""What the pages and the API know of deployments, schedules and limits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.client.fleet import Fleet
from orchestrator.concurrency.declared import declare
from orchestrator.schedules import Cron
from orchestrator.server.index import RunIndex
from orchestrator.server.queries import Queries
from tests.server.conftest import caught_up
from tests.support.apps import deployed_flows


@pytest.fixture
def queries(own_fleet: Fleet, index: RunIndex) -> Queries:
    """The queries of a fleet in which one deployment was written."""
    deployed_flows.tracker.to_deployment(
        "nightly",
        schedules=[Cron("0 9 * * *", "Europe/Oslo", slug="mornings", parameters={"city": "Oslo"})],
        tags=["etl"],
        concurrency_limit=1,
        version="7",
    ).apply()
    return Queries(own_fleet, index)


def test_a_deployment_is_listed_with_its_next_ticks_and_its_last_runs(queries: Queries, index: RunIndex) -> None:
    first = queries.deployments.start_run("tracker/nightly", {"days": 3})
    later = datetime.now(UTC) + timedelta(hours=1)
    second = queries.deployments.start_run("tracker/nightly", {}, scheduled_time=later)
    caught_up(index)
    page = queries.deployments.newest()
    assert page.total == 1
    (view,) = page.deployments
    assert (view.record.full_name, view.status, view.record.paused) == ("tracker/nightly", "NOT_READY", False)
    assert [run.id for run in view.last_runs] == [second, first]
    run = view.last_runs[0]
    assert (run.state_type, run.state_name, run.deployment, run.version) == (
        "SCHEDULED",
        "Scheduled",
        "tracker/nightly",
        1,
    )
    assert run.tags == ("etl",)
    assert run.expected is not None
    assert abs((run.expected - later).total_seconds()) < 1
    (schedule,) = view.schedules
    assert (schedule.name, schedule.when, schedule.status) == ("tracker/nightly", "0 9 * * * (Europe/Oslo)", "ACTIVE")
    assert schedule.parameters == {"city": "Oslo"}
    assert [tick.moment.hour for tick in schedule.next_ticks] == [9] * 5
    assert view.next_tick == schedule.next_tick
    assert queries.flow_runs.find(deployment_ids=["another"]).runs == []


def test_a_paused_deployment_has_no_next_tick_and_its_schedules_do(queries: Queries) -> None:
    queries.deployments.pause("tracker/nightly")
    view = queries.deployments.get("tracker/nightly")
    assert view is not None
    assert view.record.paused
    assert view.next_tick is None
    assert view.schedules[0].next_tick is not None
    tick = view.schedules[0].next_ticks[1].moment
    assert queries.schedules.skip(view.schedules[0].id, tick)
    queries.deployments.resume("tracker/nightly")
    (schedule,) = queries.schedules.of(f"d:{view.id}")
    assert schedule.skipped == [tick]
    assert tick not in [one.moment for one in schedule.next_ticks]


def test_versions_say_which_one_runs_and_whether_its_code_is_there(queries: Queries) -> None:
    deployed_flows.tracker.to_deployment("nightly", version="8").apply()
    assert queries.deployments.roll_back("tracker/nightly", "7") == 1
    found = [
        (one.version.number, one.version.label, one.is_current, one.has_code)
        for one in queries.deployments.versions("tracker/nightly")
    ]
    assert found == [(2, "8", False, True), (1, "7", True, True)]


def test_the_limit_of_a_deployment_has_its_name(own_fleet: Fleet, queries: Queries) -> None:
    declare(own_fleet, "database", limit=3)
    page = queries.limits.newest()
    assert [(one.about, one.limit.limit, one.deployment_id is None) for one in page.limits] == [
        ("database", 3, True),
        ("tracker/nightly", 1, False),
    ]
    assert queries.limits.delete("database")
    assert queries.limits.get("database") is None
