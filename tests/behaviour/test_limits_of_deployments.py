"""Runs under limits that are declared, over several worker processes: never too many at once, and none is left over."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path

from orchestrator.client.fleet import Fleet
from orchestrator.client.schemas.objects import ConcurrencyLimitConfig
from orchestrator.concurrency.declared import cancel_waiting, declare, declared, set_deployment_limit
from orchestrator.concurrency.deployment_limits import limit_of_deployment
from orchestrator.deployments.editing import delete_deployment
from tests.support.apps import counted as app
from tests.support.apps import deployed_flows
from tests.support.engines import Engine
from tests.support.waiting import wait_until

APP = "tests.support.apps.counted"


def test_twelve_runs_over_three_workers_never_run_more_than_three_at_once(
    engine: Engine, fleet: Fleet, tmp_path: Path
) -> None:
    name, book = limit_of_deployment("d1"), str(tmp_path / "book")
    set_deployment_limit(fleet, "d1", ConcurrencyLimitConfig(limit=3))
    limited = app.counted.with_options(concurrency=(name, 100))  # what is declared counts
    workers = [engine.start_worker(fleet.settings, APP, threads=4) for _ in range(3)]
    try:
        futures = [limited.submit(book) for _ in range(12)]
        for future in futures:
            future.result(timeout=40)
        declare(fleet, "fragile", limit=1)
        died = app.dies_in_a_block.submit(str(tmp_path / "died"))
        assert died.result(timeout=60) == "went on", "the places of the dead worker are free"
    finally:
        for worker in workers:
            worker.stop()
    changes = [int(line) for line in Path(book).read_text().splitlines()]
    assert len(changes) == 24
    assert max(accumulate(changes)) <= 3


def test_what_waits_for_a_place_of_a_deleted_deployment_is_cancelled(
    fleet: Fleet, engine: Engine, tmp_path: Path
) -> None:
    name = limit_of_deployment("d2")
    set_deployment_limit(fleet, "d2", 0)
    limited = app.counted.with_options(concurrency=(name, 1))
    worker = engine.start_worker(fleet.settings, APP, threads=2)
    try:
        futures = [limited.submit(str(tmp_path / "book")) for _ in range(3)]
        wait_until(lambda: _waiting(fleet, name) == 3)
        assert cancel_waiting(fleet, name, "its deployment was deleted") == 3
        for future in futures:
            future.wait(timeout=20)
            assert future.state.is_cancelled()
        set_deployment_limit(fleet, "d2", None)
        limited.submit(str(tmp_path / "book")).result(timeout=60)
    finally:
        worker.stop()


def test_a_deployment_that_is_made_anew_has_not_the_limit_of_the_deleted_one(fleet: Fleet) -> None:
    the_id = deployed_flows.tracker.to_deployment("limited", concurrency_limit=1).apply()
    assert declared(fleet, [limit_of_deployment(str(the_id))]) != [None]
    delete_deployment(fleet, "tracker/limited")
    assert deployed_flows.tracker.to_deployment("limited").apply() == the_id
    assert declared(fleet, [limit_of_deployment(str(the_id))]) == [None]


def _waiting(fleet: Fleet, name: str) -> int:
    (limit,) = declared(fleet, [name])
    assert limit is not None
    return limit.use.waiting
