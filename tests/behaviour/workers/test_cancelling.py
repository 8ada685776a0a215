"""Cancelling while nobody can listen: no worker at all, a worker that has died, a worker that is frozen.

What is said is true, and it stays so: through a restart of the server, and when the workers are back.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.client.fleet import Fleet
from orchestrator.errors import RunCancelled
from orchestrator.futures import PrefectFuture
from orchestrator.settings import Settings
from tests.support import app_for_workers as app
from tests.support.fleets import fleet_of
from tests.support.servers import ServerProcess
from tests.support.waiting import wait_until
from tests.support.worker_process import QUICK, StartWorker, notes, wait_note

pytestmark = [pytest.mark.behaviour, pytest.mark.parametrize("server_program", ["embedded"], indirect=True)]


@pytest.fixture(autouse=True)
def one_server_is_enough(server_program: Path) -> None:
    """What the scripts do on either server is tested elsewhere."""


@pytest.fixture
def lasting(own_server: Callable[..., ServerProcess], namespace: str) -> Iterator[tuple[Fleet, ServerProcess]]:
    """A fleet on a server that keeps what it has when it is killed."""
    server = own_server("--appendonly", "yes", "--appendfsync", "no")
    settings = Settings(redis_url=server.url, namespace=namespace, lease_seconds=2, beat_seconds=0.5)
    with fleet_of(settings) as made:
        yield made, server


def assert_cancelled(future: PrefectFuture[Any]) -> None:
    with pytest.raises(RunCancelled):
        future.result(timeout=40)
    assert future.state.is_cancelled()
    assert not future.cancel(), "it has ended"


@pytest.mark.smoke
def test_without_any_worker_what_waits_is_cancelled_at_once_and_for_good(
    lasting: tuple[Fleet, ServerProcess], start_worker: StartWorker, tmp_path: Path
) -> None:
    _, server = lasting
    folder = str(tmp_path)
    queued = app.sleep_and_note.delay(folder, "queued", 0.0)
    unwanted_upstream = app.add.delay(1, 1)
    kept_upstream = app.add.delay(1, 2)
    parked = app.sleep_and_note.apply_async((folder, "parked", 0.0), wait_for=[kept_upstream])
    delayed = app.sleep_and_note.apply_async((folder, "delayed", 0.0), countdown=0.5)
    behind = app.sleep_and_note.apply_async((folder, "behind", 0.0), wait_for=[unwanted_upstream])
    cancelled = [queued, parked, delayed, unwanted_upstream]
    for future in cancelled:
        assert future.cancel()
        assert_cancelled(future)
    behind.wait(20)
    assert behind.state.name == "NotReady"
    assert not behind.cancel(), "it will never run"
    assert not PrefectFuture[Any]("01a1fe0f-0000-7000-8000-000000000000").cancel(), "nobody knows it"

    server.kill()
    server.start()
    start_worker("-c", "1", ready=1, ORCHESTRATOR_REDIS_URL=server.url)
    assert kept_upstream.result(timeout=40) == 3
    assert app.sleep_and_note.delay(folder, "last", 0.6).result(timeout=40) == "last"
    assert [PrefectFuture[Any](future.run_id).state.is_cancelled() for future in cancelled] == [True] * 4
    assert {line.split()[0] for line in notes(tmp_path).splitlines()} == {"last"}


RUNNING = {
    "in a thread": lambda folder: app.sleep_and_note.delay(folder, "call", 60),
    "on the loop": lambda folder: app.sleep_async.delay(folder, "call"),
    "in C": lambda folder: app.stuck_in_c.delay(folder, "call"),
}


@pytest.mark.parametrize("how", RUNNING)
def test_a_call_whose_worker_has_died_is_not_run_again_once_it_is_cancelled(
    fleet: Fleet, start_worker: StartWorker, tmp_path: Path, how: str
) -> None:
    dying = start_worker("-c", "1", ready=1)
    future = RUNNING[how](str(tmp_path))
    wait_note(tmp_path, "call begins")
    dying.process.kill()
    dying.wait()
    assert future.cancel()
    assert not future.state.is_completed()
    start_worker("-c", "1", ready=1)
    assert_cancelled(future)
    assert app.add.delay(1, 2).result(timeout=40) == 3
    assert notes(tmp_path).count("call begins") == 1


@pytest.mark.parametrize("how", RUNNING)
def test_a_call_in_a_frozen_worker_is_cancelled_when_it_wakes_or_by_whoever_takes_it_over(
    fleet: Fleet, start_worker: StartWorker, tmp_path: Path, how: str
) -> None:
    frozen = start_worker("-c", "1", ready=1)
    future = RUNNING[how](str(tmp_path))
    wait_note(tmp_path, "call begins")
    frozen.signal_all(signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert future.cancel()
        future.wait(0.2)
        lease_seconds = float(QUICK["ORCHESTRATOR_LEASE_SECONDS"])
        if time.monotonic() - began < 0.5 * lease_seconds:
            assert future.state.name == "Cancelling", "nobody has stopped it yet"
        start_worker("-c", "1", ready=1)
        assert_cancelled(future)
    finally:
        frozen.signal_all(signal.SIGCONT)
    wait_until(lambda: app.add.delay(1, 2).result(timeout=40) == 3, 40)
    frozen.terminate()
    frozen.wait()
    assert future.state.is_cancelled()
    assert notes(tmp_path).count("call begins") == 1


def test_a_call_in_a_frozen_worker_is_stopped_when_it_wakes_in_time(
    fleet: Fleet, start_worker: StartWorker, tmp_path: Path
) -> None:
    frozen = start_worker("-c", "1", ready=1)
    future = app.sleep_and_note.delay(str(tmp_path), "call", 60)
    wait_note(tmp_path, "call begins")
    frozen.signal_all(signal.SIGSTOP)
    try:
        assert future.cancel()
    finally:
        frozen.signal_all(signal.SIGCONT)
    assert_cancelled(future)
    assert app.add.delay(1, 2).result(timeout=40) == 3
    assert "call ends" not in notes(tmp_path)
