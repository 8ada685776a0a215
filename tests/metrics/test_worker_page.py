"""What a worker's ``/metrics`` says, of real calls in real processes."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from orchestrator.client.fleet import Fleet
from orchestrator.states import FAILED
from tests.support import app_for_workers as app
from tests.support.scraping import Samples, address_of, scraped, value_of
from tests.support.waiting import wait_until
from tests.support.worker_process import StartWorker, wait_note

pytestmark = [pytest.mark.behaviour, pytest.mark.needs_server]
ADD = app.add.task_key


def until(url: str, name: str, value: float, **labels: str) -> Samples:
    """The page, as soon as it says so: the ends of calls are told a moment after their results."""

    def is_so() -> bool:
        found = scraped(url)
        return any(known == name and set(labels.items()) <= own for known, own in found) and (
            value_of(found, name, **labels) == value
        )

    wait_until(is_so, 20, f"{name} {labels} == {value}")
    return scraped(url)


def test_every_call_is_counted_once_over_all_children(fleet: Fleet, start_worker: StartWorker, tmp_path: Path) -> None:
    worker = start_worker("-c", "2", "--metrics-port", "0", ready=2)
    url = address_of(worker, "/metrics")
    app.add.map(range(300), 1).result(timeout=60)
    assert app.fails_first.delay(str(tmp_path)).result(timeout=60) == "the second time"
    app.leave.delay(0)
    until(url, "orchestrator_runs_failed_total", 1.0, task=app.leave.task_key)
    page = until(url, "orchestrator_runs_succeeded_total", 300.0, task=ADD, queue="default")
    assert value_of(page, "orchestrator_runs_started_total", task=ADD) == 300
    assert value_of(page, "orchestrator_run_duration_seconds_count", task=ADD) == 300
    assert value_of(page, "orchestrator_run_duration_seconds_bucket", task=ADD, le="+Inf") == 300
    assert value_of(page, "orchestrator_queue_wait_seconds_count", task=ADD) == 300
    retried = {"task": app.fails_first.task_key, "queue": "default"}
    assert value_of(page, "orchestrator_runs_retried_total", **retried) == 1
    assert value_of(page, "orchestrator_runs_succeeded_total", **retried) == 1
    assert value_of(page, "orchestrator_runs_redelivered_total", task=ADD) == 0
    assert value_of(page, "orchestrator_fleet_submitted_total", task=ADD, queue="default") == 300
    assert value_of(page, "orchestrator_fleet_runs_total", task=ADD, state="completed") == 300
    assert value_of(page, "orchestrator_worker_up") == value_of(page, "orchestrator_store_up") == 1


def test_the_wait_in_the_queue_is_that_of_the_call(fleet: Fleet, start_worker: StartWorker, tmp_path: Path) -> None:
    worker = start_worker("-c", "1", "--metrics-port", "0", ready=1)
    url = address_of(worker, "/metrics")
    blocking = app.wait_for_sign.delay(str(tmp_path), "first")
    wait_note(tmp_path, "first begins")
    behind = app.add.delay(1, 1)
    wait_until(lambda: value_of(scraped(url), "orchestrator_queue_oldest_age_seconds", queue="default") > 0.3, 20)
    (tmp_path / "go").touch()
    assert behind.result(timeout=60) == 2
    assert blocking.result(timeout=60) == "first"
    page = until(url, "orchestrator_runs_succeeded_total", 1.0, task=ADD)
    assert value_of(page, "orchestrator_queue_wait_seconds_sum", task=ADD) > 0.3
    assert value_of(page, "orchestrator_run_duration_seconds_sum", task=app.wait_for_sign.task_key) > 0.3
    assert value_of(page, "orchestrator_run_duration_seconds_sum", task=ADD) < 0.3
    assert value_of(page, "orchestrator_queue_oldest_age_seconds", queue="default") == 0


def test_busy_places_are_told_by_lane(fleet: Fleet, start_worker: StartWorker, tmp_path: Path) -> None:
    worker = start_worker("-c", "1", "--threads", "3", "--async-concurrency", "7", "--metrics-port", "0", ready=1)
    url = address_of(worker, "/metrics")
    sync = [app.wait_for_sign.delay(str(tmp_path), f"sync-{number}") for number in range(2)]
    slow = [app.sleep_async.delay(str(tmp_path), f"async-{number}") for number in range(4)]
    for name in ("sync-0", "sync-1", "async-0", "async-1", "async-2", "async-3"):
        wait_note(tmp_path, f"{name} begins")
    page = scraped(url)
    assert value_of(page, "orchestrator_worker_slots_busy", lane="sync") == 2
    assert value_of(page, "orchestrator_worker_slots_busy", lane="async") == 4
    assert value_of(page, "orchestrator_worker_slots", lane="sync") == 3
    assert value_of(page, "orchestrator_worker_slots", lane="async") == 7
    (tmp_path / "go").touch()
    assert [future.result(timeout=60) for future in sync] == ["sync-0", "sync-1"]
    assert [future.cancel() for future in slow] == [True] * 4
    page = until(url, "orchestrator_runs_cancelled_total", 4.0, task=app.sleep_async.task_key)
    until(url, "orchestrator_worker_slots_busy", 0.0)


def test_what_a_dead_child_has_counted_stays(fleet: Fleet, start_worker: StartWorker, tmp_path: Path) -> None:
    worker = start_worker("-c", "1", "--metrics-port", "0", ready=1)
    url = address_of(worker, "/metrics")
    app.add.map(range(50), 1).result(timeout=60)
    until(url, "orchestrator_runs_succeeded_total", 50.0, task=ADD)
    once = app.sleep_if_first.delay(str(tmp_path), "once")
    os.kill(wait_note(tmp_path, "once begins"), signal.SIGKILL)
    assert once.result(timeout=60) == "once"
    page = until(url, "orchestrator_runs_succeeded_total", 1.0, task=app.sleep_if_first.task_key)
    assert value_of(page, "orchestrator_runs_succeeded_total", task=ADD) == 50
    assert value_of(page, "orchestrator_runs_started_total", task=app.sleep_if_first.task_key) == 2
    assert value_of(page, "orchestrator_runs_redelivered_total", task=app.sleep_if_first.task_key) == 1
    assert value_of(page, "orchestrator_worker_child_deaths_total") == 1


def test_dead_letters_are_told_by_the_page_of_any_worker(
    fleet: Fleet, start_worker: StartWorker, tmp_path: Path
) -> None:
    worker = start_worker("-c", "1", "--metrics-port", "0", ready=1, ORCHESTRATOR_MAX_DELIVERIES="1")
    dead = app.poison.delay(str(tmp_path), "exit")
    wait_until(lambda: dead.state.is_final(), 30)
    page = until(address_of(worker, "/metrics"), "orchestrator_dead_letters", 1.0)
    assert value_of(page, "orchestrator_fleet_runs_total", task=app.poison.task_key, state="crashed") == 1


def test_a_worker_without_the_option_counts_nothing_and_listens_nowhere(
    fleet: Fleet, start_worker: StartWorker
) -> None:
    worker = start_worker("-c", "1", ready=1)
    assert app.add.delay(1, 1).result(timeout=60) == 2
    assert "http://" not in worker.output
    child = Path(f"/proc/{worker.children()[0]}/maps")
    if child.exists():
        assert "memfd:slots" in child.read_text()
        assert "memfd:figures" not in child.read_text()


def test_runs_that_fail_are_counted_as_failed(fleet: Fleet, start_worker: StartWorker) -> None:
    worker = start_worker("-c", "1", "--metrics-port", "0", ready=1)
    failed = app.sleep_too_long.delay()
    wait_until(lambda: failed.state.is_final(), 30)
    assert failed.state.type is FAILED
    page = until(address_of(worker, "/metrics"), "orchestrator_runs_failed_total", 1.0)
    assert value_of(page, "orchestrator_run_duration_seconds_sum", task=app.sleep_too_long.task_key) >= 0.3
