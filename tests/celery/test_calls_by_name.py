"""The other way: a Celery client calls our tasks by name, and reads an AsyncResult."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, group
from kombu import Queue

from orchestrator.client.fleet import Fleet
from tests.support.apps import by_name
from tests.support.celery_engine import CeleryWorker
from tests.support.engines import ROOT, Engine, celery_over_amqp, celery_over_redis
from tests.support.fleets import fleet_of
from tests.support.foreign_shop import ForeignShop, redis_broker
from tests.support.servers import ServerProcess
from tests.support.waiting import wait_until

pytestmark = pytest.mark.behaviour
PATIENCE = 40.0
APP = by_name.__name__


@pytest.fixture(scope="module", params=["redis", "amqp"])
def engine(request: pytest.FixtureRequest) -> Engine:
    if request.param == "amqp":
        return celery_over_amqp(request.getfixturevalue("rabbitmq").url)
    return celery_over_redis()


@pytest.fixture(scope="module")
def fleet(engine: Engine, server: ServerProcess) -> Iterator[Fleet]:
    namespace = f"by-name-{engine.name[-4:]}"
    settings = engine.settings(server, namespace, celery_result_backend=redis_broker(server, 5))
    with fleet_of(settings) as made:
        yield made


@pytest.fixture(scope="module")
def worker(engine: Engine, fleet: Fleet) -> Iterator[CeleryWorker]:
    """``celery -A task_workers.celery worker`` with a result backend."""
    started = engine.start_worker(fleet.settings, APP, threads=1)
    yield started  # type: ignore[misc]
    started.stop()


@pytest.fixture(scope="module")
def client(fleet: Fleet) -> Any:
    """Somebody's Celery, unmodified: it has neither our package nor our tasks, only two URLs and one setting."""
    assert fleet.settings.broker_url is not None
    broker = fleet.settings.broker_url.removeprefix("celery+")
    app = Celery("somebody", broker=broker, backend=fleet.settings.celery_result_backend, set_as_current=False)
    queue = Queue(f"{fleet.settings.namespace}.default", no_declare=True)
    app.conf.task_routes = {f"{APP}.*": {"queue": queue}}
    return app


def call(client: Any, name: str, *args: Any, **options: Any) -> Any:
    return client.send_task(f"{APP}.{name}", args, **options)


@pytest.mark.usefixtures("worker")
class TestByName:
    def test_a_sync_task(self, client: Any) -> None:
        assert call(client, "add", 1, 2).get(timeout=PATIENCE) == 3
        assert client.send_task(f"{APP}.add", kwargs={"a": 3, "b": 4}).get(timeout=PATIENCE) == 7

    def test_an_async_task(self, client: Any) -> None:
        assert call(client, "add_async", 1, 2).get(timeout=PATIENCE) == 3

    def test_a_failure_comes_back_as_the_exception(self, client: Any) -> None:
        result = call(client, "refuse", "tea")
        with pytest.raises(by_name.Refused, match="tea"):
            result.get(timeout=PATIENCE)
        assert "in refuse" in result.traceback

    def test_the_tasks_own_retries_happen(self, client: Any, tmp_path: Path) -> None:
        assert call(client, "third_time", str(tmp_path / "tries")).get(timeout=PATIENCE) == 3

    def test_the_tasks_own_timeout_applies(self, client: Any) -> None:
        with pytest.raises(Exception, match="longer than"):
            call(client, "sleep_too_long").get(timeout=PATIENCE)

    def test_celerys_signatures_groups_and_chains(self, client: Any) -> None:
        add = client.signature(f"{APP}.add")
        assert (add.clone((1, 2)) | add.clone((10,))).apply_async().get(timeout=PATIENCE) == 13
        several = group(add.clone((n, n)) for n in range(5))
        assert several.apply_async().get(timeout=PATIENCE) == [0, 2, 4, 6, 8]

    def test_on_the_only_place_it_may_wait_for_our_tasks_in_turn(self, client: Any) -> None:
        assert call(client, "add_up", 4).get(timeout=PATIENCE) == 6

    def test_they_outlive_a_worker_that_looks_for_calls_of_ours_only(self, client: Any) -> None:
        """While calls wait, a process takes further messages by itself; a call by name is none that it can take."""
        waiting = by_name.wait_for_a_later_one.submit(3)
        wait_until(lambda: waiting.state.is_running(), PATIENCE)
        results = [call(client, "add", n, 1) for n in range(4)]
        assert waiting.result(timeout=PATIENCE) == 3
        assert [result.get(timeout=10) for result in results] == [1, 2, 3, 4]

    def test_our_own_calls_go_on_beside_them(self, client: Any, fleet: Fleet) -> None:
        theirs = [call(client, "add", n, 1) for n in range(10)]
        mine = by_name.add.map(range(10), 1)
        assert mine.result(timeout=PATIENCE) == list(range(1, 11))
        assert [result.get(timeout=PATIENCE) for result in theirs] == list(range(1, 11))

    def test_a_client_that_declares_our_queue_in_its_own_way_is_refused_by_rabbitmq_and_by_redis_not(
        self, client: Any, fleet: Fleet
    ) -> None:
        name = f"{fleet.settings.namespace}.default"
        conf = client.conf
        careless = Celery("careless", broker=conf.broker_url, backend=conf.result_backend, set_as_current=False)
        careless.conf.broker_transport_options = {"max_retries": 3}  # or kombu gives it the connection of the other
        if "redis" in conf.broker_url:
            assert call(careless, "add", 1, 2, queue=name).get(timeout=PATIENCE) == 3  # its queues have no properties
        else:
            with pytest.raises(Exception, match="PRECONDITION_FAILED"):
                call(careless, "add", 1, 2, queue=name)


def test_a_shop_that_has_our_line_is_called_as_before(engine: Engine, fleet: Fleet, tmp_path: Path) -> None:
    """A task that was moved keeps its name, its queue, its callers and the shop's result backend."""
    assert fleet.settings.broker_url is not None
    broker = fleet.settings.broker_url.removeprefix("celery+")
    shop = ForeignShop(broker, fleet.settings.celery_result_backend, "install")
    worker = shop.start_worker(fleet, "-I", APP)
    try:
        assert shop.app.send_task(f"{APP}.add", (1, 2)).get(timeout=PATIENCE) == 3
        assert shop.app.send_task("foreign.add", (3, 4)).get(timeout=PATIENCE) == 7
        assert shop.task("add").submit(5, 6).result(timeout=PATIENCE) == 11
        assert by_name.add.submit(7, 8).result(timeout=PATIENCE) == 15
    finally:
        worker.stop()


def test_the_line_in_a_shops_module_leaves_its_application_the_current_one() -> None:
    code = """
from celery import Celery, current_app, shared_task
app = Celery("shop")
from task_workers.celery_app import install
install(app)
@shared_task(name="shop.shared")
def shared(): pass
assert current_app.main == "shop", current_app
assert shared.app.main == "shop", shared.app
"""
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
