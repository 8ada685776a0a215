"""Six processes fire 200 schedules each second, and three are killed: every tick has one run; counted, not timed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from orchestrator import task
from orchestrator.client.fleet import Fleet
from orchestrator.runs.run_ids import tick_run_id
from orchestrator.schedules import Interval
from orchestrator.schedules.spec import schedule_id
from orchestrator.scheduling import edit
from orchestrator.scheduling.calls import task_template
from orchestrator.settings import Settings
from orchestrator.submission.call_options import NO_OPTIONS
from tests.support.fleets import fleet_of
from tests.support.servers import ServerProcess
from tests.support.waiting import wait_until
from tests.support.worker_process import clean_environment

ROOT: Final = Path(__file__).parents[2]
SCHEDULES: Final = 200
TICKERS, KILLED = 6, 3
SECONDS: Final = int(os.environ.get("ORCHESTRATOR_TICK_SECONDS", "15"))
"""How many ticks each schedule has; 60 in an acceptance of a release."""


@task
def beat() -> None:
    """Nobody runs it here: what counts is that it was queued."""


def declare(fleet: Fleet) -> list[str]:
    # All ticks are made up for: a machine that stands still for a minute must not lose one.
    schedule = Interval(1, catchup="all")
    ids = []
    for number in range(SCHEDULES):
        owner = f"t:beat-{number}"
        the_id = schedule_id(owner, schedule)
        template, route = task_template(fleet, beat, the_id, (), {}, NO_OPTIONS)
        edit.apply(fleet, owner, schedule, template, route)
        ids.append(the_id)
    return ids


def start_tickers(server: ServerProcess, namespace: str) -> list[subprocess.Popen[str]]:
    environment = clean_environment(ORCHESTRATOR_REDIS_URL=server.url, ORCHESTRATOR_NAMESPACE=namespace)
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.support.tick_process"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT,
        )
        for _ in range(TICKERS)
    ]  # fmt: skip
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    return started


@pytest.mark.slow
@pytest.mark.needs_server
@pytest.mark.timeout(300)
def test_every_tick_has_one_run_though_half_of_those_who_fire_are_killed(server: ServerProcess, namespace: str) -> None:
    with fleet_of(Settings(redis_url=server.url, namespace=namespace)) as fleet:
        ids = declare(fleet)
        tickers = start_tickers(server, namespace)
        try:
            begin = fleet.broker.ticks.now_ms() // 1000 * 1000 + 1000
            end = begin + SECONDS * 1000
            for nth, process in enumerate(tickers[:KILLED], 1):
                moment = begin + SECONDS * 1000 * nth // (KILLED + 1)
                wait_until(lambda moment=moment: fleet.broker.ticks.now_ms() >= moment, timeout=120)
                process.send_signal(signal.SIGKILL)
            wait_until(lambda: _all_past(fleet, ids, end), timeout=200, message="every schedule has moved past the end")
        finally:
            _stop(tickers)
        _judge(fleet, ids, begin, end)


def _all_past(fleet: Fleet, ids: list[str], end: int) -> bool:
    return all(found is not None and (found.due_ms or 0) > end for found in fleet.broker.schedules.read(ids))


def _stop(tickers: list[subprocess.Popen[str]]) -> None:
    for process in tickers:
        process.communicate()  # closes its input, which ends it
    assert [process.returncode for process in tickers] == [-signal.SIGKILL] * KILLED + [0] * (TICKERS - KILLED)


def _judge(fleet: Fleet, ids: list[str], begin: int, end: int) -> None:
    stream = fleet.broker.keys.stream("default:ds")  # type: ignore[attr-defined]
    entries = fleet.broker.wires.commands([("XRANGE", stream, "-", "+")])[0]  # type: ignore[attr-defined]
    queued = Counter(fields[1].decode() for _, fields in entries)
    assert [run_id for run_id, count in queued.items() if count > 1] == [], "queued twice"
    expected = {tick_run_id(the_id, tick_ms) for the_id in ids for tick_ms in range(begin, end + 1, 1000)}
    assert len(expected) == SCHEDULES * (SECONDS + 1)
    assert len(expected - set(queued)) == 0, "left out"
    fired = {tick_run_id(the_id, tick_ms) for the_id in ids for tick_ms in fleet.broker.ticks.fired(the_id, 0, 10**14)}
    assert fired == set(queued), "every run belongs to a tick"
