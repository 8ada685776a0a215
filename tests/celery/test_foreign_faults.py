"""``celery_task`` while brokers, stores, result backends and senders come and go."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery.signals import before_task_publish
from kombu import Queue

from orchestrator.client.fleet import Fleet
from orchestrator.errors import BrokerRefused, BrokerUnavailable, RunCrashed
from orchestrator.futures import PrefectFuture
from tests.support import app_for_workers as ours
from tests.support.ends import all_of
from tests.support.engines import ROOT, environment_of, redis_fleet
from tests.support.fleets import fleet_of
from tests.support.foreign_shop import ForeignShop, redis_broker
from tests.support.rabbitmq import RabbitMQ
from tests.support.servers import ServerProcess
from tests.support.waiting import wait_until

pytestmark = pytest.mark.behaviour
PATIENCE = 40.0
BUDGET_SECONDS = 4.0  # the promise is 2 s; this machine may be busy


@pytest.fixture
def start_server(server_program: Path) -> Iterator[Callable[[], ServerProcess]]:
    """Servers that a test may freeze and kill."""
    started: list[ServerProcess] = []

    def start() -> ServerProcess:
        started.append(ServerProcess(server_program, tcp=True).start())
        return started[-1]

    yield start
    all_of(server.close for server in started)


@pytest.fixture
def store(start_server: Callable[[], ServerProcess]) -> ServerProcess:
    """Where our fleet keeps its runs."""
    return start_server()


@pytest.fixture
def fleet(store: ServerProcess) -> Iterator[Fleet]:
    settings = redis_fleet().settings(store, "faults")
    with fleet_of(settings) as made:
        yield made


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Takes connections and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        yield listener.getsockname()[1]


def count_runs(fleet: Fleet) -> int:
    """How many runs the store holds, and how many of them it takes to be on their way."""
    script = "return #redis.call('KEYS', KEYS[1] .. 'r:*') + redis.call('ZCARD', KEYS[1] .. 'expiring')"
    (count,) = fleet.broker.wires.commands([("EVAL", script, 1, "{faults}:")])
    return int(count)


@pytest.mark.parametrize("how", ["refuses", "is silent"])
@pytest.mark.parametrize("broker", ["redis://127.0.0.1:{}/0", "amqp://guest@127.0.0.1:{}//"])
def test_a_shops_broker_that_is_away_is_told_in_time_and_leaves_nothing_behind(
    fleet: Fleet, broker: str, how: str, silent_port: int
) -> None:
    shop = ForeignShop(broker.format(silent_port if how == "is silent" else 1), backend="redis://127.0.0.1:1/0")
    for send in (shop.task("add").delay, shop.task("add").submit):
        began = time.monotonic()
        with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1"):
            send(1, 2)
        assert time.monotonic() - began < BUDGET_SECONDS
    assert count_runs(fleet) == 0


def test_a_store_that_is_away_is_told_in_time_and_nothing_is_sent(
    fleet: Fleet, store: ServerProcess, start_server: Callable[[], ServerProcess]
) -> None:
    broker = start_server()
    shop = ForeignShop(redis_broker(broker))
    store.kill()
    with pytest.raises(BrokerUnavailable):
        shop.task("add").delay(1, 2)
    assert broker.client(db=3).llen(shop.queue) == 0


def test_a_broker_that_dies_in_the_middle_of_a_map_leaves_no_runs_behind(
    fleet: Fleet, start_server: Callable[[], ServerProcess]
) -> None:
    broker = start_server()
    shop = ForeignShop(redis_broker(broker))
    published: list[str] = []

    def kill_at_the_third(headers: Any = None, **_: Any) -> None:
        published.append(headers["id"])
        if len(published) == 3:
            broker.kill()

    before_task_publish.connect(kill_at_the_third)
    try:
        with pytest.raises(BrokerUnavailable):
            shop.task("add").map(range(10), 1)
    finally:
        before_task_publish.disconnect(kill_at_the_third)
    assert len(published) == 3
    assert count_runs(fleet) == 0
    broker.start()
    assert shop.task("add").delay(1, 2).state.is_pending()  # the same handle finds its way when the broker is back
    assert broker.client(db=3).llen(shop.queue) == 1
    assert count_runs(fleet) == 1  # and it is not taken to be on its way any longer


def test_a_queue_that_must_not_be_declared_so_is_refused_and_leaves_nothing_behind(
    fleet: Fleet, rabbitmq: RabbitMQ
) -> None:
    shop = ForeignShop(rabbitmq.url)
    shop.task("add").delay(1, 2)  # makes the queue
    runs = count_runs(fleet)
    late = ForeignShop(rabbitmq.url, queue=shop.queue)
    other = Queue(shop.queue, queue_arguments={"x-max-length": 7})
    with pytest.raises(BrokerRefused, match="x-max-length"):
        late.task("add", queue=other).delay(3, 4)
    assert count_runs(fleet) == runs
    assert late.task("add").delay(5, 6).state.is_pending()


DYING_CLIENT = """
import os, sys
from celery import Celery
from celery.signals import before_task_publish
from orchestrator.contrib.celery import celery_task
from tests.support import app_for_workers as ours

how, broker, queue = sys.argv[1:]
app = Celery("client", broker=broker)
app.conf.task_default_queue = queue
def die(headers=None, **_):
    print(headers["id"], flush=True)
    os._exit(9)
if how == "before the message":
    before_task_publish.connect(die)
future = celery_task("foreign.add", app).submit(1, 2)
print(ours.add.submit(future, 10).task_run_id, flush=True)
os._exit(9)
"""


def run_dying_client(fleet: Fleet, shop: ForeignShop, how: str) -> str:
    """The id that it told."""
    command = [sys.executable, "-c", DYING_CLIENT, how, shop.broker, shop.queue]
    ran = subprocess.run(
        command, env=environment_of(fleet.settings), cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 9, ran.stderr
    return ran.stdout.strip()


def test_a_run_whose_sender_dies_before_the_message_is_sent_does_not_wait_for_ever(
    fleet: Fleet, start_server: Callable[[], ServerProcess]
) -> None:
    shop = ForeignShop(redis_broker(start_server()))
    future = PrefectFuture(run_dying_client(fleet, shop, "before the message"))
    assert future.state.is_pending()
    fleet.broker.runs.move_due()
    assert future.state.is_pending()  # it might still be on its way
    fleet.broker.wires.commands([("ZADD", "{faults}:expiring", "1", future.run_id)])  # time passes
    fleet.broker.runs.move_due()
    with pytest.raises(RunCrashed, match="lost on the way"):
        future.result(timeout=PATIENCE)


def test_a_graph_with_runs_of_celery_goes_on_when_its_sender_is_dead(
    fleet: Fleet, start_server: Callable[[], ServerProcess]
) -> None:
    shop = ForeignShop(redis_broker(start_server()), line="report")
    future = PrefectFuture[int](run_dying_client(fleet, shop, "after it"))
    theirs = shop.start_worker(fleet)
    mine = redis_fleet().start_worker(fleet.settings, ours.__name__)
    try:
        assert future.result(timeout=PATIENCE) == 13
    finally:
        theirs.stop()
        mine.stop()


def test_an_end_is_kept_by_celerys_worker_while_the_store_is_away(
    fleet: Fleet, store: ServerProcess, start_server: Callable[[], ServerProcess], tmp_path: Path
) -> None:
    shop = ForeignShop(redis_broker(start_server()), line="report")
    worker = shop.start_worker(fleet)
    try:
        future = shop.task("keep").apply_async((str(tmp_path / "trace"), "ran"), countdown=1)
        store.freeze()
        wait_until((tmp_path / "trace").exists, PATIENCE)
        worker.wait_output("wait for the store", PATIENCE)
        shop.app.send_task("foreign.keep", (str(tmp_path / "theirs"), "ran"))  # the shop's own calls notice nothing
        wait_until((tmp_path / "theirs").exists, PATIENCE)
        store.thaw()
        assert future.result(timeout=PATIENCE) is None
        assert future.state.is_completed()
        assert (tmp_path / "trace").read_text() == "ran\n"
    finally:
        worker.stop()


def test_a_result_backend_that_is_away_delays_nobody_who_sends_and_is_heard_when_it_is_back(
    fleet: Fleet, start_server: Callable[[], ServerProcess]
) -> None:
    backend = start_server()
    shop = ForeignShop(redis_broker(start_server()), redis_broker(backend))
    worker = shop.start_worker(fleet)
    try:
        add = shop.task("add")
        assert add.submit(1, 2).result(timeout=PATIENCE) == 3
        backend.freeze()
        began = time.monotonic()
        futures = [add.submit(n, n) for n in range(5)]
        assert time.monotonic() - began < BUDGET_SECONDS
        backend.thaw()
        assert [future.result(timeout=PATIENCE) for future in futures] == [0, 2, 4, 6, 8]
        backend.kill()
        backend.start()
        assert add.submit(20, 1).result(timeout=PATIENCE) == 21
    finally:
        worker.stop()


def test_a_handle_that_is_older_than_a_fork_works_in_the_child(
    fleet: Fleet, start_server: Callable[[], ServerProcess], tmp_path: Path
) -> None:
    shop = ForeignShop(redis_broker(start_server()), line="report")
    worker = shop.start_worker(fleet)
    try:
        add = shop.task("add")
        assert add.submit(1, 2).result(timeout=PATIENCE) == 3
        before, later = add.apply_async((3, 4), countdown=1), shop.task("now").apply_async(countdown=600)
        child = os.fork()
        if child == 0:
            try:
                results = [before.result(timeout=PATIENCE), add.submit(5, 6).result(timeout=PATIENCE), later.cancel()]
                (tmp_path / "answer").write_text(repr(results))
            finally:
                os._exit(0)
        wait_until(lambda: os.waitpid(child, os.WNOHANG)[0] == child, 60, "the child ends")
        assert (tmp_path / "answer").read_text() == "[7, 11, True]"
        assert later.state.is_cancelled()
    finally:
        worker.stop()
