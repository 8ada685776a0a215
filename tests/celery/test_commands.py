"""``orchestrator worker``, ``check``, ``workers``, ``runs`` and ``dead`` where Celery carries the calls."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kombu import Connection

from brokers.celery.broker import CeleryBroker
from brokers.celery.topology import DELIVERY_LIMIT, kombu_url
from brokers.messages import Status
from orchestrator.client.fleet import Fleet
from orchestrator.errors import RunCancelled, RunCrashed
from tests.celery.conftest import APP, Run, StartCelery
from tests.support import app_for_workers as app
from tests.support.ends import all_of
from tests.support.engines import environment_of
from tests.support.waiting import wait_until
from tests.support.worker_process import WorkerProcess, notes, wait_note

pytestmark = pytest.mark.behaviour
PATIENCE = 60.0
StartWorker = Callable[..., WorkerProcess]


@pytest.fixture
def start_worker(fleet: Fleet, tmp_path: Path) -> Iterator[StartWorker]:
    """``orchestrator worker -A ...`` with these options."""
    started: list[WorkerProcess] = []

    def start(*options: str, ready: bool = True) -> WorkerProcess:
        log = tmp_path / f"worker-{len(started)}.log"
        environment = {**environment_of(fleet.settings), "C_FORCE_ROOT": "1"}
        started.append(WorkerProcess(log, environment, "-A", APP, "-n", f"w{len(started)}-{tmp_path.name}", *options))
        if ready:
            started[-1].wait_output(r"ready\.")
        return started[-1]

    yield start
    all_of(worker.close for worker in started)


def begun(folder: Path) -> Counter[str]:
    return Counter(line.split(" begins")[0] for line in notes(folder).splitlines() if " begins in " in line)


def test_the_worker_reads_the_queues_that_it_is_told_and_finishes_what_runs_when_it_is_asked_to_stop(
    fleet: Fleet, start_worker: StartWorker, tmp_path: Path
) -> None:
    worker = start_worker("-c", "2", "-Q", "high,default")
    elsewhere = app.add.with_options(queue="third").delay(1, 2)
    in_high = app.add.with_options(queue="high").delay(1, 2)
    assert in_high.result(timeout=PATIENCE) == 3
    running = app.wait_for_sign.delay(str(tmp_path), "last")
    wait_note(tmp_path, "last begins")
    worker.terminate()
    worker.wait_output("Warm shutdown")
    (tmp_path / "go").touch()
    assert worker.wait(PATIENCE) == 0, worker.output
    assert running.result(timeout=PATIENCE) == "last"
    assert elsewhere.state.is_pending()


def test_a_call_that_outlives_the_shutdown_timeout_is_handed_back_uncharged(
    fleet: Fleet, start_worker: StartWorker, tmp_path: Path
) -> None:
    first = start_worker("-c", "1", "--shutdown-timeout", "0.5")
    future = app.sleep_if_first.delay(str(tmp_path), "long")
    wait_note(tmp_path, "long begins")
    first.terminate()
    assert first.wait(PATIENCE) == 1, first.output
    record = fleet.broker.records.read([future.run_id])[0]
    assert record.crashes == 0
    start_worker("-c", "1")
    assert future.result(timeout=PATIENCE) == "long"
    assert fleet.broker.records.read([future.run_id])[0].crashes == 0


def test_burst_ends_when_the_queues_are_empty_and_children_are_replaced_on_the_way(
    fleet: Fleet, start_worker: StartWorker, tmp_path: Path
) -> None:
    futures = [app.sleep_and_note.delay(str(tmp_path), f"call {n}", 0.0) for n in range(30)]
    worker = start_worker("-c", "2", "--max-tasks-per-child", "4", "--burst", ready=False)
    assert worker.wait(PATIENCE) == 0, worker.output
    assert {record.status for record in fleet.broker.records.read([future.run_id for future in futures])} == {
        Status.COMPLETED
    }
    assert begun(tmp_path) == {f"call {n}": 1 for n in range(30)}


def test_check_and_workers_ls_know_the_celery_workers(fleet: Fleet, start_celery: StartCelery, run: Run) -> None:
    assert run("orchestrator", "check", "--workers").returncode == 3
    worker = start_celery("-c", "2")
    wait_until(lambda: len(fleet.live_workers()) >= 2, PATIENCE, "both children are told of")
    found = run("orchestrator", "check", "--workers", "--json")
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["workers"] == 2
    rows = json.loads(run("orchestrator", "workers", "ls", "--json").stdout)
    assert {int(row["pid"]) for row in rows} == set(worker.children())
    assert {(row["worker"], *row["queues"], row["engine"]) for row in rows} == {(worker.node, "default", "celery")}
    assert all(f"{APP}.add" in row["tasks"] for row in rows)


def lose_messages(fleet: Fleet) -> None:
    broker = fleet.broker
    assert isinstance(broker, CeleryBroker)
    assert fleet.settings.broker_url is not None
    with Connection(kombu_url(fleet.settings.broker_url)) as connection:
        broker.topology.queue(broker.topology.name("default"))(connection.channel()).purge()


@pytest.mark.smoke
def test_messages_that_the_broker_has_lost_are_sent_again_by_a_worker(fleet: Fleet, start_celery: StartCelery) -> None:
    single, many = app.add.delay(1, 2), app.add.map(range(40), [1] * 40)
    lose_messages(fleet)
    worker = start_celery("-c", "1")
    assert app.add.delay(3, 4).result(timeout=PATIENCE) == 7
    assert single.result(timeout=PATIENCE) == 3, "the worker notices it"
    assert many.result(timeout=PATIENCE) == [number + 1 for number in range(40)]
    worker.wait_output("no messages in the queue default")


def test_messages_that_the_broker_has_lost_are_sent_again(fleet: Fleet, start_celery: StartCelery, run: Run) -> None:
    single, many = app.add.delay(1, 2), app.add.map(range(40), [1] * 40)
    lose_messages(fleet)
    assert "there is no queue" in run("orchestrator", "queues", "republish", "defualt").stderr
    assert run("orchestrator", "queues", "republish", "default").stdout == "the messages of 41 calls are sent again\n"
    start_celery("-c", "1")
    assert single.result(timeout=PATIENCE) == 3
    assert many.result(timeout=PATIENCE) == [number + 1 for number in range(40)]


def test_queues_and_workers_are_steered_as_far_as_celery_lets_us(
    fleet: Fleet, start_celery: StartCelery, run: Run
) -> None:
    waiting = [app.add.with_options(queue="nobody").delay(number, 1) for number in range(3)]
    worker = start_celery("-c", "2")
    assert app.add.delay(1, 2).result(timeout=PATIENCE) == 3
    rows = {row["name"]: row for row in json.loads(run("orchestrator", "queues", "ls", "--json").stdout)}
    assert (rows["nobody"]["waiting"], rows["nobody"]["oldest_seconds"]) == (3, None)
    refused = run("orchestrator", "queues", "pause", "default")
    assert refused.returncode == 1
    assert "control cancel_consumer default" in refused.stderr
    assert "3 calls cancelled" in run("orchestrator", "queues", "purge", "nobody", "--yes").stdout
    assert {future.state.message for future in waiting} == {"purged"}
    wait_until(lambda: len(fleet.live_workers()) >= 2, PATIENCE, "both children are told of")
    assert "control cancel_consumer" in run("orchestrator", "workers", "pause", worker.node).stderr
    pinged = json.loads(run("orchestrator", "workers", "ping", "--json").stdout)
    assert [answer["seconds"] is not None for answer in pinged] == [True, True]
    assert run("orchestrator", "workers", "stop", worker.node, "--yes").returncode == 0
    wait_until(lambda: worker.process.poll() is not None, PATIENCE, "the worker has ended")
    assert worker.process.returncode == 0


def test_runs_are_shown_and_cancelled(fleet: Fleet, start_celery: StartCelery, run: Run, tmp_path: Path) -> None:
    waiting = app.add.with_options(queue="nobody").delay(1, 2)
    start_celery("-c", "1")
    running = app.wait_for_sign.delay(str(tmp_path), "busy")
    wait_note(tmp_path, "busy begins")
    shown = json.loads(run("orchestrator", "runs", "show", waiting.run_id, "--json").stdout)
    assert (shown["task"], shown["type"]) == (f"{APP}.add", "PENDING")
    done = run("orchestrator", "runs", "cancel", running.run_id, waiting.run_id)
    assert done.returncode == 0, done.stderr
    for future in (running, waiting):
        with pytest.raises(RunCancelled):
            future.result(timeout=PATIENCE)
    assert json.loads(run("orchestrator", "runs", "show", running.run_id, "--json").stdout)["state"] == "Cancelled"


def test_a_dead_letter_is_listed_and_replayed(
    fleet: Fleet, start_celery: StartCelery, run: Run, tmp_path: Path
) -> None:
    start_celery("-c", "1")
    future = app.poison.delay(str(tmp_path), "exit")
    with pytest.raises(RunCrashed):
        future.result(timeout=PATIENCE)
    (letter,) = json.loads(run("orchestrator", "dead", "ls", "--json").stdout)
    assert letter["id"] == future.run_id
    assert "exit code 3" in letter["message"]
    (tmp_path / "antidote").touch()
    assert run("orchestrator", "dead", "replay", future.run_id).returncode == 0
    future.reopen()
    assert future.result(timeout=PATIENCE) == "cured"


def test_a_message_that_rabbitmq_has_delivered_too_often_takes_its_call_to_the_dead_letters(
    fleet: Fleet, start_celery: StartCelery
) -> None:
    assert fleet.settings.broker_url is not None
    broker = fleet.broker
    assert isinstance(broker, CeleryBroker)
    if not broker.topology.amqp:
        pytest.skip("only RabbitMQ counts deliveries")
    future = app.add.delay(20, 3)
    deliveries = 0
    with Connection(kombu_url(fleet.settings.broker_url)) as connection:  # a consumer that never takes it
        queue = broker.topology.queue(broker.topology.name("default"))(connection.channel())

        def deliver() -> bool:
            nonlocal deliveries
            message = queue.get(accept=["json"])
            if message is not None:
                deliveries += 1
                message.reject(requeue=True)
            return deliveries > DELIVERY_LIMIT

        wait_until(deliver, PATIENCE, f"{DELIVERY_LIMIT} deliveries and one")
    assert future.state.is_pending()
    start_celery("-c", "1")
    with pytest.raises(RunCrashed, match="delivered too often"):
        future.result(timeout=PATIENCE)
    assert fleet.broker.dead_letters.newest() == [future.run_id]
    assert fleet.broker.runs.replay([future.run_id]) == [future.run_id]
    future.reopen()
    assert future.result(timeout=PATIENCE) == 23


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGQUIT], ids=["a second SIGTERM", "SIGQUIT"])
def test_a_worker_that_is_told_to_stop_at_once_hands_back_what_runs_uncharged(
    fleet: Fleet, start_worker: StartWorker, tmp_path: Path, how: signal.Signals
) -> None:
    first = start_worker("-c", "1")
    future = app.sleep_if_first.delay(str(tmp_path), "long")
    wait_note(tmp_path, "long begins")
    first.terminate()
    first.wait_output("Warm shutdown")
    first.process.send_signal(how)
    status = first.wait(PATIENCE)
    assert status == 1 or how == signal.SIGQUIT, first.output  # Celery's own way to stop has Celery's own status
    start_worker("-c", "1")
    assert future.result(timeout=PATIENCE) == "long"
    assert fleet.broker.records.read([future.run_id])[0].crashes == 0


def test_a_child_that_gets_sigterm_itself_is_replaced_and_its_call_handed_back_uncharged(
    fleet: Fleet, start_worker: StartWorker, tmp_path: Path
) -> None:
    start_worker("-c", "1")
    future = app.sleep_if_first.delay(str(tmp_path), "long")
    os.kill(wait_note(tmp_path, "long begins"), signal.SIGTERM)  # systemd does, to the whole group of a service
    assert future.result(timeout=PATIENCE) == "long"
    assert fleet.broker.records.read([future.run_id])[0].crashes == 0
