"""Processes that die or split: what was submitted goes on, what was held is done by others, nobody waits for ever."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.client.fleet import Fleet, use_fleet
from orchestrator.errors import RunCrashed, RunLost
from orchestrator.futures import PrefectFuture, wait
from orchestrator.settings import use
from tests.support import signals
from tests.support.apps import basics
from tests.support.ends import all_of
from tests.support.engines import ROOT, Engine, Worker, environment_of
from tests.support.servers import ServerProcess
from tests.support.waiting import wait_until

APP = "tests.support.apps.basics"
SETTINGS = {"lease_seconds": 2.5, "beat_seconds": 0.4}


@pytest.fixture
def start_worker(engine: Engine, fleet: Fleet) -> Iterator[object]:
    started: list[Worker] = []

    def start(threads: int = 2) -> Worker:
        started.append(engine.start_worker(fleet.settings, APP, threads=threads))
        return started[-1]

    yield start
    all_of(worker.retire for worker in started)


def test_a_graph_completes_after_its_flow_was_killed(fleet: Fleet, start_worker, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    script = f"""
import json, os, signal
from orchestrator import flow
from tests.support.apps import basics
@flow
def three_levels():
    held = basics.hold.submit({str(tmp_path / "in")!r}, {str(tmp_path / "on")!r})
    first = basics.add.map(range(20), wait_for=[held])
    second = basics.total.map(first, first)
    third = basics.total.submit(*second)
    third.source.sender.flush()
    print(json.dumps([third.run_id, [future.run_id for future in second]]), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
three_levels()
"""
    start_worker()
    environment = environment_of(fleet.settings)
    dead = subprocess.run([sys.executable, "-c", script], env=environment, cwd=ROOT, stdout=subprocess.PIPE)
    assert dead.returncode == -signal.SIGKILL
    third, second = json.loads(dead.stdout)
    assert PrefectFuture(third).state.is_pending()
    signals.give(str(tmp_path / "on"))
    assert PrefectFuture(third).result(timeout=60) == sum(2 * (n + 1) for n in range(20))
    assert [PrefectFuture(run_id).result(timeout=60) for run_id in second] == [2 * (n + 1) for n in range(20)]


@pytest.mark.smoke
def test_the_calls_of_a_killed_worker_are_done_by_another(fleet: Fleet, start_worker, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    first = start_worker()
    entered, go_on = str(tmp_path / "in"), str(tmp_path / "on")
    held = [basics.hold.submit(entered, go_on) for _ in range(2)]
    queued = basics.add.map(range(100))
    signals.wait_for(entered, 2)
    wait_until(lambda: all(future.state.is_running() for future in held), message="noted as running")
    first.kill()
    second = start_worker()
    signals.give(go_on)
    assert queued.result(timeout=40) == list(range(1, 101))
    assert [future.result(timeout=40) for future in held] == ["went on"] * 2
    assert {future.state.run_count for future in held} == {2}
    assert second.process.poll() is None


def test_a_call_that_kills_every_worker_is_a_dead_letter(fleet: Fleet, start_worker, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    sign = str(tmp_path / "sign")
    future = basics.kill_worker.submit(sign)
    neighbours = basics.add.map(range(5), wait_for=None)
    last = start_worker(threads=1)
    while not future.settled:
        future.wait(0.2)
        if last.process.poll() is not None:
            last = start_worker(threads=1)
    with pytest.raises(RunCrashed, match="2 times"):
        future.result(timeout=40)
    assert future.run_id in fleet.broker.dead_letters.newest()
    assert neighbours.result(timeout=40) == [1, 2, 3, 4, 5]
    assert last.process.poll() is None
    assert signals.count(sign) in (2, 3)  # the first time it may have died before it was noted as running


def test_a_worker_that_is_asked_to_stop_hands_back_what_waits(fleet: Fleet, start_worker, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    first = start_worker(threads=1)
    entered, go_on = str(tmp_path / "in"), str(tmp_path / "on")
    held = basics.hold.submit(entered, go_on)
    waiting = basics.add.map(range(20))
    signals.wait_for(entered)
    signals.give(go_on)
    first.stop()
    start_worker()
    assert held.result(timeout=60) == "went on"
    assert waiting.result(timeout=60) == list(range(1, 21))
    assert {future.state.run_count for future in waiting} == {1}


def test_a_fork_after_the_first_use_goes_on_by_itself(fleet: Fleet, start_worker, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    start_worker()
    assert basics.add.submit(1).result(timeout=60) == 2
    before = basics.hold.submit(str(tmp_path / "in"), str(tmp_path / "on"))
    answer = tmp_path / "answer"
    child = os.fork()
    if child == 0:
        try:
            new = basics.add.submit(5).result(timeout=60)
            signals.give(str(tmp_path / "on"))
            mapped = basics.add.map(range(3)).result(timeout=60)
            answer.write_text(json.dumps([new, mapped, before.result(timeout=60)]))
            os._exit(0)
        except BaseException as error:
            answer.write_text(repr(error))
            os._exit(1)
    wait_until(lambda: os.waitpid(child, os.WNOHANG)[0] == child, 60, "the child ends")
    assert json.loads(answer.read_text()) == [6, [1, 2, 3], "went on"]
    assert before.result(timeout=60) == "went on"
    assert basics.add.submit(1).result(timeout=60) == 2


def test_waiters_learn_that_their_runs_are_lost_when_the_server_comes_back_empty(engine: Engine, own_server) -> None:  # type: ignore[no-untyped-def]
    server: ServerProcess = own_server()
    chosen = engine.settings(server, "lost")
    made = Fleet(chosen)
    before = use_fleet(made)
    try:
        with use(chosen):
            futures = basics.add.map(range(50))
            server.kill()
            server.start()
            done, not_done = wait(futures, timeout=60)
            assert (len(done), len(not_done)) == (50, 0)
            with pytest.raises(RunLost):
                futures[0].result()
    finally:
        use_fleet(before)
        made.close()


def test_a_worker_goes_on_after_the_server_was_away(engine: Engine, own_server, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    server: ServerProcess = own_server()
    chosen = engine.settings(server, "away")
    made = Fleet(chosen)
    before = use_fleet(made)
    worker = engine.start_worker(chosen, APP)
    try:
        with use(chosen):
            assert basics.add.submit(1).result(timeout=60) == 2
            server.kill()
            server.start()
            wait_until(lambda: basics.add.delay(1).run_id, message="submitting works again")
            assert basics.add.submit(2).result(timeout=60) == 3
            assert basics.echo_async.submit(3).result(timeout=60) == 3
    finally:
        use_fleet(before)
        made.close()
        worker.stop()


def test_a_wait_that_begins_while_the_server_is_frozen_goes_on_when_it_is_back(engine: Engine, own_server) -> None:  # type: ignore[no-untyped-def]
    server: ServerProcess = own_server()
    chosen = engine.settings(server, "frozen")
    made = Fleet(chosen)
    before = use_fleet(made)
    worker = engine.start_worker(chosen, APP)
    try:
        with use(chosen):
            assert basics.add.submit(1).result(timeout=60) == 2  # this process has an inbox now
            other = PrefectFuture(basics.add.delay(2).run_id)
            wait_until(lambda: other.state.is_completed())
            server.freeze()
            other = PrefectFuture(other.run_id)
            other.wait(timeout=0.1)
            assert not other.settled
            server.thaw()
            assert other.result(timeout=60) == 3
    finally:
        server.thaw()
        use_fleet(before)
        made.close()
        worker.stop()
