"""Flows on the private server that bring their own workers, share it with real ones, and may die."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.client.fleet import Fleet
from orchestrator.futures import PrefectFuture
from orchestrator.settings import Settings
from tests.conftest import program_or_skip
from tests.support import signals
from tests.support.engines import ROOT, RedisFleet, environment_of
from tests.support.fleets import fleet_of
from tests.support.waiting import wait_until

QUICK = {"lease_seconds": 2.5, "beat_seconds": 0.4}


@pytest.fixture
def home() -> Iterator[Path]:
    program_or_skip("embedded")
    folder = Path(tempfile.mkdtemp(prefix="orc-home-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def chosen(home: Path) -> Settings:
    return Settings(home=home, **QUICK)


@pytest.fixture
def fleet(chosen: Settings) -> Iterator[Fleet]:
    """This process on the same private server."""
    with fleet_of(chosen) as made:
        yield made


Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run_script(chosen: Settings, tmp_path: Path) -> Run:
    def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
        script = tmp_path / "script.py"
        script.write_text(code)
        return subprocess.run(
            [sys.executable, str(script)],
            env={**environment_of(chosen), **environment},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            timeout=90,
        )

    return run


def test_a_script_needs_nothing_but_itself(run_script: Run) -> None:
    done = run_script("""
import asyncio, os
from orchestrator import allow_failure, flow, task
@task(retries=1)
def square(x): return x * x
@task
async def slowly(x):
    await asyncio.sleep(0.01)
    return x
@task
def fail(): raise ValueError("no")
@task
def where(): return os.getpid()
@task
def nested(n): return sum(future.result() for future in square.map(range(n)))
@flow
def main():
    squares = square.map(slowly.map(range(50)))
    error = allow_failure(fail.submit())
    assert where.submit().result() == os.getpid()
    late = square.submit(100)
    assert sum(nested.map([3] * 20).result()) == 100
    return sum(squares.result()), type(square.submit(square.submit(2)).result()).__name__
if __name__ == "__main__":
    print(main())
    print(main())
""")
    assert done.returncode == 0
    assert done.stdout.splitlines() == ["(40425, 'int')"] * 2


def test_a_flow_brings_workers_for_calls_that_are_sent_in_whatever_way(run_script: Run) -> None:
    done = run_script("""
import asyncio
from orchestrator import flow, task
@task
def double(x): return 2 * x
@task
def kept(path): open(path, "w").close()
@flow
async def submitted(): return await (await double.asubmit(1))
@flow
async def delayed(): return await (await double.adelay(2))
@flow
def waits_for_delayed(): return double.delay(3).result(timeout=60)
@flow
def later(): return double.apply_async((4,), countdown=0.1).result(timeout=60)
@flow
def forgets(path): kept.delay(path)
if __name__ == "__main__":
    import os, tempfile
    path = tempfile.mktemp()
    print(asyncio.run(submitted()), asyncio.run(delayed()), waits_for_delayed(), later())
    forgets(path)
    print(os.path.exists(path))
    os.unlink(path)
""")
    assert done.returncode == 0
    assert done.stdout.splitlines() == ["2 4 6 8", "True"]


def test_a_live_worker_that_knows_the_task_gets_the_calls(run_script: Run, fleet: Fleet, chosen: Settings) -> None:
    assert fleet.live_workers() == {}
    worker = RedisFleet().start_worker(chosen, "tests.support.apps.basics")
    try:
        wait_until(fleet.live_workers, message="the worker is known")
        done = run_script("""
import os
from orchestrator import flow
from tests.support.apps import basics
@flow
def main(): return basics.process_id.submit().result()
assert main() != os.getpid()
""")
        assert done.returncode == 0
    finally:
        worker.stop()


def test_the_calls_of_a_flow_that_was_killed_go_to_the_common_queue(
    run_script: Run, fleet: Fleet, chosen: Settings, tmp_path: Path
) -> None:
    assert fleet.live_workers() == {}  # the private server runs on, for this process
    entered, go_on = tmp_path / "in", tmp_path / "on"
    done = run_script(f"""
import json, os, signal
from orchestrator import flow
from tests.support import signals
from tests.support.apps import basics
@flow
def main():
    held = basics.hold.submit({str(entered)!r}, {str(go_on)!r})
    first = basics.add.map(range(10), wait_for=[held])
    last = basics.total.submit(*first)
    later = basics.add.apply_async((1,), countdown=0.1)
    signals.wait_for({str(entered)!r})
    print(json.dumps([held.run_id, last.run_id, later.run_id]), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
main()
""")
    assert done.returncode == -signal.SIGKILL
    held, last, later = json.loads(done.stdout)
    signals.give(str(go_on))
    worker = RedisFleet().start_worker(chosen, "tests.support.apps.basics")
    try:
        assert PrefectFuture[Any](last).result(timeout=40) == sum(range(1, 11))
        assert PrefectFuture[Any](held).result(timeout=40) == "went on"
        assert PrefectFuture[Any](later).result(timeout=40) == 2
    finally:
        worker.stop()


def test_a_flow_that_ends_leaves_nothing_running_and_nobody_alive(run_script: Run, fleet: Fleet) -> None:
    done = run_script("""
from orchestrator import flow, task
@task
def one(): return 1
@flow
def main(): return one.submit()
main()
""")
    assert done.returncode == 0
    assert fleet.live_workers() == {}
