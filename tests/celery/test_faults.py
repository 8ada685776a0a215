"""Celery's workers are killed, their broker goes away, senders die half-way: nothing is lost, nothing runs for ever."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from brokers.celery.broker import CeleryBroker
from brokers.messages import Status
from orchestrator.client.fleet import Fleet
from orchestrator.errors import BrokerUnavailable, RunCancelled, RunCrashed, TaskTimeout
from orchestrator.futures import wait
from orchestrator.settings import Settings
from tests.celery.conftest import APP, QUICK
from tests.conftest import NO_RABBITMQ, skip_without
from tests.support import app_for_workers as app
from tests.support.celery_engine import CeleryWorker
from tests.support.engines import ROOT, Engine, celery_over_amqp, environment_of
from tests.support.fleets import fleet_of
from tests.support.rabbitmq import RabbitMQ, is_installed
from tests.support.servers import ServerProcess
from tests.support.waiting import wait_until
from tests.support.worker_process import notes, wait_note

pytestmark = pytest.mark.smoke  # how engine 2 loses nothing is proven over both of its brokers, always

Start = Callable[..., CeleryWorker]


@pytest.fixture
def fleet(engine: Engine, server: ServerProcess, namespace: str) -> Iterator[Fleet]:
    yield from _fleet(engine.settings(server, namespace, **QUICK))


def _fleet(settings: Settings) -> Iterator[Fleet]:
    with fleet_of(settings) as made:
        yield made


@pytest.fixture
def start(engine: Engine) -> Iterator[Start]:
    started: list[CeleryWorker] = []

    def start_one(fleet: Fleet, threads: int = 2, **how: object) -> CeleryWorker:
        worker = engine.start_worker(fleet.settings, APP, threads=threads, **how)  # type: ignore[call-arg]
        assert isinstance(worker, CeleryWorker)
        started.append(worker)
        return worker

    yield start_one
    for worker in started:
        worker.retire()


def records(server: ServerProcess, fleet: Fleet) -> list[bytes]:
    """What the store keeps of runs; a fleet's own user may not ask for that."""
    with server.client() as client:
        return list(client.keys(fleet.broker.keys.prefix + "r:*"))


def crashes(fleet: Fleet, run_id: str) -> int:
    return fleet.broker.records.read([run_id])[0].crashes


def test_a_child_is_killed_amid_a_batch(fleet: Fleet, start: Start, tmp_path: Path) -> None:
    start(fleet)
    before = app.add.map(range(30), 1)
    victim = app.sleep_if_first.delay(str(tmp_path), "victim")
    after = app.add.map(range(30), 1)
    os.kill(wait_note(tmp_path, "victim begins"), signal.SIGKILL)
    assert victim.result(timeout=40) == "victim"
    assert [future.result(timeout=40) for future in [*before, *after]] == [*range(1, 31)] * 2
    assert crashes(fleet, victim.run_id) == 1
    assert {crashes(fleet, future.run_id) for future in [*before, *after]} == {0}


def test_a_whole_worker_is_killed_and_another_does_its_calls(fleet: Fleet, start: Start, tmp_path: Path) -> None:
    first = start(fleet, threads=1)
    future = app.sleep_if_first.delay(str(tmp_path), "work")
    others = app.add.map(range(20), 1)
    child = wait_note(tmp_path, "work begins")
    first.kill()
    start(fleet, threads=1)
    assert future.result(timeout=60) == "work"
    assert [other.result(timeout=60) for other in others] == [*range(1, 21)]
    wait_until(lambda: not Path(f"/proc/{child}").exists(), 20, "the child of the killed worker is gone")


def test_a_message_sent_after_a_worker_was_killed_is_not_taken_by_a_child_that_was_forked_later(
    engine: Engine, server: ServerProcess, fleet: Fleet, start: Start, tmp_path: Path
) -> None:
    if engine.name != "celery+redis":
        pytest.skip("RabbitMQ keeps a message until it is confirmed")

    def readers() -> set[str]:
        return {one["id"] for one in client.client_list() if one["cmd"] == "brpop"}

    with server.client(db=1) as client:
        others = readers()
        worker = start(fleet)
        first = worker.children()
        for child in first:
            os.kill(child, signal.SIGKILL)
        wait_until(lambda: len({*worker.children()} - {*first}) == 2, 30, "both are replaced")
        app.outlive_the_worker.delay(str(tmp_path), "orphan")
        child = wait_note(tmp_path, "orphan begins")
        wait_until(lambda: readers() - others, 20, "the worker waits for messages")
        its = readers() - others
        try:
            worker.kill()
            wait_until(lambda: not its & {one["id"] for one in client.client_list()}, 20, "its connection is closed")
            app.add.delay(1, 2)
            assert client.llen(f"{fleet.settings.namespace}.default") == 1
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_poisonous_call_ends_among_the_dead_letters_and_its_neighbours_complete(
    fleet: Fleet, start: Start, tmp_path: Path
) -> None:
    start(fleet)
    before = app.add.map(range(20), 1)
    poison = app.poison.delay(str(tmp_path), "exit")
    after = app.add.map(range(20), 1)
    with pytest.raises(RunCrashed, match=r"exit code 3.*3 times"):
        poison.result(timeout=90)
    assert [future.result(timeout=60) for future in [*before, *after]] == [*range(1, 21)] * 2
    assert notes(tmp_path).count("poison in") == 3
    assert fleet.broker.dead_letters.newest() == [poison.run_id]
    (tmp_path / "antidote").touch()
    assert fleet.broker.runs.replay([poison.run_id]) == [poison.run_id]
    poison.reopen()
    assert poison.result(timeout=40) == "cured"


def test_a_warm_shutdown_amid_a_batch_loses_nothing(fleet: Fleet, start: Start, tmp_path: Path) -> None:
    first = start(fleet, threads=1)
    futures = [app.sleep_and_note.delay(str(tmp_path), f"call {n}", 0.05) for n in range(20)]
    wait_note(tmp_path, "call 3 begins")
    first.process.send_signal(signal.SIGTERM)
    assert first.process.wait(30) == 0, first.output
    start(fleet, threads=1)
    assert [future.result(timeout=60) for future in futures] == [f"call {n}" for n in range(20)]
    assert {crashes(fleet, future.run_id) for future in futures} == {0}
    assert notes(tmp_path).count("begins") == 20


def test_a_call_that_runs_on_while_its_worker_stops_runs_nowhere_else(
    fleet: Fleet, start: Start, tmp_path: Path
) -> None:
    first = start(fleet, threads=1)
    future = app.sleep_and_note.delay(str(tmp_path), "long call", 2 * fleet.settings.lease_seconds)
    wait_note(tmp_path, "long call begins")
    start(fleet, threads=1)
    first.process.send_signal(signal.SIGTERM)
    assert future.result(timeout=60) == "long call"
    assert first.process.wait(30) == 0, first.output
    assert notes(tmp_path).count("begins") == 1
    assert crashes(fleet, future.run_id) == 0


def test_a_call_that_hangs_is_killed_at_its_timeout_and_one_that_is_deaf_when_it_is_cancelled(
    fleet: Fleet, start: Start, tmp_path: Path
) -> None:
    start(fleet)
    hangs = app.stuck_with_timeout.delay()
    deaf = app.stuck_in_c.delay(str(tmp_path), "deaf")
    wait_note(tmp_path, "deaf begins")
    assert deaf.cancel()
    with pytest.raises(TaskTimeout):
        hangs.result(timeout=40)
    with pytest.raises(RunCancelled):
        deaf.result(timeout=40)
    assert app.add.submit(1, 1).result(timeout=40) == 2


def test_a_sleeping_call_is_interrupted_when_it_is_cancelled_and_its_process_goes_on(
    fleet: Fleet, start: Start, tmp_path: Path
) -> None:
    start(fleet, threads=1)
    future = app.sleep_and_note.delay(str(tmp_path), "nap", 60)
    process = wait_note(tmp_path, "nap begins")
    assert future.cancel()
    with pytest.raises(RunCancelled):
        future.result(timeout=60)
    assert app.which_process.submit().result(timeout=40) == process


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_other_pools_serve_calls_too(fleet: Fleet, start: Start, pool: str) -> None:
    start(fleet, threads=2 if pool == "threads" else 1, pool=pool)
    futures = [*app.add.map(range(50), 1), *app.add_async.map(range(20), 1)]
    assert [future.result(timeout=40) for future in futures] == [*range(1, 51), *range(1, 21)]


SENDER = """
import os, sys
from brokers.celery.publisher import Publisher
Publisher.publish = lambda self, messages: os._exit(9)  # it dies after it wrote, before it published
from tests.celery.conftest import APP, QUICK
from tests.support import app_for_workers as app
app.add.delay(20, 3)
"""


def test_a_sender_that_dies_between_record_and_message_leaves_a_call_that_runs(fleet: Fleet, start: Start) -> None:
    died = subprocess.run(
        [sys.executable, "-c", SENDER], env=environment_of(fleet.settings), cwd=ROOT, check=False, timeout=60
    )
    assert died.returncode == 9
    (key,) = fleet.broker.wires.commands([("ZRANGE", fleet.broker.keys.prefix + "unpublished", 0, -1)])
    (run_id,) = [run.decode() for run in key]
    assert fleet.broker.records.read([run_id])[0].status == Status.QUEUED
    start(fleet, threads=1)
    wait_until(lambda: fleet.broker.records.read([run_id])[0].status == Status.COMPLETED, 40, "somebody publishes it")


def test_a_call_whose_message_cannot_be_published_is_not_kept(
    fleet: Fleet, server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = fleet.broker
    assert isinstance(broker, CeleryBroker)

    def refuse(messages: object) -> None:
        raise BrokerUnavailable("the broker went away this moment")

    monkeypatch.setattr(broker.publisher, "publish", refuse)
    with pytest.raises(BrokerUnavailable):
        app.add.apply_async((1, 2), idempotency_key="once")
    monkeypatch.undo()
    assert records(server, fleet) == []
    assert app.add.apply_async((1, 2), idempotency_key="once").state.is_pending()


@pytest.mark.parametrize("engine", ["celery+amqp"], indirect=True)  # the other row's store is its broker
def test_a_worker_that_begins_while_the_store_is_away_takes_its_calls_when_it_is_there(
    engine: Engine, own_server: Callable[..., ServerProcess], start: Start, namespace: str
) -> None:
    store = own_server()
    for fleet in _fleet(engine.settings(store, namespace, **QUICK)):
        first = start(fleet, threads=1)
        future = app.add.delay(1, 2)
        assert future.result(timeout=40) == 3
        first.stop()
        future = app.add.delay(2, 3)
        store.freeze()
        worker = engine.start_worker(fleet.settings, APP, threads=1)
        try:
            assert isinstance(worker, CeleryWorker)
            worker.wait_output("calls wait here for the store", 40)
            store.thaw()
            assert future.result(timeout=40) == 5
        finally:
            store.thaw()
            worker.stop()


# -- the broker itself -------------------------------------------------------------------------------------------------


@pytest.fixture
def own_rabbitmq() -> Iterator[RabbitMQ]:
    if not is_installed():
        skip_without(NO_RABBITMQ)
    node = RabbitMQ().start()
    yield node
    node.close()


def test_rabbitmq_stops_and_starts_amid_a_map(
    own_rabbitmq: RabbitMQ, server: ServerProcess, namespace: str, tmp_path: Path
) -> None:
    engine = celery_over_amqp(own_rabbitmq.url)
    for _fleet_ in _fleet(engine.settings(server, namespace, **QUICK)):
        worker = engine.start_worker(_fleet_.settings, APP, threads=2)
        try:
            futures = [app.sleep_and_note.delay(str(tmp_path), f"call {n}", 0.02) for n in range(100)]
            wait_note(tmp_path, "call 20 begins")
            own_rabbitmq.stop()
            begun = time.monotonic()
            with pytest.raises(BrokerUnavailable, match="does not answer"):
                app.add.delay(1, 2)
            assert time.monotonic() - begun < 4.0  # the promise is 2 s; this machine may be busy
            own_rabbitmq.start()
            wait_until(lambda: _sends(1, 2), 40, "sending works again")
            assert wait(futures, timeout=90).not_done == set()
            assert [future.result() for future in futures] == [f"call {n}" for n in range(100)]
        finally:
            worker.stop()


def _sends(*numbers: int) -> bool:
    try:
        app.add.delay(*numbers)
    except BrokerUnavailable:
        return False
    return True


def test_a_broker_that_answers_nothing_is_unavailable_in_time(server: ServerProcess, namespace: str) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(50)
        engine = celery_over_amqp(f"amqp://guest:s3cret@127.0.0.1:{deaf.getsockname()[1]}//")
        for fleet in _fleet(engine.settings(server, namespace)):
            begun = time.monotonic()
            with pytest.raises(BrokerUnavailable) as caught:
                app.add.delay(1, 2)
            assert time.monotonic() - begun < 4.0
            assert "s3cret" not in str(caught.value)
            assert records(server, fleet) == []
