"""The state of a flow run that has not begun: the same in lists, on pages and as a value."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from brokers.messages import AckKind, routes_of
from orchestrator.client.fleet import Fleet
from orchestrator.deployments.flow_run_value import read_flow_run
from orchestrator.errors import MissingResult
from orchestrator.inspection.flow_runs import FlowRunFilter, flow_runs_of
from orchestrator.server.index import RunIndex
from orchestrator.server.queries import Queries
from tests.server.conftest import caught_up
from tests.support.apps import deployed_flows
from tests.support.waiting import wait_until
from tests.support.work import Work

Start = Callable[[timedelta], str]


@pytest.fixture
def queries(own_fleet: Fleet, index: RunIndex) -> Queries:
    """The queries of a fleet with a deployment of which one run at a time may be under way."""
    deployed_flows.tracker.to_deployment("nightly", concurrency_limit=1).apply()
    return Queries(own_fleet, index)


@pytest.fixture
def start(queries: Queries, own_fleet: Fleet) -> Start:
    """Make a run that was to begin so long ago."""
    return lambda ago: queries.deployments.start_run("tracker/nightly", {}, scheduled_time=datetime.now(UTC) - ago)


def fetch(fleet: Fleet, queries: Queries) -> list[str]:
    """The runs that a worker of the deployment gets."""
    view = queries.deployments.get("tracker/nightly")
    assert view is not None
    routes = routes_of([view.record.run_queue], "s") + routes_of([view.record.run_queue], "a")
    return [delivery.run_id for delivery in fleet.broker.deliveries.fetch("worker", routes, 9)[0]]


def shown(queries: Queries, fleet: Fleet, run_id: str) -> str:
    """The name of the state, once all who show it agree."""
    view = queries.flow_runs.view(run_id)
    (row,) = [one for one in flow_runs_of(fleet) if one.id == run_id]
    assert view is not None
    assert view.state_name == row.state_name == read_flow_run(fleet, run_id).state.name
    assert view.state_type == row.state_type
    return view.state_name


def test_a_run_that_should_have_begun_is_late_until_a_worker_has_it_and_pending_then(
    start: Start, queries: Queries, own_fleet: Fleet
) -> None:
    late, soon = start(timedelta(hours=1)), start(-timedelta(hours=1))
    assert shown(queries, own_fleet, late) == "Late"
    assert shown(queries, own_fleet, soon) == "Scheduled"
    assert fetch(own_fleet, queries) == [late]
    assert shown(queries, own_fleet, late) == "Pending"


def test_a_run_that_waits_for_a_place_is_not_late(start: Start, queries: Queries, own_fleet: Fleet) -> None:
    first, second = start(timedelta(hours=1)), start(timedelta(hours=1))
    assert fetch(own_fleet, queries) == [first]
    assert shown(queries, own_fleet, second) == "AwaitingConcurrencySlot"


def test_lists_are_filtered_by_the_state_that_is_shown(
    start: Start, queries: Queries, own_fleet: Fleet, index: RunIndex
) -> None:
    first, second = start(timedelta(hours=1)), start(timedelta(hours=1))
    fetch(own_fleet, queries)
    third = start(-timedelta(hours=1))
    own_fleet.broker.runs.cancel([third])
    caught_up(index)
    expected = {"Pending": first, "AwaitingConcurrencySlot": second, "Cancelled": third}
    for name, run_id in expected.items():
        assert [run.id for run in queries.flow_runs.find([name]).runs] == [run_id]
        assert [run.id for run in flow_runs_of(own_fleet, FlowRunFilter(states=(name,)))] == [run_id]
    assert queries.flow_runs.find(["Late"]).runs == []
    assert {run.id for run in queries.flow_runs.find(["Cancelled", "pending"]).runs} == {first, third}


def test_a_page_is_filled_though_few_runs_are_in_the_state_that_is_wanted(
    start: Start, queries: Queries, own_fleet: Fleet, index: RunIndex
) -> None:
    late = [start(timedelta(hours=1)) for _ in range(3)]
    for _ in range(5):
        start(-timedelta(hours=1))
    caught_up(index)
    page = queries.flow_runs.find(["Late"], limit=2)
    assert [run.id for run in page.runs] == [late[2], late[1]]
    assert page.cursor is not None
    rest = queries.flow_runs.find(["Late"], before=page.cursor, limit=2)
    assert ([run.id for run in rest.runs], rest.cursor) == ([late[0]], None)


def test_runs_of_deployments_are_listed_after_the_journal_has_forgotten_them(
    start: Start, queries: Queries, own_fleet: Fleet
) -> None:
    late, cancelled = start(timedelta(hours=1)), start(timedelta(hours=2))
    own_fleet.broker.runs.cancel([cancelled])
    store = own_fleet.broker.records._store  # type: ignore[attr-defined]
    store.wires.commands([("DEL", store.keys.journal)])
    every = [(late, "Late"), (cancelled, "Cancelled")]
    for wanted in (FlowRunFilter(), FlowRunFilter(deployments=("tracker/nightly",))):
        assert [(run.id, run.state_name) for run in flow_runs_of(own_fleet, wanted)] == every
    assert flow_runs_of(own_fleet, FlowRunFilter(deployments=("tracker/another",))) == []
    new = RunIndex(own_fleet)
    new.start()
    try:
        found = Queries(own_fleet, caught_up(new)).flow_runs.find(deployment_ids=[record_id(queries)])
        assert {(run.id, run.state_name) for run in found.runs} == set(every)
        assert [run.ended is not None for run in found.runs] == [run.id == cancelled for run in found.runs]
    finally:
        new.stop()


@pytest.mark.parametrize(
    ("name", "how", "came_to"),
    [("Completed", AckKind.COMPLETED, "None"), ("Failed", AckKind.FAILED, "RunFailed('ValueError: no luck')")],
)
def test_who_asks_for_what_is_being_stored_waits_for_it(
    start: Start, queries: Queries, own_fleet: Fleet, work: Work, name: str, how: str, came_to: str
) -> None:
    """A worker reports the end of a flow before it stores what the flow came to: its hooks are called in between."""
    run_id, view = start(timedelta(0)), queries.deployments.get("tracker/nightly")
    assert view is not None
    routes = routes_of([view.record.run_queue], "s") + routes_of([view.record.run_queue], "a")
    taken = own_fleet.broker.deliveries.fetch("worker", routes, 9)[0]
    own_fleet.broker.flow_runs.write(run_id, {"type": name.upper(), "state": name})
    state = read_flow_run(own_fleet, run_id).state
    assert state.name == name
    with ThreadPoolExecutor() as threads:
        asked = threads.submit(state.result, raise_on_failure=False)
        awaited = threads.submit(asyncio.run, state.aresult(raise_on_failure=False))
        wait_until(lambda: own_fleet.open_futures.is_open(run_id))
        work.end(taken, how)
        assert [repr(one.result(30)) for one in (asked, awaited)] == [came_to] * 2


def test_a_result_that_has_expired_is_missing_and_not_none(start: Start, own_fleet: Fleet) -> None:
    run_id = start(timedelta(0))
    own_fleet.broker.flow_runs.write(run_id, {"type": "COMPLETED", "state": "Completed"})
    store = own_fleet.broker.records._store  # type: ignore[attr-defined]
    store.wires.commands([("DEL", store.keys.record(run_id))])
    state = read_flow_run(own_fleet, run_id).state
    assert state.is_completed()
    with pytest.raises(MissingResult, match="has expired"):
        state.result()

    async def awaited() -> object:
        return await state.result(raise_on_failure=False)

    with pytest.raises(MissingResult, match="has expired"):
        asyncio.run(awaited())


def record_id(queries: Queries) -> str:
    view = queries.deployments.get("tracker/nightly")
    assert view is not None
    return view.id
