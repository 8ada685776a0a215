"""Calls that wait for calls of their own do not keep them from running, on however few places."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.client.fleet import Fleet
from orchestrator.futures import wait
from tests.celery.conftest import StartCelery
from tests.support.apps import nesting

APP = nesting.__name__
pytestmark = pytest.mark.behaviour


@pytest.mark.parametrize("parent", [nesting.five, nesting.five_async], ids=["sync", "async"])
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_fifty_that_wait_for_five_each_complete_on_two_places(
    fleet: Fleet, start_celery: StartCelery, parent: Any, kind: str
) -> None:
    start_celery("-c", "2", apps=APP)
    futures = parent.map([kind] * 50)
    assert wait(futures, timeout=90).not_done == set()
    assert [future.result() for future in futures] == [10] * 50


@pytest.mark.parametrize("priority", ["high", "low"])
def test_those_waited_for_may_be_of_another_queue_and_priority(
    fleet: Fleet, start_celery: StartCelery, priority: str
) -> None:
    start_celery("-c", "2", apps=APP, queues="default,other")
    futures = [nesting.five.submit("sync", "other", priority) for _ in range(50)]
    assert wait(futures, timeout=90).not_done == set()
    assert [future.result() for future in futures] == [10] * 50


def test_waits_within_waits_complete_on_one_place(fleet: Fleet, start_celery: StartCelery) -> None:
    start_celery("-c", "1", apps=APP)
    assert nesting.deep.submit(4).result(timeout=90) == 16


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_in_other_pools_too(fleet: Fleet, start_celery: StartCelery, pool: str) -> None:
    start_celery("-P", pool, "-c", "1", apps=APP)
    assert [future.result(timeout=90) for future in nesting.five.map(["sync"] * 20)] == [10] * 20


@pytest.mark.parametrize("priority", ["high", "low"])
def test_a_worker_with_one_call_at_a_time_reaches_what_it_holds_unread_of_another_queue(
    fleet: Fleet, start_celery: StartCelery, priority: str
) -> None:
    start_celery("-P", "solo", "-c", "1", apps=APP, queues="default,other")
    futures = [nesting.five.submit("sync", "other", priority) for _ in range(3)]
    assert [future.result(timeout=60) for future in futures] == [10] * 3
