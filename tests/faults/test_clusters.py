"""A cluster of several nodes: the namespace is found at whichever node has its slot, also while it is moved."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from orchestrator.client.fleet import Fleet
from orchestrator.errors import AuthenticationFailed, BrokerError, BrokerUnavailable
from orchestrator.futures import PrefectFuture
from orchestrator.settings import Settings
from tests.support import tracing
from tests.support.clusters import Cluster, ask
from tests.support.engines import RedisFleet, Worker
from tests.support.fleets import fleet_of
from tests.support.servers import ServerProcess
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.needs_server]

BUDGET_SECONDS: Final = 4.0  # the promise is 2 s; this machine may be busy
APP: Final = "tests.support.tracing"


@pytest.fixture(scope="module")
def cluster(server_program: Path) -> Iterator[Cluster]:
    """Three nodes for all tests of this module, which use a slot each."""
    with Cluster(server_program) as made:
        yield made


@pytest.fixture
def owner(cluster: Cluster, namespace: str) -> ServerProcess:
    """The node that has the namespace when the test begins."""
    return cluster.owner(namespace)


@pytest.fixture
def others(cluster: Cluster, owner: ServerProcess) -> list[ServerProcess]:
    """The nodes that have not."""
    return [node for node in cluster.nodes if node is not owner]


@contextmanager
def fleet_at(node: ServerProcess, namespace: str, **settings: Any) -> Iterator[Fleet]:
    chosen = Settings(redis_url=node.tcp_url, namespace=namespace, **settings)
    with fleet_of(chosen) as made:
        yield made


@pytest.fixture
def fleet(others: list[ServerProcess], namespace: str) -> Iterator[Fleet]:
    """A client whose settings name a node that has not got the namespace."""
    with fleet_at(others[0], namespace) as made:
        yield made


@pytest.fixture
def worker(fleet: Fleet) -> Iterator[Worker]:
    started = RedisFleet().start_worker(fleet.settings, APP)
    yield started
    started.stop()


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return tmp_path / "trace"


def starts(trace: Path) -> Counter[str]:
    return Counter(note.run_id for note in tracing.notes(trace) if note.sign == "+")


def patiently(ask: Callable[[], Any]) -> Any:
    """The answer, once there is one: a cluster takes its time to make another node the primary."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return ask()
        except BrokerError:
            if time.monotonic() > deadline:
                raise


def delay_in_time(trace: Path) -> PrefectFuture[Any]:
    began = time.monotonic()
    try:
        return tracing.add.delay(str(trace), 1, 2)
    finally:
        assert time.monotonic() - began < BUDGET_SECONDS


@pytest.mark.usefixtures("worker")
def test_a_node_that_has_not_got_the_namespace_leads_to_the_one_that_has(
    cluster: Cluster, owner: ServerProcess, others: list[ServerProcess], namespace: str, trace: Path
) -> None:
    first = tracing.add.delay(str(trace), 1, 2)
    assert tracing.add.delay(str(trace), first, 4).result(timeout=60) == 7
    assert tracing.fail_twice.map([str(trace)] * 3).result(timeout=60) == ["the third time"] * 3
    assert cluster.keys(namespace, owner)
    assert not any(cluster.keys(namespace, node) for node in others)


@pytest.mark.usefixtures("worker")
def test_a_slot_that_is_moved_twice_while_a_map_runs_costs_no_call_and_no_second_start(
    cluster: Cluster, owner: ServerProcess, others: list[ServerProcess], namespace: str, trace: Path
) -> None:
    count = 300
    futures = tracing.sleep.map([str(trace)] * count, 0.01)
    for moves, target in enumerate(others, 1):
        wait_until(lambda so_far=moves * count // 4: len(starts(trace)) >= so_far, timeout=30)
        cluster.move(namespace, target)
        assert len(starts(trace)) < count, "the map is still running"
    assert futures.result(timeout=60) == [0.01] * count
    assert starts(trace) == Counter(future.run_id for future in futures)
    assert tracing.add.delay(str(trace), 1, 2).result(timeout=60) == 3
    assert cluster.keys(namespace, others[-1])
    assert not any(cluster.keys(namespace, node) for node in (owner, others[0]))
    cluster.move(namespace, owner)  # while everybody waits
    assert tracing.add.delay(str(trace), 3, 4).result(timeout=60) == 7


@pytest.mark.usefixtures("worker")
def test_while_a_slot_is_on_its_way_calls_are_refused_in_time_and_nothing_is_torn_apart(
    cluster: Cluster, others: list[ServerProcess], namespace: str, trace: Path
) -> None:
    sign = trace.with_suffix(".sign")
    running = tracing.wait_for_sign.delay(str(trace), str(sign))
    wait_until(lambda: tracing.notes(trace), message="the task starts")
    target = others[1]
    cluster.begin_move(namespace, target)
    with pytest.raises(BrokerUnavailable, match="on its way"):
        delay_in_time(trace)
    sign.touch()
    wait_until(lambda: any(note.sign == "-" for note in tracing.notes(trace)), message="the task ends meanwhile")
    assert not cluster.keys(namespace, target), "a key on both sides could not be moved"
    cluster.finish_move(namespace, target)
    assert running.result(timeout=60) == "seen"
    assert tracing.add.delay(str(trace), 1, 2).result(timeout=60) == 3
    assert starts(trace)[running.run_id] == 1


def test_a_call_waits_for_the_end_of_a_short_move(
    cluster: Cluster, others: list[ServerProcess], namespace: str, trace: Path
) -> None:
    with fleet_at(others[0], namespace, command_timeout_seconds=20) as fleet:
        tracing.add.delay(str(trace), 1, 2)
        cluster.begin_move(namespace, others[1])
        mover = threading.Timer(0.5, cluster.finish_move, (namespace, others[1]))
        mover.start()
        future = tracing.add.delay(str(trace), 3, 4)
        mover.join()
    assert ask(others[1], "EXISTS", fleet.broker.keys.record(future.run_id)) == 1


def test_a_user_who_is_unknown_at_the_node_of_the_namespace_is_told_which_node_that_is(
    cluster: Cluster, owner: ServerProcess, others: list[ServerProcess], namespace: str
) -> None:
    password = "s3cret-pass"
    ask(others[0], "ACL", "SETUSER", "someone", "on", f">{password}", "~*", "+@all")
    url = others[0].tcp_url.replace("redis://", f"redis://someone:{password}@")
    fleet = Fleet(Settings(redis_url=url, namespace=namespace))
    for _ in range(2):
        with pytest.raises(AuthenticationFailed, match=str(owner.port)) as caught:
            fleet.broker.inboxes.expect([], "inbox")
        assert password not in str(caught.value)
    cluster.move(namespace, others[0])
    assert fleet.broker.inboxes.expect([], "inbox") == []
    fleet.close()


def test_calls_at_a_node_that_falls_silent_are_done_at_its_replica(
    server_program: Path, namespace: str, trace: Path
) -> None:
    with Cluster(server_program) as cluster:
        owner = cluster.owner(namespace)
        cluster.add_replica(owner)
        stays = next(node for node in cluster.nodes if node is not owner)
        with fleet_at(stays, namespace) as fleet:
            accepted = [tracing.add.delay(str(trace), number, 1) for number in range(50)]
            with owner.client() as client:  # the server promises no more than what has reached a replica
                assert client.wait(1, 10_000) == 1
            assert owner._process is not None
            os.kill(owner._process.pid, signal.SIGSTOP)
            fresh = patiently(lambda: delay_in_time(trace))
            worker = RedisFleet().start_worker(fleet.settings, APP)
            try:
                assert patiently(lambda: fresh.result(timeout=60)) == 3
                results = [patiently(lambda f=future: f.result(timeout=60)) for future in accepted]
                assert results == list(range(1, 51))
            finally:
                worker.stop()
