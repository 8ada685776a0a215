"""Sends on engine 2: from many threads, after a fork, from an event loop, with the broker there and frozen."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from brokers.celery.broker import CeleryBroker
from brokers.celery.messages import Carried
from orchestrator.client.fleet import Fleet
from orchestrator.errors import BrokerUnavailable
from orchestrator.settings import Settings
from tests.celery.conftest import StartCelery
from tests.support import app_for_workers as app
from tests.support.fleets import fleet_of
from tests.support.rabbitmq import RabbitMQ, is_installed
from tests.support.servers import ServerProcess
from tests.support.waiting import wait_until

pytestmark = pytest.mark.behaviour
PATIENCE = 60.0
PROMISE_SECONDS = 2.0
BUSY_MACHINE_SECONDS = 3.0


def test_sixty_four_threads_send_at_once(fleet: Fleet, start_celery: StartCelery) -> None:
    start_celery("-c", "2")
    together = threading.Barrier(64)

    def send(n: int) -> int:
        together.wait()
        return sum(app.add.delay(n, m).result(timeout=PATIENCE) for m in range(3))

    with ThreadPoolExecutor(64) as threads:
        assert list(threads.map(send, range(64))) == [3 * n + 3 for n in range(64)]


def test_a_fork_after_the_first_send_goes_on_by_itself(fleet: Fleet, start_celery: StartCelery) -> None:
    assert app.add.delay(1, 1).state.is_pending()
    child = os.fork()
    if not child:
        status = 1
        try:  # nothing of pytest's may run here
            status = 0 if app.add.delay(2, 3).result(timeout=PATIENCE) == 5 else 2
        finally:
            os._exit(status)
    start_celery("-c", "1")
    assert app.add.delay(3, 4).result(timeout=PATIENCE) == 7
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_an_event_loop_sends_many_at_once(fleet: Fleet, start_celery: StartCelery) -> None:
    start_celery("-c", "2")

    async def send(n: int) -> int:
        future = await app.add.adelay(n, 1)
        return int(await future)

    async def all_of_them() -> list[int]:
        return await asyncio.gather(*map(send, range(200)))

    assert asyncio.run(all_of_them()) == list(range(1, 201))


# -- a broker that answers nothing -------------------------------------------------------------------------------------


@pytest.fixture(params=["redis", "amqp"])
def frozen(request: pytest.FixtureRequest, server: ServerProcess, server_program: object) -> Iterator[object]:
    """A broker of this test's own, to be frozen: its URL after ``celery+``, how to freeze it, how to thaw it."""
    if request.param == "redis":
        own = ServerProcess(server_program).start()  # type: ignore[arg-type]
        yield f"redis+socket://{own.socket}?virtual_host=1", own.freeze, own.thaw
        own.thaw()
        own.close()
        return
    if not is_installed():
        pytest.skip("no RabbitMQ on this machine")
    node = RabbitMQ().start()
    yield node.url, node.freeze, node.thaw
    node.close()


Frozen = tuple[str, Callable[[], None], Callable[[], None]]


@pytest.fixture
def own_fleet(frozen: Frozen, server: ServerProcess, namespace: str) -> Iterator[Fleet]:
    settings = Settings(redis_url=server.url, broker_url=f"celery+{frozen[0]}", namespace=namespace)
    with fleet_of(settings) as made:
        yield made


def kept(fleet: Fleet) -> list[str]:
    (keys,) = fleet.broker.wires.commands([("KEYS", fleet.broker.keys.prefix + "r:*")])
    return [key.decode() for key in keys]


async def _ticks_while_it_fails(ticks: list[float]) -> float:
    async def tick() -> None:
        while True:
            ticks.append(time.monotonic())
            await asyncio.sleep(0.01)

    clock = asyncio.create_task(tick())
    begun = time.monotonic()
    try:
        with pytest.raises(BrokerUnavailable):
            await app.add.adelay(1, 2)
        return time.monotonic() - begun
    finally:
        clock.cancel()


def test_adelay_does_not_block_the_loop_while_the_broker_is_frozen(own_fleet: Fleet, frozen: Frozen) -> None:
    _, freeze, thaw = frozen
    before = app.add.delay(1, 1)  # the connection is there, and nothing tells that it is dead
    freeze()
    ticks: list[float] = []
    spent = asyncio.run(_ticks_while_it_fails(ticks))
    assert spent < PROMISE_SECONDS + BUSY_MACHINE_SECONDS
    assert len(ticks) > 20  # about a hundred a second; a loop that is blocked ticks twice
    thaw()
    assert [key.rpartition(":")[2] for key in kept(own_fleet)] == [before.run_id]
    wait_until(_sends, PATIENCE, "sending works again by itself")


def test_sixty_four_threads_hear_in_time_that_the_broker_is_frozen(own_fleet: Fleet, frozen: Frozen) -> None:
    _, freeze, thaw = frozen
    app.add.delay(1, 1)
    freeze()
    together = threading.Barrier(64)

    def send(n: int) -> float:
        together.wait()
        begun = time.monotonic()
        with pytest.raises(BrokerUnavailable):
            app.add.delay(n, n)
        return time.monotonic() - begun

    with ThreadPoolExecutor(64) as threads:
        slowest = max(threads.map(send, range(64)))
    assert slowest < PROMISE_SECONDS + BUSY_MACHINE_SECONDS
    thaw()
    wait_until(_sends, PATIENCE, "sending works again by itself")


def _sends() -> bool:
    try:
        return app.add.delay(1, 2).state.is_pending()
    except BrokerUnavailable:
        return False


def test_calls_that_a_worker_had_taken_before_the_broker_failed_are_told(
    own_fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker takes the messages, its confirmation is lost, and a worker is quicker than the withdrawal."""
    broker = own_fleet.broker
    assert isinstance(broker, CeleryBroker)
    publish, claimed = broker.runs.publish, []

    def breaks(calls: Sequence[Carried]) -> None:
        publish(calls)
        first = calls[0]
        deliveries, _ = broker.carrier.claim("worker.1", [first.named])
        claimed.extend(delivery.run_id for delivery in deliveries)
        raise BrokerUnavailable("the broker does not answer")

    monkeypatch.setattr(broker.runs, "publish", breaks)
    with pytest.raises(BrokerUnavailable, match="1 are queued or have begun") as caught:
        app.add.map(range(3), range(3))
    assert list(caught.value.queued_run_ids) == claimed
    assert [key.rpartition(":")[2] for key in kept(own_fleet)] == claimed
