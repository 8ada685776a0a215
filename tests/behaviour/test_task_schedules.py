"""Schedules of tasks, from the line of code to the run of each tick, while workers come and go."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from orchestrator.client.fleet import Fleet
from orchestrator.errors import BrokerError
from orchestrator.inspection import RunView, workers_of
from orchestrator.inspection.run_walk import RunFilter, walk_runs
from orchestrator.runs.run_ids import created_at
from tests.support.command_line import command_on
from tests.support.engines import ROOT, Engine, environment_of
from tests.support.fleets import fleet_of
from tests.support.servers import ServerProcess
from tests.support.waiting import wait_until
from tests.support.worker_process import WorkerProcess

CODE = "from orchestrator import task\n@task\ndef tick(n): return n\n"
DECLARED = "tick.schedule('every second', cron='* * * * * *', parameters={'n': 3})\n"
SECONDS = 60.0  # at most, for what takes a moment

T = TypeVar("T")
Starts = Callable[[], WorkerProcess]


@contextmanager
def workers_of_app(fleet: Fleet, folder: Path) -> Iterator[Starts]:
    """Start workers of the app that is in the folder; they are gone afterwards."""
    started: list[WorkerProcess] = []
    environment = {**environment_of(fleet.settings), "PYTHONPATH": f"{folder}:{ROOT}"}

    def worker() -> WorkerProcess:
        name = f"beat-{len(started)}"  # Celery allows one worker of each name on a machine
        options = ("-A", "beat", "-c", "1", "-n", name)
        started.append(WorkerProcess(folder / f"{name}.log", environment, *options, cwd=folder))
        return started[-1]

    try:
        yield worker
    finally:
        for one in started:
            one.close()


@pytest.fixture
def start(fleet: Fleet, tmp_path: Path) -> Iterator[Starts]:
    """Start a worker of the app that is in the folder of the test."""
    with workers_of_app(fleet, tmp_path) as starts:
        yield starts


def runs(fleet: Fleet) -> list[RunView]:
    """Of the task, the oldest tick first."""
    return sorted(walk_runs(fleet, RunFilter(tasks=("tick",)), limit=1000).runs, key=lambda run: run.id)


def completed(fleet: Fleet) -> int:
    return sum(run.state_type == "COMPLETED" for run in runs(fleet))


def assert_no_gap(fleet: Fleet) -> None:
    ticks = [round(created_at(run.id).timestamp()) for run in runs(fleet)]
    assert ticks == list(range(ticks[0], ticks[0] + len(ticks)))


def test_each_tick_has_one_run_though_both_workers_are_replaced_in_turn(
    fleet: Fleet, start: Starts, tmp_path: Path
) -> None:
    file = tmp_path / "beat.py"
    file.write_text(CODE + DECLARED)
    orchestrator = command_on(fleet)
    first, second = start(), start()
    for old in (first, second):
        enough = completed(fleet) + 2
        wait_until(lambda enough=enough: completed(fleet) >= enough, SECONDS, "two more ticks")  # type: ignore[misc]
        living = {worker.name for worker in workers_of(fleet)}
        start()
        wait_until(lambda living=living: {one.name for one in workers_of(fleet)} - living, SECONDS, "the new one")  # type: ignore[misc]
        old.terminate()
        assert old.wait(SECONDS) == 0, old.output
    enough = completed(fleet) + 2
    wait_until(lambda: completed(fleet) >= enough, SECONDS, "two more ticks")
    assert orchestrator("schedule", "pause", "every second").returncode == 0
    wait_until(lambda: completed(fleet) == len(runs(fleet)), SECONDS, "the end of what is queued")
    assert_no_gap(fleet)

    file.write_text(CODE)
    start()
    wait_until(lambda: "no longer declared by beat" in orchestrator("schedule", "ls").stdout, SECONDS, "the news")


def test_each_tick_has_one_run_though_the_server_is_killed_and_comes_back(
    engine: Engine, own_server: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    server = own_server("--appendonly", "yes", "--appendfsync", "always")
    (tmp_path / "beat.py").write_text(CODE + DECLARED.replace("cron=", "catchup='all', cron="))
    settings = engine.settings(server, f"b-{secrets.token_hex(5)}", lease_seconds=3.0, beat_seconds=0.5)
    with fleet_of(settings) as fleet, workers_of_app(fleet, tmp_path) as start:
        start()
        wait_until(lambda: completed(fleet) >= 2, SECONDS, "two ticks")
        enough = completed(fleet) + 3
        server.kill()
        server.start()
        wait_until(lambda: _with_server(lambda: completed(fleet) >= enough), SECONDS, "more ticks")
        assert command_on(fleet)("schedule", "pause", "every second").returncode == 0
        wait_until(lambda: completed(fleet) == len(runs(fleet)), SECONDS, "the end of what is queued")
        assert_no_gap(fleet)


def _with_server(ask: Callable[[], T]) -> T | None:
    """The answer; ``None`` while the server does not give it."""
    try:
        return ask()
    except BrokerError:
        return None
