"""How workers end: asked once, asked twice, killed, told to reload, done with everything."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.client.fleet import Fleet, use_fleet
from orchestrator.errors import BrokerError
from orchestrator.settings import Settings, use
from tests.support import app_for_workers as app
from tests.support.servers import ServerProcess
from tests.support.waiting import wait_until
from tests.support.worker_process import StartWorker, is_alive, notes, wait_note

pytestmark = [pytest.mark.behaviour, pytest.mark.parametrize("server_program", ["embedded"], indirect=True)]


@pytest.fixture(autouse=True)
def one_server_is_enough(server_program: Path) -> None:
    """How processes end does not depend on the server."""


@pytest.mark.smoke
def test_sigterm_finishes_what_runs_and_hands_back_the_rest(
    fleet: Fleet, start_worker: StartWorker, tmp_path: Path
) -> None:
    worker = start_worker("-c", "1", ready=1)
    running = app.sleep_and_note.delay(str(tmp_path), "running", 1.0)
    waiting = [app.sleep_and_note.delay(str(tmp_path), f"waiting-{number}", 0.0) for number in range(5)]
    wait_note(tmp_path, "running begins")
    worker.terminate()
    assert worker.wait() == 0, worker.output
    assert "running ends" in notes(tmp_path)
    assert "waiting" not in notes(tmp_path)
    assert running.result(timeout=60) == "running"

    start_worker("-c", "1", ready=1)
    assert [future.result(timeout=40) for future in waiting] == [f"waiting-{number}" for number in range(5)]
    records = fleet.broker.records.read([future.run_id for future in waiting])
    assert [record.crashes for record in records] == [0] * 5


def test_a_second_sigterm_kills_and_the_running_call_is_handed_back_uncharged(
    fleet: Fleet, start_worker: StartWorker, tmp_path: Path
) -> None:
    worker = start_worker("-c", "1", ready=1)
    future = app.sleep_if_first.delay(str(tmp_path), "work")
    wait_note(tmp_path, "work begins")
    worker.terminate()
    worker.wait_output("stopping")
    time.sleep(0.2)  # a signal that follows at once is taken for an echo of the first
    worker.terminate()
    asked = time.monotonic()
    assert worker.wait() == 1
    assert time.monotonic() - asked < 3
    start_worker("-c", "1", ready=1)
    assert future.result(timeout=40) == "work"
    assert fleet.broker.records.read([future.run_id])[0].crashes == 0


def test_a_call_that_outlives_the_shutdown_timeout_is_handed_back(
    fleet: Fleet, start_worker: StartWorker, tmp_path: Path
) -> None:
    worker = start_worker("-c", "1", "--shutdown-timeout", "0.5", ready=1)
    future = app.sleep_if_first.delay(str(tmp_path), "work")
    wait_note(tmp_path, "work begins")
    worker.terminate()
    assert worker.wait() == 1
    start_worker("-c", "1", ready=1)
    assert future.result(timeout=40) == "work"
    assert fleet.broker.records.read([future.run_id])[0].crashes == 0


@pytest.mark.smoke
def test_children_die_with_a_killed_supervisor_and_their_calls_are_taken_over(
    fleet: Fleet, start_worker: StartWorker, tmp_path: Path
) -> None:
    worker = start_worker("-c", "2", ready=2)
    future = app.sleep_if_first.delay(str(tmp_path), "work")
    wait_note(tmp_path, "work begins")
    children = worker.children()
    worker.process.kill()
    wait_until(lambda: not any(is_alive(child) for child in children), 5, "the children are gone")
    start_worker("-c", "1", ready=1)
    assert future.result(timeout=40) == "work"


def test_sigterm_to_a_child_drains_it_and_it_is_replaced(
    fleet: Fleet, start_worker: StartWorker, tmp_path: Path
) -> None:
    worker = start_worker("-c", "1", ready=1)
    future = app.sleep_and_note.delay(str(tmp_path), "nap", 0.5)
    child = wait_note(tmp_path, "nap begins")
    os.kill(child, signal.SIGTERM)
    assert future.result(timeout=40) == "nap"
    worker.wait_ready(2)
    wait_until(lambda: not is_alive(child), 5, "the child has ended")
    assert app.which_process.submit().result(timeout=40) == worker.children()[1]


def test_sighup_replaces_the_children_without_losing_a_call(
    fleet: Fleet, start_worker: StartWorker, tmp_path: Path
) -> None:
    worker = start_worker("-c", "1", ready=1)
    future = app.sleep_and_note.delay(str(tmp_path), "nap", 1.0)
    old = wait_note(tmp_path, "nap begins")
    worker.process.send_signal(signal.SIGHUP)
    worker.wait_ready(2)
    assert future.result(timeout=40) == "nap"
    wait_until(lambda: not is_alive(old), 5, "the old child has ended")
    assert app.which_process.submit().result(timeout=40) == worker.children()[1]
    assert fleet.broker.records.read([future.run_id])[0].crashes == 0


def test_a_worker_in_a_burst_ends_when_the_queues_are_empty(
    fleet: Fleet, start_worker: StartWorker, tmp_path: Path
) -> None:
    futures = [*app.add.map(range(50), 1), app.fails_first.delay(str(tmp_path))]
    worker = start_worker("-c", "2", "--burst")
    assert worker.wait(60) == 0, worker.output
    assert [future.result(timeout=1) for future in futures] == [*range(1, 51), "the second time"]


def test_nobody_is_listed_after_a_clean_end(fleet: Fleet, start_worker: StartWorker) -> None:
    worker = start_worker("-c", "2", ready=2)
    wait_until(lambda: len(fleet.live_workers()) == 2)
    worker.terminate()
    assert worker.wait() == 0
    assert fleet.live_workers() == {}


def test_a_worker_goes_on_when_its_server_was_away(
    own_server: Callable[..., ServerProcess], start_worker: StartWorker, namespace: str, tmp_path: Path
) -> None:
    server = own_server()
    settings = Settings(redis_url=server.url_for(namespace), namespace=namespace)
    with use(settings):
        made = Fleet(settings)
        before = use_fleet(made)
        worker = start_worker("-c", "2", ready=2, ORCHESTRATOR_REDIS_URL=server.url_for(namespace))
        assert app.add.delay(1, 2).result(timeout=60) == 3
        server.kill()
        worker.wait_output("running calls go on")
        os.kill(worker.children()[0], signal.SIGKILL)  # this death can be reported later only
        server.start()
        worker.wait_ready(3)
        wait_until(lambda: _reached(lambda: app.add.delay(2, 3).result(timeout=60) == 5), 20, "a call comes back")
        alive = {str(child) for child in worker.children()[1:]}
        wait_until(lambda: {facts.get("pid") for facts in made.live_workers().values()} == alive, 20, "both are known")
        worker.terminate()
        assert worker.wait() == 0
        use_fleet(before)
        made.close()


def _reached(ask: Callable[[], bool]) -> bool:
    try:
        return ask()
    except BrokerError:
        return False


def test_a_worker_that_was_stopped_when_it_was_asked_to_end_ends_when_it_goes_on(
    fleet: Fleet, start_worker: StartWorker
) -> None:
    """The kernel gives the signal to any of its threads then."""
    for _ in range(3):
        worker = start_worker("-c", "1", ready=1)
        worker.signal_all(signal.SIGSTOP)
        worker.terminate()
        worker.signal_all(signal.SIGCONT)
        assert worker.wait() == 0
