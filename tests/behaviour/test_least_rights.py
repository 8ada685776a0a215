"""A user with the rights that ``orchestrator acl`` prints, and nothing more."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from brokers.connect import acl_rules
from brokers.messages import Status
from orchestrator.client.fleet import Fleet
from orchestrator.errors import RunCrashed
from orchestrator.tasks import task
from tests.support.apps import basics
from tests.support.engines import Engine
from tests.support.fleets import fleet_of
from tests.support.servers import ServerProcess
from tests.support.waiting import wait_until


@task
def nobody_knows() -> None:
    """A task of this module, which no worker imports."""


@pytest.fixture(scope="session", params=["embedded", "redis-server"])
def row(request: pytest.FixtureRequest) -> str:
    """Engine 1. With Celery's broker in the same Redis another user would need the rights that Celery wants."""
    return str(request.param)


@pytest.fixture
def fleet(own_server: Callable[..., ServerProcess], engine: Engine, namespace: str) -> Iterator[Fleet]:
    server = own_server()
    settings = engine.settings(server, namespace, unknown_task_wait_seconds=0)
    rules = acl_rules(namespace, "worker").replace("CHANGE-ME", "secret")
    assert server.client().execute_command(*rules.split())
    server.client().execute_command("ACL", "SETUSER", "default", "off", "nopass", "-@all")
    url = server.url.replace("unix://", "unix://worker:secret@")
    settings = settings.model_copy(update={"redis_url": url})
    with fleet_of(settings) as made:
        yield made


def test_a_user_with_the_least_rights_can_do_everything(fleet: Fleet, engine: Engine) -> None:
    worker = engine.start_worker(fleet.settings, "tests.support.apps.basics")
    try:
        assert basics.add.map([1, 2, 3], 10).result(timeout=60) == [11, 12, 13]
        first = basics.add.submit(1)
        assert basics.add.submit(first, 5).result(timeout=60) == 7
        assert basics.echo_async.delay("x").result(timeout=60) == "x"
        assert basics.add.apply_async((1,), countdown=0.2).result(timeout=60) == 2
        later = basics.add.apply_async((1,), countdown=60)
        assert later.cancel()
        assert later.state.is_cancelled()
        assert (
            basics.add.apply_async((1,), idempotency_key="k").run_id
            == basics.add.apply_async((1,), idempotency_key="k").run_id
        )
        assert fleet.live_workers()
    finally:
        worker.stop()


def test_an_unknown_task_is_a_dead_letter(fleet: Fleet, engine: Engine) -> None:
    worker = engine.start_worker(fleet.settings, "tests.support.apps.basics")
    try:
        future = nobody_knows.delay()
        with pytest.raises(RunCrashed, match=r"nobody_knows.* is known here"):
            future.result(timeout=60)
        wait_until(lambda: fleet.broker.dead_letters.newest() == [future.run_id])
        assert fleet.broker.records.read([future.run_id])[0].status == Status.CRASHED
        assert basics.add.submit(1).result(timeout=60) == 2  # the worker goes on
    finally:
        worker.stop()
