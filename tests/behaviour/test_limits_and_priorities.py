"""Who goes first, how many at once, how often, and for how long a result is kept: as users say it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.client.fleet import Fleet
from orchestrator.errors import RunLost
from orchestrator.futures import PrefectFuture
from tests.support import signals
from tests.support.apps import basics
from tests.support.ends import all_of
from tests.support.engines import Engine, Worker
from tests.support.waiting import wait_until

APP = "tests.support.apps.basics"
THREADS = 4
pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture
def lone_worker(engine: Engine, fleet: Fleet) -> Iterator[object]:
    """Starts a worker with one slot for the queue "lone"."""
    started: list[Worker] = []

    def start() -> None:
        started.append(engine.start_worker(fleet.settings, APP, queues="lone", threads=1))

    yield start
    all_of(worker.stop for worker in started)


def test_priorities_go_first(lone_worker, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    book = str(tmp_path / "book")
    futures = [
        basics.write.apply_async((book, f"{priority}{n} "), queue="lone", priority=priority)
        for n in range(2)
        for priority in ("low", "default", "high")
    ]
    futures.append(basics.write.with_options(queue="lone", priority="high").submit(book, "high2 "))
    lone_worker()
    for future in futures:
        future.result(timeout=60)
    assert Path(book).read_text().split() == ["high0", "high1", "high2", "default0", "default1", "low0", "low1"]


@pytest.mark.smoke
def test_only_so_many_run_at_once_in_the_whole_fleet(tmp_path: Path) -> None:
    limited = basics.hold.with_options(concurrency=("a limit", 2))
    entered, go_on = str(tmp_path / "in"), str(tmp_path / "on")
    futures = [limited.submit(entered, go_on) for _ in range(4)]
    signals.wait_for(entered, 2)
    wait_until(lambda: sum(future.state.is_running() for future in futures) == 2, message="two run")
    assert basics.add.submit(1).result(timeout=60) == 2
    assert signals.count(entered) == 2
    signals.give(go_on)
    assert [future.result(timeout=60) for future in futures] == ["went on"] * 4


def test_cancelled_calls_under_a_limit_block_nobody(tmp_path: Path) -> None:
    limited = basics.hold.with_options(concurrency=("another limit", 1))
    entered, go_on = str(tmp_path / "in"), str(tmp_path / "on")
    futures = [limited.submit(entered, go_on) for _ in range(6)]
    signals.wait_for(entered)
    for future in futures[:5]:
        future.cancel()
    signals.give(go_on)
    assert futures[5].result(timeout=60) == "went on"


def test_calls_are_spread_over_time() -> None:
    limited = basics.add.with_options(rate_limit="50/s")
    assert limited.map(range(10)).result(timeout=60) == list(range(1, 11))


def test_a_result_is_kept_as_long_as_the_task_says() -> None:
    future = basics.add.with_options(result_ttl=0.2).submit(1)
    assert future.result(timeout=60) == 2
    wait_until(lambda: PrefectFuture[int](future.run_id).state.name == "Lost")
    assert future.result() == 2
    with pytest.raises(RunLost):
        PrefectFuture[int](future.run_id).result(timeout=60)
