"""What is told of calls whose sending broke off is true: nothing is queued but what the error names."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from brokers.messages import Status
from brokers.records import CALLS_AT_ONCE
from brokers.redis.runs import CALLS_IN_BLOCKS
from orchestrator import flow
from orchestrator.client.fleet import Fleet
from orchestrator.errors import BrokerUnavailable
from orchestrator.futures import PrefectFuture
from orchestrator.runs.run_ids import new_run_id
from orchestrator.settings import Settings
from tests.support.apps import basics
from tests.support.fault_proxy import CUT_AFTER, FaultProxy, Point
from tests.support.fleets import fleet_of
from tests.support.servers import ServerProcess
from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs_server


@pytest.fixture
def proxy(server: ServerProcess) -> Iterator[FaultProxy]:
    with FaultProxy(server.url) as made:
        yield made


@pytest.fixture(params=[CALLS_AT_ONCE, CALLS_IN_BLOCKS], ids=["records", "blocks"])
def at_once(request: pytest.FixtureRequest) -> int:
    """So many calls of a map travel in one script."""
    return int(request.param)


@pytest.fixture
def fleet(proxy: FaultProxy, namespace: str, at_once: int) -> Iterator[Fleet]:
    settings = Settings(redis_url=proxy.url, namespace=namespace, map_blocks=at_once == CALLS_IN_BLOCKS)
    with fleet_of(settings) as made:
        yield made


@pytest.fixture
def dies_at_submit(proxy: FaultProxy, fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """The server gets the n-th submit from now on, and is gone before it answers; a second try finds nobody."""
    basics.add.delay(1)  # the connection is open
    drop = fleet.broker.wires._drop_free

    def die() -> None:
        proxy.refuse()
        drop()

    def prepare(number: int) -> None:
        proxy.reset()
        proxy.break_at(Point("submit", number), CUT_AFTER)
        monkeypatch.setattr(fleet.broker.wires, "_drop_free", die)

    return prepare


def statuses(fleet: Fleet, run_ids: tuple[str, ...]) -> set[bytes]:
    return {record.status for record in fleet.broker.records.read(run_ids)}


def test_the_reply_to_a_call_is_lost(fleet: Fleet, proxy: FaultProxy, dies_at_submit: Callable[[int], None]) -> None:
    dies_at_submit(1)
    with pytest.raises(BrokerUnavailable) as caught:
        basics.add.delay(2)
    (run_id,) = caught.value.doubtful_run_ids
    assert "Nothing was sent" not in str(caught.value)
    assert f"may be queued as run {run_id}" in str(caught.value)
    proxy.accept()
    assert PrefectFuture(run_id).state.name == "Pending"


def test_a_map_breaks_off_at_a_later_slice(
    fleet: Fleet, proxy: FaultProxy, dies_at_submit: Callable[[int], None], at_once: int
) -> None:
    dies_at_submit(3)
    said = rf"Of {4 * at_once:,} calls {2 * at_once:,} are queued .* {at_once:,} may be .* {at_once:,} were not"
    with pytest.raises(BrokerUnavailable, match=said) as caught:
        basics.add.map(list(range(4 * at_once)))
    error = caught.value
    assert (len(error.queued_run_ids), len(error.doubtful_run_ids)) == (2 * at_once, at_once)
    proxy.accept()
    assert statuses(fleet, error.queued_run_ids + error.doubtful_run_ids) == {Status.QUEUED}
    # with the warm call: nothing is queued that is not told
    assert fleet.broker.queues.backlog(["default"])[0] == 3 * at_once + 1


def test_handles_of_a_flows_map_that_breaks_off_end_as_the_store_says(
    fleet: Fleet, proxy: FaultProxy, dies_at_submit: Callable[[int], None], at_once: int
) -> None:
    futures: list[PrefectFuture[int]] = []
    fleet.open_inbox()
    dies_at_submit(2)

    @flow
    def breaks() -> None:
        futures.extend(basics.add.map(list(range(3 * at_once))))

    breaks()
    assert [future.settled for future in futures] == [False] * (2 * at_once) + [True] * at_once
    assert futures[-1].state.name == "NotSent"
    proxy.accept()
    assert futures[0].cancel()
    assert futures[at_once].cancel()
    futures[at_once].wait(20)
    assert futures[at_once].state.name == "Cancelled"


def test_a_run_that_is_still_on_its_way_is_not_lost(fleet: Fleet) -> None:
    fleet.open_inbox()
    run_id = new_run_id()
    future: PrefectFuture[int] = PrefectFuture(run_id, source=fleet)
    batch = fleet.open_futures.begin_to_send([run_id])
    fleet.open_futures.watch(future)
    fleet.open_futures.ask_for_all()  # the inbox was cut, and the store does not know the run yet
    assert not future.settled
    assert future.state.name == "Pending"
    fleet.open_futures.has_sent(batch)  # it never came: now it is asked for again
    wait_until(lambda: future.settled)
    assert future.state.name == "Lost"
