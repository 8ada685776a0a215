"""Events of runs and of everything else come in one order, with labels from the records, to whoever reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from pydantic import SecretStr

from brokers.errors import BrokerRefused, BrokerUnavailable
from brokers.redis.store import pack
from orchestrator import flow, task
from orchestrator.client.fleet import Fleet
from orchestrator.deployments.names import flow_id_of
from orchestrator.events import Event, ReceivedEvent, emit_event
from orchestrator.events.interest import interest_in
from orchestrator.events.reading import Cursors, events_after, newest
from orchestrator.runs.run_ids import new_run_id
from orchestrator.settings import Settings
from orchestrator.slots import SlotsOptions
from orchestrator.slots.local_workers import LocalWorkers
from tests.support.fleets import fleet_of
from tests.support.servers import ServerProcess
from tests.support.waiting import wait_until

ORDER = {"prefect.resource.id": "shop.order.7"}


@task(tags=["heavy"])
def weigh(x: int) -> int:
    emit_event("shop.weighed", ORDER, payload={"x": x})
    return x


@flow(name="nightly")
def nightly() -> int:
    return weigh.submit(3).result()


@flow(name="failing")
def failing() -> None:
    raise ValueError("no stock")


@pytest.fixture
def fleet(server: ServerProcess, namespace: str) -> Iterator[Fleet]:
    with fleet_of(Settings(redis_url=server.url, namespace=namespace)) as made:
        yield made


@pytest.fixture
def working(fleet: Fleet) -> Iterator[Fleet]:
    workers = LocalWorkers(fleet, SlotsOptions(("default",), 2))
    workers.start()
    yield fleet
    workers.stop(5.0)


def told(fleet: Fleet, *patterns: str, limit: int = 500) -> list[ReceivedEvent]:
    """All events, read as many entries at a time."""
    events: list[ReceivedEvent] = []
    batch = events_after(fleet.broker, Cursors(), limit, interest_in(patterns))
    while batch.events or batch.has_more:
        events += batch.events
        batch = events_after(fleet.broker, batch.cursors, limit, interest_in(patterns))
    return events


def names(events: Sequence[Event]) -> list[str]:
    return [event.event for event in events]


def test_a_flow_its_task_and_what_its_code_tells_come_in_order(working: Fleet) -> None:
    nightly()
    emit_event("shop.closed", ORDER)
    ours = [event for event in told(working) if not event.event.startswith("prefect.worker.")]
    for kind, states in (("flow", ["Running", "Completed"]), ("task", ["Pending", "Completed"])):
        prefix = f"prefect.{kind}-run."  # a thread writes those of flows: a call may be there before its flow
        assert [name for name in names(ours) if name.startswith(prefix)] == [f"{prefix}{state}" for state in states]
    assert [name for name in names(ours) if name.startswith("shop.")] == ["shop.weighed", "shop.closed"]
    assert [event.received for event in ours] == sorted(event.received for event in ours)


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_two_readers_get_the_same_events_however_many_they_read_at_a_time(fleet: Fleet, limit: int) -> None:
    for number in range(3):
        emit_event(f"shop.opened.{number}", ORDER)
        fleet.broker.flow_runs.write(new_run_id(), {"flow": "nightly", "type": "RUNNING"})
    one, other = told(fleet), told(fleet, limit=limit)
    assert len(one) == 6
    assert sorted(event.id for event in one) == sorted(event.id for event in other)
    assert newest(fleet.broker) == events_after(fleet.broker, Cursors()).cursors


def test_a_run_has_the_labels_that_its_record_has(working: Fleet) -> None:
    nightly()
    by_name = {event.event: event for event in told(working)}
    flow_run, task_run = by_name["prefect.flow-run.Completed"], by_name["prefect.task-run.Completed"]
    assert flow_run.resource["prefect.state-type"] == "COMPLETED"
    assert flow_run.resource.name == f"nightly-{flow_run.resource.id[-4:]}"
    assert flow_run.resource_in_role["flow"].name == "nightly"
    assert task_run.resource_in_role["flow-run"].id == flow_run.resource.id
    assert task_run.resource_in_role["tag"].id == "prefect.tag.heavy"
    assert task_run.resource_in_role["flow"].name == "nightly"
    weighed = by_name["shop.weighed"]
    assert weighed.payload == {"x": 3}
    roles = {role: one.id for role, one in weighed.resource_in_role.items()}
    assert roles["flow-run"] == flow_run.resource.id
    assert roles["task-run"] == task_run.resource.id
    assert {"flow", "tag"} <= set(roles)


def test_a_failed_flow_tells_why(fleet: Fleet) -> None:
    with pytest.raises(ValueError, match="no stock"):
        failing()
    fleet.flow_reports.flush()
    event = told(fleet)[-1]
    assert event.event == "prefect.flow-run.Failed"
    assert "no stock" in event.resource["prefect.state-message"]
    assert event.payload["validated_state"]["type"] == "FAILED"


def test_a_worker_in_this_process_starts_and_stops(fleet: Fleet) -> None:
    workers = LocalWorkers(fleet, SlotsOptions(("default",), 1))
    workers.start()
    workers.stop(5.0)
    events = told(fleet, "prefect.worker.*")
    assert names(events) == ["prefect.worker.started", "prefect.worker.stopped"]
    assert events[0].resource.id == events[1].resource.id == f"prefect.worker.{workers.slots.consumer}"


def test_a_deployment_is_called_by_its_own_name_and_has_its_flow(fleet: Fleet) -> None:
    fleet.broker.documents.write("deployment", "d1", {}, name="etl/nightly")
    fleet.broker.schedules.write("s", {"o": "d:d1", "a": "1"})
    event, of_schedule = told(fleet)
    assert (event.event, event.resource.name) == ("prefect.deployment.created", "nightly")
    assert of_schedule.resource_in_role["deployment"].name == "nightly"
    for one in (event, of_schedule):
        assert one.resource_in_role["flow"].id == f"prefect.flow.{flow_id_of(fleet.settings.namespace, 'etl')}"


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"type": "SCHEDULED", "state": "AwaitingRetry"}, "AwaitingRetry"),
        ({"type": "FAILED", "state": "TimedOut"}, "TimedOut"),
        ({"type": "COMPLETED", "state": "Completed"}, "Completed"),
        ({"type": "RUNNING"}, "Running"),
    ],
)
def test_the_name_of_a_state_is_told_where_it_is_not_its_type_s(
    fleet: Fleet, fields: dict[str, str], name: str
) -> None:
    run_id = new_run_id()
    fleet.broker.flow_runs.note([(run_id, {"flow": "nightly", **fields}, False)])
    fleet.broker.flow_runs.write(run_id, fields)
    assert names(told(fleet)) == [f"prefect.flow-run.{name}"] * 2


def test_what_an_older_version_wrote_into_the_journal_has_the_names_of_the_types(fleet: Fleet) -> None:
    run_id = new_run_id()
    _write(fleet, "journal", "f", pack([run_id, "FAILED"]))
    assert names(told(fleet)) == ["prefect.flow-run.Failed"]


def test_damage_costs_only_what_it_is_in(fleet: Fleet) -> None:
    run_id = new_run_id()
    emit_event("shop.opened", ORDER)
    _write(fleet, "journal", "f", pack([run_id, "RUNNING"]), "n", b"\xc1")
    _write(fleet, "journal", "f", b"\xc1")
    _write(fleet, "journal", "f", pack(["", "RUNNING"]))
    _write(fleet, "journal", "e", pack([run_id, "x"]))
    _write(fleet, "evt", "e", b"\xc1")
    fleet.broker.wires.commands([("HSET", f"{{{fleet.settings.namespace}}}:f:{run_id}", "tags", b"\xc1", "runs", "x")])
    emit_event("shop.closed", ORDER)
    assert sorted(names(told(fleet))) == ["prefect.flow-run.Running"] * 2 + ["shop.closed", "shop.opened"]


def test_records_of_runs_that_nobody_wants_are_not_read(working: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    nightly()
    monkeypatch.setattr(type(working.broker.records), "rows", lambda *args: pytest.fail("records were read"))
    assert "prefect.flow-run.Completed" in names(told(working, "prefect.flow-run.*"))
    assert names(told(working, "shop.*"))[-1] == "shop.weighed"


def test_payloads_are_encrypted_where_the_fleet_has_a_key(server: ServerProcess, namespace: str) -> None:
    settings = Settings(redis_url=server.url, namespace=namespace)
    with fleet_of(settings.model_copy(update={"encryption_key": SecretStr("k" * 40)})) as fleet:
        emit_event("shop.opened", ORDER, payload={"pin": "readable"})
        assert told(fleet)[0].payload == {"pin": "readable"}
        with server.client() as client:
            assert b"readable" not in str(client.xrange(f"{{{namespace}}}:evt")).encode()
    with fleet_of(settings) as fleet:
        (event,) = told(fleet)
        assert event.resource.id == "shop.order.7"
        assert "cannot be read here" in event.payload["unreadable"]


@pytest.mark.parametrize("what", ["away", "refuses"])
def test_an_event_that_cannot_be_written_breaks_nothing(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    def fail(*args: object) -> None:
        raise BrokerUnavailable("away") if what == "away" else BrokerRefused("full")

    with monkeypatch.context() as patched, caplog.at_level("WARNING", "orchestrator.events"):
        patched.setattr(type(fleet.broker.events), "append", fail)
        for _ in range(3):
            assert emit_event("shop.opened", ORDER) is not None
        if what == "refuses":
            assert "events are lost, the store refused them: full" in caplog.text
        else:
            assert caplog.text.count("events wait for the store") == 1
    expected = ["shop.opened"] * 3 if what == "away" else []
    wait_until(lambda: names(told(fleet)) == expected)


def test_events_that_wait_for_a_store_that_is_away_are_written_when_it_is_back(
    own_server: Callable[..., ServerProcess], namespace: str
) -> None:
    own = own_server()
    with fleet_of(Settings(redis_url=own.url, namespace=namespace, command_timeout_seconds=0.2)) as fleet:
        emit_event("shop.opened", ORDER)
        own.kill()
        assert emit_event("shop.closed", ORDER) is not None  # never raises
        own.start()
        wait_until(
            lambda: names(told(fleet)) == ["shop.opened", "shop.closed"] or names(told(fleet)) == ["shop.closed"]
        )


def _write(fleet: Fleet, key: str, *fields: Any) -> None:
    fleet.broker.wires.commands([("XADD", f"{{{fleet.settings.namespace}}}:{key}", "*", *fields)])
