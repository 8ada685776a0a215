"""Ticks have one run each while what they belong to is deployed anew, and where two processes disagree about zones."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import TZPATH, ZoneInfo

import pytest

from brokers.facets.schedules import Outcome, Tick, Ticked
from brokers.messages import routes_of
from orchestrator import Flow
from orchestrator.client.fleet import Fleet
from orchestrator.deployments.flow_run_value import read_flow_run
from orchestrator.deployments.lookup import find_deployment
from orchestrator.deployments.schedules import owner_of, write_schedules
from orchestrator.flows import load_flow_from_entrypoint
from orchestrator.maintenance.ticker import Ticker
from orchestrator.runs.run_ids import tick_run_id
from orchestrator.schedules import Cron, Interval, zones
from orchestrator.scheduling import edit
from orchestrator.scheduling.record import ScheduleRecord, moment_of
from orchestrator.settings import Settings
from tests.support.fleets import fleet_of
from tests.support.servers import ServerProcess

REDEPLOYS = 20


CODE = "from orchestrator import flow\n@flow\ndef nightly(number: int = 0): return number\n"


@pytest.fixture
def nightly(tmp_path: Path) -> Flow[..., Any]:
    """What is deployed, in a folder of its own: it is sent along with each version."""
    file = tmp_path / "nightly.py"
    file.write_text(CODE)
    return load_flow_from_entrypoint(f"{file}:nightly")


@pytest.fixture
def fleet(server: ServerProcess, namespace: str) -> Iterator[Fleet]:
    with fleet_of(Settings(redis_url=server.url, namespace=namespace)) as made:
        made.broker.ticks.due()  # somebody looks from now on
        yield made


def deploy(nightly: Flow[..., Any], number: int) -> None:
    """Another version of it; so is its schedule, which has the same ticks."""
    schedule = Interval(1, slug="often", catchup="all", parameters={"number": number})
    nightly.to_deployment("d", version=f"{number}", schedule=schedule).apply()


def deployed(fleet: Fleet, nightly: Flow[..., Any], ago_seconds: float) -> ScheduleRecord:
    """The schedule of the deployment, which is due since so many seconds, and served."""
    deploy(nightly, 0)
    deployment = find_deployment(fleet.broker, "nightly/d")
    fleet.broker.documents.touch("deployment", [deployment.id], "st")
    (record,) = edit.of_owner(fleet, owner_of(deployment.id))
    tick_ms = fleet.broker.ticks.now_ms() // 1000 * 1000 - round(ago_seconds * 1000)
    fleet.broker.schedules.write(record.id, {}, due_ms=tick_ms)
    return record


def taken(fleet: Fleet, record: ScheduleRecord) -> list[str]:
    """The runs that are queued, in that order."""
    queue = record.route.rpartition(":")[0]
    return [one.run_id for one in fleet.broker.deliveries.fetch("me", routes_of([queue], "s"), 1_000)[0]]


def assert_one_run_each(fleet: Fleet, record: ScheduleRecord) -> list[str]:
    """The ticks follow each other without a gap, and what is queued is a run of each, in this order."""
    fired = fleet.broker.ticks.fired(record.id, 0, 10**14)
    assert fired == list(range(fired[0], fired[-1] + 1000, 1000))
    runs = taken(fleet, record)
    assert sorted(runs) == [tick_run_id(record.id, tick_ms) for tick_ms in fired]
    return runs


@contextmanager
def before_each_script(fleet: Fleet, patch: pytest.MonkeyPatch, do: Callable[[], object]) -> Iterator[list[Ticked]]:
    """Something happens after a ticker has read and decided, and before it fires; gives what became of its ticks."""
    replies: list[Ticked] = []
    fire = fleet.broker.ticks.tick

    def interrupted(ticks: Sequence[Tick], silent_seconds: float) -> list[Ticked]:
        do()
        replies.extend(found := fire(ticks, silent_seconds))
        return found

    with patch.context() as context:
        context.setattr(fleet.broker.ticks, "tick", interrupted)
        yield replies


def test_twenty_deploys_between_reading_a_tick_and_firing_it_make_one_run_of_the_last_of_them(
    fleet: Fleet, nightly: Flow[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    record, ticker = deployed(fleet, nightly, 0.0), Ticker(fleet)
    numbers = iter(range(1, REDEPLOYS + 1))
    with before_each_script(fleet, monkeypatch, lambda: deploy(nightly, next(numbers))) as replies:
        for _ in range(REDEPLOYS):
            ticker.run_once()
    assert [one.what for one in replies] == [Outcome.MOVED] * REDEPLOYS
    assert taken(fleet, record) == []
    ticker.run_once()
    runs = assert_one_run_each(fleet, record)
    assert {read_flow_run(fleet, run_id).parameters["number"] for run_id in runs} == {REDEPLOYS}


def test_twenty_deploys_by_two_at_once_while_two_others_fire_make_one_run_of_each_tick(
    fleet: Fleet, nightly: Flow[..., Any]
) -> None:
    record = deployed(fleet, nightly, 30.0)

    def fire() -> None:
        ticker = Ticker(other := Fleet(fleet.settings))
        while edit.read(other, [record.id])[0].due_ms <= until:  # type: ignore[operator, union-attr]
            ticker.run_once()
        other.close()

    until = fleet.broker.ticks.now_ms()
    with ThreadPoolExecutor(4) as pool:
        firing = [pool.submit(fire) for _ in range(2)]
        assert list(pool.map(partial(deploy, nightly), range(1, REDEPLOYS + 1))) == [None] * REDEPLOYS
        for one in firing:
            one.result(60)
    assert len(assert_one_run_each(fleet, record)) >= 30


def once(do: Callable[[], None]) -> Callable[[], None]:
    """Do it when asked for the first time."""
    left = [do]
    return lambda: left.pop()() if left else None


@contextmanager
def other_data_of_zones(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Oslo has the clock of Moscow, as after a decision of its government."""
    (moscow,) = [path for folder in TZPATH if (path := Path(folder, "Europe/Moscow")).exists()][:1]

    def zone(name: str) -> ZoneInfo:
        if name != "Europe/Oslo":
            return ZoneInfo(name)
        with moscow.open("rb") as file:
            return ZoneInfo.from_file(file, key=name)

    with patch.context() as context:
        context.setattr(zones, "ZoneInfo", zone)
        yield


def test_two_processes_with_other_data_of_a_zone_make_one_run_of_each_tick(
    fleet: Fleet, nightly: Flow[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = Cron("0 9 * * *", timezone="Europe/Oslo", catchup="all", slug="daily")
    nightly.to_deployment("d", schedule=schedule).apply()
    deployment = find_deployment(fleet.broker, "nightly/d")
    fleet.broker.documents.touch("deployment", [deployment.id], "st")
    (record,) = edit.of_owner(fleet, owner_of(deployment.id))
    here, elsewhere = Ticker(fleet), Ticker(fleet)

    def fire_elsewhere() -> None:
        with other_data_of_zones(monkeypatch):
            elsewhere.run_once()

    dues: list[int] = []
    for hour in range(6):  # each of them has set it, in turn: the other one finds a moment that is none of its ticks
        now_ms = fleet.broker.ticks.now_ms()
        dues.append(now_ms // 1000 * 1000 - hour)
        fleet.broker.schedules.write(record.id, {}, due_ms=dues[-1])
        if hour % 2:
            fire_elsewhere()
            here.run_once()
        else:  # after this one has read and decided
            with before_each_script(fleet, monkeypatch, once(fire_elsewhere)):
                here.run_once()
        (found,) = edit.read(fleet, [record.id])
        assert found is not None
        assert found.due_ms is not None
        assert moment_of(found.due_ms).hour in (6, 7, 8)  # nine o'clock in Moscow, or in Oslo in summer or winter
    assert sorted(taken(fleet, record)) == sorted(tick_run_id(record.id, tick_ms) for tick_ms in dues)


def test_of_two_deploys_with_other_schedules_those_of_one_are_there(
    fleet: Fleet, nightly: Flow[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    nightly.to_deployment("d").apply()
    record = find_deployment(fleet.broker, "nightly/d")
    list_them, together, been_here = edit.of_owner, threading.Barrier(2), threading.local()

    def at_once(fleet: Fleet, owner: str) -> list[ScheduleRecord]:
        """The first time, both have written theirs before one lists them, and both have listed them thereafter."""
        if vars(been_here):
            return list_them(fleet, owner)
        been_here.before = True
        together.wait(20)
        found = list_them(fleet, owner)
        together.wait(20)
        return found

    monkeypatch.setattr(edit, "of_owner", at_once)
    with ThreadPoolExecutor(2) as pool:
        done = [pool.submit(write_schedules, fleet, record, [Interval(seconds)]) for seconds in (3600, 7200)]
        for one in done:
            one.result(30)
    assert len(list_them(fleet, owner_of(record.id))) == 1
