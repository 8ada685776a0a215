"""``celery_task``: tasks that only a Celery application knows, called through our futures."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator import flow
from orchestrator.client.fleet import Fleet
from orchestrator.errors import RemoteTraceback, RunCancelled, RunCrashed, SerializationError, UpstreamTaskError
from orchestrator.futures import PrefectFuture, as_completed, wait
from tests.support import app_for_workers as ours
from tests.support.engines import Worker, redis_fleet
from tests.support.fleets import fleet_of
from tests.support.foreign_shop import ForeignShop, redis_broker
from tests.support.rabbitmq import RabbitMQ
from tests.support.servers import ServerProcess
from tests.support.waiting import wait_until

pytestmark = pytest.mark.behaviour
PATIENCE = 40.0
KINDS = ("redis, told", "redis, backend redis", "redis, backend files", "amqp, told", "amqp, backend rpc")
"""Where a shop's messages go, and how we hear of ends: told by its workers, or from its result backend."""

# With Celery's RPC backend the result of a replacement goes to the worker that sent it, and to nobody else.
but_rpc = pytest.mark.parametrize("shop", KINDS[:-1], indirect=True)
told_by_workers = pytest.mark.parametrize("shop", ["redis, told", "amqp, told"], indirect=True)


@pytest.fixture(scope="module")
def fleet(server: ServerProcess) -> Iterator[Fleet]:
    with fleet_of(redis_fleet().settings(server, f"foreign-{secrets.token_hex(4)}")) as made:
        yield made


@pytest.fixture(scope="module")
def shop_server(server_program: Path) -> Iterator[ServerProcess]:
    """The shop's own Redis."""
    process = ServerProcess(server_program).start()
    yield process
    process.close()


@pytest.fixture(scope="module", params=KINDS)
def shop(
    request: pytest.FixtureRequest,
    fleet: Fleet,
    shop_server: ServerProcess,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ForeignShop]:
    """A shop whose worker runs."""
    kind = str(request.param)
    if kind.startswith("amqp"):
        rabbitmq: RabbitMQ = request.getfixturevalue("rabbitmq")
        broker = rabbitmq.url
    else:
        broker = redis_broker(shop_server)
    backends = {
        "backend redis": redis_broker(shop_server, 4),
        "backend files": f"file://{tmp_path_factory.mktemp('results')}",
        "backend rpc": "rpc://",
    }
    how = kind.split(", ")[1]
    made = ForeignShop(broker, backends.get(how), "report" if how == "told" else "")
    worker = made.start_worker(fleet)
    yield made
    worker.stop()


@pytest.fixture(scope="module")
def our_worker(fleet: Fleet) -> Iterator[Worker]:
    worker = redis_fleet().start_worker(fleet.settings, ours.__name__)
    yield worker  # type: ignore[misc]
    worker.stop()


def test_a_call_comes_back_with_what_celery_returned(shop: ForeignShop) -> None:
    add = shop.task("add")
    future = add.submit(2, b=3)
    assert future.result(timeout=PATIENCE) == 5
    assert future.state.is_completed()
    assert add.delay(4, 5).result(timeout=PATIENCE) == 9
    if shop.backend is not None and not shop.backend.startswith("rpc"):
        assert shop.app.AsyncResult(str(future.task_run_id)).get(timeout=PATIENCE) == 5  # one id for both


def test_an_error_comes_back_as_its_own_type_with_the_remote_traceback(shop: ForeignShop) -> None:
    from tests.support.apps.foreign import OutOfStock

    future = shop.task("sell").submit("tea")
    with pytest.raises(OutOfStock) as caught:
        future.result(timeout=PATIENCE)
    assert caught.value.args == ("tea", 42)
    assert isinstance(caught.value.__cause__, RemoteTraceback)
    assert "in sell" in str(caught.value.__cause__)
    assert (future.state.is_failed(), future.state.message) == (True, "OutOfStock: ('tea', 42)")


def test_a_task_that_retries_itself_is_not_over_before_its_last_attempt(shop: ForeignShop) -> None:
    future = shop.task("third_time").submit("well")
    assert future.result(timeout=PATIENCE) == "well after 2 retries"
    if shop.line:
        assert future.state.run_count == 3


@but_rpc
def test_a_task_that_replaces_itself_ends_when_the_other_does(shop: ForeignShop) -> None:
    assert shop.task("replaced").submit(41).result(timeout=PATIENCE) == 42


@told_by_workers
@pytest.mark.parametrize(
    ("how", "told"),
    [("not today", "the task raised Ignore('not today')"), ("rejected", "the task raised Reject('no longer wanted')")],
)
def test_a_task_that_celery_is_to_ignore_ends_cancelled(shop: ForeignShop, how: str, told: str) -> None:
    future = shop.task("ignored").submit(how)
    with pytest.raises(RunCancelled):
        future.result(timeout=PATIENCE)
    assert told in str(future.state.message)


def test_a_map_comes_back_in_input_order(shop: ForeignShop) -> None:
    futures = shop.task("add").map(range(30), 1)
    assert futures.result(timeout=PATIENCE) == list(range(1, 31))
    futures = shop.task("add").map(range(10), 1)
    assert sorted(future.result() for future in as_completed(futures, timeout=PATIENCE)) == list(range(1, 11))


@pytest.mark.usefixtures("our_worker")
def test_our_tasks_wait_for_runs_of_celery_in_the_store(shop: ForeignShop) -> None:
    add, sell = shop.task("add"), shop.task("sell")
    total = ours.add.submit(add.submit(1, 2), add.apply_async((3, 4), countdown=0.3))
    never = ours.add.submit(sell.submit("salt"), 1)
    assert total.result(timeout=PATIENCE) == 10
    with pytest.raises(UpstreamTaskError):
        never.result(timeout=PATIENCE)


@pytest.mark.usefixtures("our_worker")
def test_both_kinds_of_task_in_one_flow(shop: ForeignShop) -> None:
    @flow
    def mixed(count: int) -> int:
        theirs = shop.task("add").map(range(count), 10)
        mine = ours.add.map(theirs, 100)
        done, not_done = wait([*theirs, *mine], timeout=PATIENCE)
        assert (len(done), not_done) == (2 * count, set())
        return sum(mine.result())

    assert mixed(5) == 560


def test_a_countdown_is_celerys(shop: ForeignShop) -> None:
    sent = time.time()
    future = shop.task("now").apply_async(countdown=0.5)
    assert future.state.is_pending()
    assert future.result(timeout=PATIENCE) - sent >= 0.5


def test_a_call_that_has_not_begun_is_cancelled_here_and_revoked_there(shop: ForeignShop) -> None:
    future = shop.task("now").apply_async(countdown=600)
    assert future.cancel()
    assert future.state.is_cancelled()
    with pytest.raises(RunCancelled):
        future.result(timeout=PATIENCE)
    assert not future.cancel()

    def is_revoked() -> bool:
        told = shop.app.control.inspect(timeout=1).revoked() or {}
        return any(str(future.task_run_id) in revoked for revoked in told.values())

    wait_until(is_revoked, PATIENCE)


def test_what_somebody_else_revokes_is_cancelled(shop: ForeignShop) -> None:
    future = shop.task("now").apply_async(countdown=1.5)
    shop.app.control.revoke(str(future.task_run_id))
    with pytest.raises(RunCancelled, match="revoked"):
        future.result(timeout=PATIENCE)


def test_a_call_that_exceeds_celerys_time_limit_is_timed_out(shop: ForeignShop) -> None:
    soft = shop.task("sleep", soft_time_limit=1).submit(60)
    hard = shop.task("sleep", time_limit=1).submit(60)
    for future in (soft, hard):
        future.wait(timeout=PATIENCE)
        assert (future.state.is_failed(), future.state.name) == (True, "TimedOut")


def test_a_call_that_kills_its_process_is_crashed(shop: ForeignShop) -> None:
    future = shop.task("die").submit()
    future.wait(timeout=PATIENCE)
    assert future.state.is_crashed()
    assert isinstance(future.state.result(raise_on_failure=False), Exception)


@told_by_workers
def test_the_state_of_a_call_that_runs_is_known_and_its_late_end_changes_nothing(shop: ForeignShop) -> None:
    future = shop.task("sleep").submit(1.5)
    wait_until(lambda: future.state.is_running(), PATIENCE)
    assert future.cancel()
    after = shop.task("sleep").map([0, 0, 0, 1.5])  # on two places: the last one ends after the cancelled one
    assert after.result(timeout=PATIENCE) == ["slept"] * 4
    assert PrefectFuture(future.run_id).state.is_cancelled()


def test_from_an_event_loop(shop: ForeignShop) -> None:
    async def both() -> list[int]:
        add = shop.task("add")
        return [await (await add.asubmit(1, 1)), await (await add.adelay(2, 2))]

    assert asyncio.run(asyncio.wait_for(both(), PATIENCE)) == [2, 4]


def test_a_handle_is_made_again_from_its_id(shop: ForeignShop) -> None:
    add = shop.task("add")
    run_id = add.delay(1, 6).task_run_id
    assert PrefectFuture(run_id).result(timeout=PATIENCE) == 7
    assert add.future(run_id).result(timeout=PATIENCE) == 7


def test_return_state_does_not_raise(shop: ForeignShop) -> None:
    assert shop.task("sell").submit("tea", return_state=True).is_failed()


def test_arguments_that_celery_cannot_send_leave_nothing_behind(shop: ForeignShop, fleet: Fleet) -> None:
    before = runs_in(fleet)
    with pytest.raises(SerializationError, match="json"):
        shop.task("add").delay(1, object())
    assert runs_in(fleet) == before


def test_futures_are_refused_and_the_error_says_what_to_do(shop: ForeignShop) -> None:
    add = shop.task("add")
    earlier = add.submit(1, 2)
    with pytest.raises(TypeError, match=r"future\.result\(\)"):
        add.submit({"deep": [earlier]}, 1)
    with pytest.raises(TypeError, match="wait_for"):
        add.submit(1, 2, wait_for=[earlier])
    with pytest.raises(TypeError, match="task_id"):
        add.apply_async((1, 2), task_id="mine")
    with pytest.raises(TypeError, match="submit"):
        add(1, 2)
    assert earlier.result(timeout=PATIENCE) == 3


@told_by_workers
def test_the_reason_of_a_crash_is_told(shop: ForeignShop) -> None:
    with pytest.raises(RunCrashed, match="WorkerLostError"):
        shop.task("die").submit(return_state=True).result()


def runs_in(fleet: Fleet) -> int:
    """How many runs the store knows."""
    (keys,) = fleet.broker.wires.commands(
        [("EVAL", "return #redis.call('KEYS', KEYS[1])", 1, f"{fleet.broker.keys.prefix}r:*")]
    )
    return int(keys)
