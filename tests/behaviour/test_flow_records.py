"""What the store knows of a flow run: from its first moment to its end, also when its process was killed."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator import flow
from orchestrator.client.fleet import Fleet
from orchestrator.maintenance import FlowWatch
from orchestrator.runtime import flow_run
from orchestrator.task_runners import ThreadPoolTaskRunner
from tests.support.apps import basics
from tests.support.engines import ROOT, environment_of
from tests.support.fleets import fleet_of
from tests.support.waiting import wait_until

APP = "tests.support.apps.basics"
SETTINGS = {"lease_seconds": 1.5, "beat_seconds": 0.2}
pytestmark = pytest.mark.usefixtures("worker")

SCRIPT = """
import signal, sys, time
from orchestrator import flow
from orchestrator.runtime import flow_run
from tests.support.apps import basics

def crashed(flow, run, state):
    print("hook", state.name, flush=True)

@flow(on_crashed=[crashed])
def sleeps():
    if sys.argv[1] == "with a task":
        basics.add.submit(1).result()
    print(flow_run.id, flush=True)
    for _ in range(6000):  # Python sees a signal that comes just before a sleep at the end of it
        time.sleep(0.1)

if __name__ == "__main__":
    sleeps()
"""


@pytest.fixture
def sleeping(fleet: Fleet, tmp_path: Path) -> Iterator[object]:
    """Start a process whose flow sleeps; gives the process and the flow run's id."""
    started: list[subprocess.Popen[str]] = []
    (tmp_path / "sleeps.py").write_text(SCRIPT)

    def start(kind: str) -> tuple[subprocess.Popen[str], str]:
        environment = {**environment_of(fleet.settings), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, str(tmp_path / "sleeps.py"), kind]
        started.append(subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True))
        assert started[-1].stdout is not None
        return started[-1], started[-1].stdout.readline().strip()

    yield start
    for process in started:
        process.kill()
        process.communicate()


def kind_of(fleet: Fleet, run_id: str) -> bytes:
    return fleet.broker.flow_runs.read(run_id).get("type", b"?")


@pytest.mark.parametrize("kind", ["with a task", "without"])
def test_a_flow_whose_process_was_killed_ends_crashed(fleet: Fleet, sleeping, kind: str) -> None:  # type: ignore[no-untyped-def]
    process, run_id = sleeping(kind)
    wait_until(lambda: kind_of(fleet, run_id) == b"RUNNING", 20)
    process.kill()
    process.wait()
    wait_until(lambda: kind_of(fleet, run_id) == b"CRASHED", 20)  # by the worker; nobody asked
    _, changes = fleet.broker.journal.after()
    told = [change.status for change in changes if change.run_id == run_id]
    assert told == [b"RUNNING", b"CRASHED"]


def test_a_flow_that_works_for_longer_than_a_lease_goes_on(fleet: Fleet) -> None:
    kinds: list[bytes] = []
    leases = threading.Event()

    @flow
    def long() -> None:
        run_id = str(flow_run.id)
        wait_until(lambda: kind_of(fleet, run_id) == b"RUNNING", 20)
        leases.wait(2 * SETTINGS["lease_seconds"])
        kinds.append(kind_of(fleet, run_id))

    long()
    assert kinds == [b"RUNNING"]


def test_sigterm_ends_a_flow_with_its_hooks(fleet: Fleet, sleeping) -> None:  # type: ignore[no-untyped-def]
    process, run_id = sleeping("without")
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=30)[0] == "hook Crashed\n"
    assert process.returncode == 128 + signal.SIGTERM
    assert kind_of(fleet, run_id) == b"CRASHED"
    assert b"SIGTERM" in fleet.broker.flow_runs.read(run_id)["message"]


@pytest.mark.smoke
def test_a_flow_without_tasks_is_in_the_store(fleet: Fleet) -> None:
    @flow(flow_run_name="alone")
    def alone() -> dict[str, object]:
        return {"id": flow_run.id}

    record = fleet.broker.flow_runs.read(str(alone()["id"]))
    assert (record["name"], record["type"]) == (b"alone", b"COMPLETED")


def test_a_flow_begins_before_its_first_call(fleet: Fleet) -> None:
    seen: list[bytes] = []

    @flow
    def late() -> str:
        run_id = str(flow_run.id)
        wait_until(lambda: kind_of(fleet, run_id) == b"RUNNING", 20)
        seen.append(fleet.broker.flow_runs.read(run_id)["began"])
        basics.add.submit(1).result()
        return run_id

    record = fleet.broker.flow_runs.read(late())
    assert record["began"] == seen[0]
    assert float(record["at"]) > float(record["began"])


def test_a_flow_of_threads_is_told_to_the_store_in_use(fleet: Fleet) -> None:
    @flow(task_runner=ThreadPoolTaskRunner(1))
    def threads() -> str:
        return str(flow_run.id)

    assert fleet.broker.health.is_reachable()
    assert kind_of(fleet, threads()) == b"COMPLETED"


def test_a_flow_run_that_the_store_has_forgotten_is_told_again(fleet: Fleet) -> None:
    @flow
    def outlives_its_record() -> str:
        run_id = str(flow_run.id)
        wait_until(lambda: kind_of(fleet, run_id) == b"RUNNING", 20)
        keys = fleet.broker.keys
        fleet.broker.wires.commands([("DEL", keys.flow(run_id), keys.flows)])
        wait_until(lambda: kind_of(fleet, run_id) == b"RUNNING", 20)
        return run_id

    assert kind_of(fleet, outlives_its_record()) == b"COMPLETED"


def test_a_silent_flow_run_is_ended_once_and_only_by_its_silence(fleet: Fleet) -> None:
    fields = {"flow": "night", "name": "one", "type": "RUNNING", "state": "Running"}
    fleet.broker.flow_runs.note([("flow-a", fields, True), ("flow-b", fields, True), ("flow-c", fields, False)])
    assert fleet.broker.flow_runs.end_silent("flow-a", 60, {"type": "CRASHED"}) is False
    heard = {"flow-a": 1, "no-record": 1, "flow-b": 1e15}  # in server milliseconds
    key = fleet.broker.keys.flows
    fleet.broker.wires.commands([("ZADD", key, moment, run_id) for run_id, moment in heard.items()])
    watch = FlowWatch(fleet)
    watch.run_once()
    fleet.flow_reports.end_silent_runs()
    assert [kind_of(fleet, run_id) for run_id in ("flow-a", "flow-b", "flow-c", "no-record")] == [
        b"CRASHED", b"RUNNING", b"RUNNING", b"?",
    ]  # fmt: skip
    assert b"sent no heartbeat" in fleet.broker.flow_runs.read("flow-a")["message"]


def test_reports_go_on_after_they_were_closed(fleet: Fleet) -> None:
    fleet.flow_reports.close()
    others = set(threading.enumerate())  # those of other fleets may go on
    assert kind_of(fleet, flow(lambda: str(flow_run.id))()) == b"COMPLETED"
    fleet.flow_reports.close()
    wait_until(lambda: "flow-reports" not in {thread.name for thread in {*threading.enumerate()} - others})


def test_a_closed_fleet_leaves_no_thread(fleet: Fleet) -> None:
    before = set(threading.enumerate())
    with fleet_of(fleet.settings) as other:

        @flow
        def calls_from_a_loop() -> int:
            other.logs.add("a-run", "INFO", "a line", 0.0)

            async def call() -> int:
                future = await basics.add.asubmit(1)
                return int(await future)

            return asyncio.run(call())

        assert calls_from_a_loop() == 2
        assert {"sender", "log-shipper"} <= {thread.name for thread in {*threading.enumerate()} - before}
    wait_until(lambda: not {thread.name for thread in {*threading.enumerate()} - before} - {"events"})
