"""One suite for the client on the store, in this process, and over HTTP: both see and do the same."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from brokers.messages import AckKind
from orchestrator import flow, get_client
from orchestrator.client.api_errors import ApiError, ApiUnavailable
from orchestrator.client.fleet import Fleet
from orchestrator.client.orchestration import OrchestrationClient, PrefectClient, SyncOrchestrationClient
from orchestrator.client.schemas import filters
from orchestrator.client.schemas.actions import (
    DeploymentScheduleCreate,
    DeploymentUpdate,
    GlobalConcurrencyLimitCreate,
    GlobalConcurrencyLimitUpdate,
    LogCreate,
)
from orchestrator.client.schemas.objects import Deployment
from orchestrator.client.schemas.schedules import CronSchedule, IntervalSchedule
from orchestrator.client.schemas.sorting import DeploymentSort, FlowRunSort, TaskRunSort
from orchestrator.errors import ConfigurationError, MissingResult, RunFailed
from orchestrator.exceptions import ObjectAlreadyExists, ObjectNotFound
from orchestrator.server import make_app
from orchestrator.settings import current, use
from orchestrator.states import Cancelled, Completed, Failed, Running, Scheduled, StateType
from tests.server.conftest import Site, caught_up
from tests.support.apps import deployed_flows
from tests.support.work import Work

KEY = "s3cret-of-the-tests"


@pytest.fixture(params=["store", "http"])
def where(request: pytest.FixtureRequest, own_fleet: Fleet) -> Iterator[str]:
    """The store, or a server: what ``get_client`` finds in the settings."""
    if request.param == "store":
        yield "store"
        return
    site = Site(make_app(own_fleet, token=KEY))
    with use(current().model_copy(update={"api_url": f"{site.url}/api", "api_key": SecretStr(KEY)})):
        caught_up(site.queries.index)
        yield "http"
    site.close()


@pytest.fixture
def client(where: str) -> Iterator[SyncOrchestrationClient]:
    with get_client(sync_client=True) as made:
        yield made


@pytest.fixture
def nightly(client: SyncOrchestrationClient) -> Deployment:
    """A deployment, ``tracker/nightly``."""
    deployed_flows.tracker.to_deployment(
        "nightly", cron="0 9 * * *", timezone="Europe/Oslo", parameters={"city": "Oslo"}, tags=["etl"], version="7"
    ).apply()
    return client.read_deployment_by_name("tracker/nightly")


def test_the_server_is_there(client: SyncOrchestrationClient) -> None:
    assert client.api_healthcheck() is None
    assert (client.hello().status_code, client.hello().json(), client.hello().text) == (200, "👋", '"👋"')
    assert client.api_version()[0].isdigit()


def test_flows_are_made_and_found(client: SyncOrchestrationClient, nightly: Deployment) -> None:
    made = client.create_flow_from_name("by hand")
    assert client.create_flow_from_name("by hand") == made
    assert client.read_flow(made).name == client.read_flow_by_name("by hand").name == "by hand"
    assert [flow.name for flow in client.read_flows(limit=5)] == ["by hand", "tracker"]
    like = filters.FlowFilter(name=filters.FlowFilterName(like_="track"))
    assert [flow.id for flow in client.read_flows(flow_filter=like)] == [nightly.flow_id]
    assert client.count_flows() == 2
    with pytest.raises(ObjectNotFound, match="Flow 'none' not found!"):
        client.read_flow_by_name("none")
    with pytest.raises(TypeError, match="flows_filter"):
        client.read_flows(flows_filter=like)  # type: ignore[call-arg]


def test_a_deployment_is_read_changed_paused_and_deleted(client: SyncOrchestrationClient, nightly: Deployment) -> None:
    assert (nightly.name, nightly.parameters, nightly.tags) == ("nightly", {"city": "Oslo"}, ["etl"])
    assert client.read_deployment(nightly.id) == nightly
    tagged = filters.DeploymentFilter(tags=filters.DeploymentFilterTags(all_=["etl"]))
    assert client.read_deployments(deployment_filter=tagged, sort=DeploymentSort.NAME_ASC, limit=200) == [nightly]
    client.update_deployment(nightly.id, DeploymentUpdate(description="at night", tags=["x"]))
    client.pause_deployment(nightly.id)
    changed = client.read_deployment(nightly.id)
    assert (changed.description, changed.tags, changed.paused) == ("at night", ["x"], True)
    client.set_deployment_paused_state(nightly.id, False)
    assert client.read_deployment(nightly.id).paused is False
    client.delete_deployment(nightly.id)
    with pytest.raises(ObjectNotFound):
        client.read_deployment(nightly.id)
    with pytest.raises(ValueError, match="flow/deployment"):
        client.read_deployment_by_name("nightly")


def test_a_deployment_is_made_by_its_entrypoint(client: SyncOrchestrationClient) -> None:
    flow_id = client.create_flow_from_name("elsewhere")
    made = client.create_deployment(flow_id, "weekly", entrypoint="jobs.py:elsewhere", tags=["a"], concurrency_limit=2)
    found = client.read_deployment(made)
    assert (found.entrypoint, found.tags, found.concurrency_limit) == ("jobs.py:elsewhere", ["a"], 2)
    assert client.create_deployment(flow_id, "weekly", tags=["b"]) == made
    assert client.count_deployments() == 1


def test_schedules_are_added_changed_and_taken_away(client: SyncOrchestrationClient, nightly: Deployment) -> None:
    (first,) = client.read_deployment_schedules(nightly.id)
    assert first.schedule == CronSchedule(cron="0 9 * * *", timezone="Europe/Oslo")
    hourly = DeploymentScheduleCreate(schedule=IntervalSchedule(interval=timedelta(hours=1)), slug="hourly")
    client.create_deployment_schedules(nightly.id, [hourly])
    client.create_deployment_schedules(nightly.id, [(CronSchedule(cron="0 1 * * *"), False)])
    by_id = {each.id: each for each in client.read_deployment_schedules(nightly.id)}
    assert len(by_id) == 3
    assert sorted(each.active for each in by_id.values()) == [False, True, True]
    client.update_deployment_schedule(nightly.id, first.id, active=False)
    again = {each.id: each for each in client.read_deployment_schedules(nightly.id)}
    assert again[first.id].active is False
    client.delete_deployment_schedule(nightly.id, first.id)
    assert first.id not in {each.id for each in client.read_deployment_schedules(nightly.id)}


def test_a_run_of_a_deployment_is_made_seen_at_once_and_cancelled(
    client: SyncOrchestrationClient, nightly: Deployment
) -> None:
    made = client.create_flow_run_from_deployment(nightly.id, parameters={"city": "Rome"}, name="by hand", tags=["t"])
    assert made.state is not None
    assert (made.state.is_scheduled(), made.name, made.deployment_id) == (True, "by hand", nightly.id)
    assert [run.id for run in client.read_flow_runs()] == [made.id]
    waiting = filters.FlowRunFilter(
        state=filters.FlowRunFilterState(type=filters.FlowRunFilterStateType(any_=["SCHEDULED"])),
        deployment_id=filters.FlowRunFilterDeploymentId(any_=[nightly.id]),
        tags=filters.FlowRunFilterTags(all_=["t"]),
    )
    assert [run.id for run in client.read_flow_runs(flow_run_filter=waiting, sort=FlowRunSort.NAME_ASC)] == [made.id]
    assert client.count_flow_runs(flow_run_filter=waiting) == 1
    result = client.set_flow_run_state(made.id, Cancelled(message="not needed"))
    assert result.status == "ACCEPT"
    read = client.read_flow_run(made.id)
    assert read.state_name == "Cancelled"
    assert read.parameters["city"] == "Rome"
    with pytest.raises(ApiError, match="COMPLETED"):
        client.set_flow_run_state(made.id, Completed())
    client.delete_flow_run(made.id)
    with pytest.raises(ObjectNotFound):
        client.read_flow_run(made.id)


def test_a_run_that_waits_is_moved_to_another_time_as_prefects_pages_have_it(
    client: SyncOrchestrationClient, nightly: Deployment
) -> None:
    moment = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    waits = client.create_flow_run_from_deployment(nightly.id, state=Scheduled(scheduled_time=moment))
    client.delete_flow_run(flow_run_id=waits.id)
    with pytest.raises(ObjectNotFound):
        client.read_flow_run(waits.id)
    to_come = client.create_flow_run_from_deployment(nightly.id, state=Scheduled(scheduled_time=moment))
    assert [run.id for run in client.read_flow_runs()] == [to_come.id]
    assert to_come.state is not None
    cancelled = to_come.state.copy(update={"name": "Cancelled", "type": StateType.CANCELLED})
    assert client.set_flow_run_state(to_come.id, cancelled, force=True).status == "ACCEPT"


def test_a_key_makes_one_run_and_a_moment_a_later_one(client: SyncOrchestrationClient, nightly: Deployment) -> None:
    once = [client.create_flow_run_from_deployment(nightly.id, idempotency_key="k").id for _ in range(2)]
    assert once[0] == once[1]
    moment = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    later = client.create_flow_run_from_deployment(nightly.id, state=Scheduled(scheduled_time=moment))
    assert later.expected_start_time == moment
    to_come = client.get_scheduled_flow_runs_for_deployments([nightly.id], limit=200)
    assert later.id in {run.id for run in to_come}
    with pytest.raises(ApiError, match="town"):
        client.create_flow_run_from_deployment(nightly.id, parameters={"town": "Rome"})
    with pytest.raises(ObjectNotFound):
        client.create_flow_run_from_deployment(uuid4())


def test_task_runs_and_their_logs(client: SyncOrchestrationClient, work: Work, own_fleet: Fleet) -> None:
    run_ids = work.submit_many(3, tags=("red",))
    work.run(AckKind.FAILED, most=1)
    assert {str(run.id) for run in client.read_task_runs(limit=10)} == set(run_ids)
    failed = filters.TaskRunFilter(
        state=filters.TaskRunFilterState(type=filters.TaskRunFilterStateType(any_=["FAILED"])),
        tags=filters.TaskRunFilterTags(all_=["red"]),
    )
    (one,) = client.read_task_runs(task_run_filter=failed)
    assert one.state is not None
    assert (one.state.is_failed(), one.state.message) == (True, "ValueError: no luck")
    assert client.count_task_runs(task_run_filter=failed) == 1
    assert client.read_task_run(one.id).task_key == "shop.pay"
    other = next(run_id for run_id in run_ids if run_id != str(one.id))
    assert client.set_task_run_state(other, Cancelled()).status == "ACCEPT"
    client.delete_task_run(one.id)
    with pytest.raises(ObjectNotFound):
        client.read_task_run(one.id)
    lines = filters.LogFilter(task_run_id=filters.LogFilterTaskRunId(any_=[UUID(other)]))
    assert client.read_logs(lines) == []


def test_limits_by_name(client: SyncOrchestrationClient) -> None:
    made = client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name="db", limit=3))
    with pytest.raises(ObjectAlreadyExists):
        client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name="db", limit=3))
    client.update_global_concurrency_limit("db", GlobalConcurrencyLimitUpdate(limit=5))
    assert client.read_global_concurrency_limit_by_name("db").limit == 5
    client.upsert_global_concurrency_limit_by_name("db", 6)
    client.upsert_global_concurrency_limit_by_name("other", 1)
    assert {limit.name: limit.limit for limit in client.read_global_concurrency_limits()} == {"db": 6, "other": 1}
    assert made in {limit.id for limit in client.read_global_concurrency_limits()}
    client.delete_global_concurrency_limit_by_name("db")
    with pytest.raises(ObjectNotFound, match="'db'"):
        client.read_global_concurrency_limit_by_name("db")


def test_the_other_door_leads_to_the_same(client: SyncOrchestrationClient, nightly: Deployment) -> None:
    without_context = get_client()

    async def ask() -> tuple[list[Deployment], Exception | None, Deployment]:
        async with get_client() as one, OrchestrationClient() as other:
            assert isinstance(one, PrefectClient)
            alone = await without_context.read_deployment(nightly.id)
            await without_context.api.aclose()
            return await one.read_deployments(limit=5), await other.api_healthcheck(), alone

    for _ in range(2):  # the one without a context is used on two loops
        assert asyncio.run(ask()) == ([nightly], None, nightly)


def test_a_run_that_this_program_does_is_reported_and_has_a_log(client: SyncOrchestrationClient) -> None:
    made = client.create_flow_run(deployed_flows.tracker, parameters={"city": "Bergen"}, tags=["outside"])
    assert (made.state_name, made.flow_name) == ("Pending", "tracker")
    assert client.set_flow_run_state(made.id, Running()).state == client.read_flow_run(made.id).state
    now = datetime.now(UTC)
    lines = [LogCreate(level=20, message=f"line {n}", timestamp=now, flow_run_id=made.id) for n in range(3)]
    client.create_logs(lines)
    assert client.set_flow_run_state(made.id, Failed(message="no luck")).state == client.read_flow_run(made.id).state
    read = client.read_flow_run(made.id)
    assert (read.state_name, read.run_count, read.parameters, read.tags) == (
        "Failed",
        1,
        {"city": "Bergen"},
        ["outside"],
    )
    assert read.state is not None
    assert read.state.message == "no luck"
    with pytest.raises(RunFailed, match="no luck"):
        read.state.result()
    states = [state.name for state in client.read_flow_run_states(made.id)]
    assert states == ["Scheduled", "Running", "Failed"]
    kept = client.read_logs(filters.LogFilter(flow_run_id=filters.LogFilterFlowRunId(any_=[made.id])), offset=1)
    assert [(line.level, line.message) for line in kept] == [(20, "line 1"), (20, "line 2")]
    with pytest.raises(ApiError, match="Failed"):
        client.set_flow_run_state(made.id, Running())
    with pytest.raises(ObjectNotFound, match="none of the lines"):
        client.create_logs([{"level": 20, "message": "x", "timestamp": now, "flow_run_id": uuid4()}])
    client.set_flow_run_name(made.id, "other name")
    client.update_flow_run(made.id, tags=["a", "b"])
    assert (client.read_flow_run(made.id).name, client.read_flow_run(made.id).tags) == ("other name", ["a", "b"])
    assert [run.id for run in client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC)] == [made.id]


def test_what_waits_is_not_renamed_since_its_process_would_undo_it(
    client: SyncOrchestrationClient, nightly: Deployment
) -> None:
    waiting = client.create_flow_run_from_deployment(nightly.id)
    with pytest.raises(ApiError, match="once it has ended"):
        client.set_flow_run_name(waiting.id, "other")
    client.update_flow_run(waiting.id, tags=["x"])
    assert client.read_flow_run(waiting.id).tags == ["x"]


def test_a_flow_is_forgotten_unless_it_has_deployments(client: SyncOrchestrationClient, nightly: Deployment) -> None:
    with pytest.raises(ApiError, match="delete them first"):
        client.delete_flow(nightly.flow_id)
    made = client.create_flow_from_name("by hand")
    client.delete_flow(made)
    with pytest.raises(ObjectNotFound):
        client.read_flow(made)


def test_task_runs_by_any_condition_and_in_any_order(client: SyncOrchestrationClient, work: Work) -> None:
    first, second, third = (work.submit("shop.pay", tags=(tag,), flow=f"flow-{tag}") for tag in "abc")
    work.run(AckKind.COMPLETED, most=1)
    any_tag = filters.TaskRunFilter(tags=filters.TaskRunFilterTags(any_=["a", "c"]))
    found = client.read_task_runs(task_run_filter=any_tag, sort=TaskRunSort.EXPECTED_START_TIME_ASC)
    assert {str(run.id) for run in found} == {first, third}
    moments = [run.expected_start_time for run in found if run.expected_start_time is not None]
    assert moments == sorted(moments)
    assert client.count_task_runs(task_run_filter=any_tag) == 2
    (ended,) = client.read_task_runs(sort=TaskRunSort.END_TIME_DESC, limit=1)
    assert ended.end_time is not None
    since = filters.TaskRunFilter(end_time=filters.TaskRunFilterEndTime(after_=ended.end_time))
    assert client.read_task_runs(task_run_filter=since) == [ended]
    assert [state.name for state in client.read_task_run_states(ended.id)][-1] == "Completed"
    by_name = client.read_task_runs(sort=TaskRunSort.NAME_DESC)
    assert [run.name for run in by_name] == sorted((run.name for run in by_name), reverse=True)
    assert second in {str(run.id) for run in by_name}


def test_nobody_there_is_one_sentence_and_no_wait(own_fleet: Fleet) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/api"
        with SyncOrchestrationClient(url) as client:
            with pytest.raises(ApiUnavailable, match="orchestrator server start"):
                client.read_flows()
            assert isinstance(client.api_healthcheck(), ApiUnavailable)
            asyncio.run(_unavailable(url))


async def _unavailable(url: str) -> None:
    async with OrchestrationClient(url) as client:
        with pytest.raises(ApiUnavailable, match="does not answer"):
            await client.read_flows()


def test_one_that_does_not_answer_is_given_up(own_fleet: Fleet) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/api"
        with (
            SyncOrchestrationClient(url, httpx_settings={"timeout": 0.2}) as client,
            pytest.raises(ApiUnavailable, match="in time"),
        ):
            client.read_flows()


def test_a_key_that_is_not_known_is_refused_with_the_setting_to_change(own_fleet: Fleet) -> None:
    site = Site(make_app(own_fleet, token=KEY))
    try:
        with (
            SyncOrchestrationClient(f"{site.url}/api", api_key="other") as client,
            pytest.raises(ApiError, match="ORCHESTRATOR_API_KEY") as refused,
        ):
            client.read_flows()
        assert KEY not in str(refused.value)
        assert "other" not in str(refused.value)
        assert refused.value.status == 401
    finally:
        site.close()


def test_an_address_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(ConfigurationError, match="http://127"):
        SyncOrchestrationClient("localhost:4200")


def test_a_client_on_the_store_sees_what_its_own_process_has_just_done(own_fleet: Fleet) -> None:
    seen: list[str | None] = []

    @flow
    def looks() -> None:
        with get_client(sync_client=True) as client:
            seen.extend(run.state_name for run in client.read_flow_runs())

    looks()
    with get_client(sync_client=True) as client:
        seen.extend(run.state_name for run in client.read_flow_runs())
    assert seen == ["Running", "Completed"]


def test_the_result_of_a_run_is_had_where_the_store_is(own_fleet: Fleet, work: Work) -> None:
    run_id = work.submit()
    work.run(AckKind.COMPLETED)
    with get_client(sync_client=True) as client:
        state = client.read_task_run(run_id).state
    assert state is not None
    assert state.result() == own_fleet.latest_state(run_id).result()
    with use(current().model_copy(update={"api_url": "http://127.0.0.1:9/api"})), pytest.raises(MissingResult):
        state.result()
