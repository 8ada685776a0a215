"""Celery workers of two versions of an application, and calls that one of them does not know."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from brokers.messages import Status
from orchestrator.client.fleet import Fleet
from tests.celery.conftest import StartCelery
from tests.support.waiting import wait_until

pytestmark = pytest.mark.behaviour

OLD = "from orchestrator import task\n@task\ndef old(x):\n    return 'v1', x\n"
NEW = OLD.replace("v1", "v2") + "@task\ndef new(x):\n    return 'v2', x\n"
NAME = "celery_shop_of_two_versions"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The new version, as a client has it."""
    for version, source in (("v1", OLD), ("v2", NEW)):
        (tmp_path / version).mkdir()
        (tmp_path / version / f"{NAME}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path / "v2")
    yield import_module(NAME)
    del sys.modules[NAME]


def test_calls_that_no_worker_knows_wait_and_go_to_the_one_that_does(
    start_celery: StartCelery, shop: Any, fleet: Fleet, tmp_path: Path
) -> None:
    start_celery("-c", "1", apps=str(tmp_path / "v1" / f"{NAME}.py"))
    waiting = shop.new.delay(0)
    wait_until(lambda: fleet.broker.records.read([waiting.run_id])[0].status == Status.LIMITED, 40, "it waits")
    assert "no live worker of the queue default knows" in str(fleet.latest_state(waiting.run_id).message)
    start_celery("-c", "1", apps=str(tmp_path / "v2" / f"{NAME}.py"))
    assert waiting.result(timeout=60) == ("v2", 0)
    futures = [shop.new.delay(x) for x in range(10)]
    assert [future.result(timeout=60) for future in futures] == [("v2", x) for x in range(10)]
    assert fleet.broker.dead_letters.newest() == []
