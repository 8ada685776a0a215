"""Many calls, many handles, many threads: all is done, little is held open, and nothing is left."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import psutil
import pytest

from brokers.messages import Status
from orchestrator.client.fleet import Fleet
from orchestrator.futures import PrefectFuture
from orchestrator.settings import Settings
from tests.support import app_for_workers as app
from tests.support.carriage import assert_nothing_left
from tests.support.fleets import fleet_of
from tests.support.servers import ServerProcess
from tests.support.waiting import wait_until
from tests.support.worker_process import ROOT, StartWorker

pytestmark = [
    pytest.mark.behaviour,
    pytest.mark.slow,
    pytest.mark.parametrize("server_program", ["embedded"], indirect=True),
]
MANY: Final = 100_000
HANDLES: Final = 10_000
THREADS: Final = 1_000


@pytest.fixture(autouse=True)
def one_server_is_enough(server_program: Path) -> None:
    """Each of these takes seconds, and the server makes no difference."""


MAP_AND_DIE = """
import os, signal, sys
from tests.support import app_for_workers as app
futures = app.add.map(range(int(sys.argv[1])), 1)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.timeout(600)
def test_a_large_map_whose_client_is_killed_is_done_and_its_results_expire_without_a_trace(
    fleet: Fleet, start_worker: StartWorker, worker_environment: dict[str, str]
) -> None:
    client = subprocess.run([sys.executable, "-c", MAP_AND_DIE, str(MANY)], env=worker_environment, cwd=ROOT)
    assert client.returncode == -signal.SIGKILL
    start_worker("-c", "2", "--loglevel", "warning", ORCHESTRATOR_RESULT_TTL_SECONDS="3")
    broker = fleet.broker
    wait_until(lambda: sum(broker.figures.ended().values()) == MANY, 400, f"{MANY} have ended")
    assert broker.figures.ended() == {(app.add.task_key, Status.COMPLETED): MANY}

    def records() -> int:
        (keys,) = broker.wires.commands([("KEYS", f"{broker.keys.prefix}r:*")])
        return len(keys)

    wait_until(lambda: not records(), 60, "the results have expired")
    assert broker.figures.ended() == {(app.add.task_key, Status.COMPLETED): MANY}, "nothing ran twice meanwhile"
    wait_until(lambda: not _left(fleet), 20, "nothing is left")


def _left(fleet: Fleet) -> str:
    try:
        assert_nothing_left(fleet.broker)
    except AssertionError as error:
        return str(error)
    return ""


@pytest.fixture
def tcp_fleet(own_server: Callable[..., ServerProcess], namespace: str) -> Iterator[tuple[Fleet, int]]:
    """A fleet on a server of its own, and the port that tells its connections from others."""
    server = own_server(tcp=True)
    settings = Settings(redis_url=server.tcp_url, namespace=namespace)
    with fleet_of(settings) as made:
        yield made, server.port


@pytest.mark.timeout(300)
def test_ten_thousand_handles_waited_for_by_a_thousand_threads_take_less_than_five_connections(
    tcp_fleet: tuple[Fleet, int], start_worker: StartWorker
) -> None:
    fleet, port = tcp_fleet
    run_ids = [future.run_id for future in app.add.map(range(HANDLES), 1)]
    values: dict[int, int] = {}
    waiting = threading.Semaphore(0)

    def wait_for_some(first: int) -> None:
        handles = {number: PrefectFuture[int](run_ids[number]) for number in range(first, HANDLES, THREADS)}
        waiting.release()
        values.update({number: handle.result(timeout=200) for number, handle in handles.items()})

    threads = [threading.Thread(target=wait_for_some, args=(first,)) for first in range(THREADS)]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert waiting.acquire(timeout=60)
    open_at_once = [_connections_to(port)]
    start_worker("-c", "2", "--loglevel", "warning", ORCHESTRATOR_REDIS_URL=fleet.settings.redis_url or "")
    while any(thread.is_alive() for thread in threads):
        open_at_once.append(_connections_to(port))
        next((thread for thread in threads if thread.is_alive()), threads[0]).join(0.1)
    assert values == {number: number + 1 for number in range(HANDLES)}
    assert 1 <= max(open_at_once) < 5


def _connections_to(port: int) -> int:
    """How many connections this process has to a port of this machine."""
    return sum(bool(found.raddr) and found.raddr.port == port for found in psutil.Process().net_connections("tcp"))


@pytest.mark.timeout(240)
def test_low_calls_are_done_while_a_flood_of_high_ones_does_not_end(fleet: Fleet, start_worker: StartWorker) -> None:
    start_worker("-c", "1", "--loglevel", "warning")
    high = app.nap.with_options(priority="high")
    stream = fleet.broker.keys.stream("default:hs")
    depths: list[int] = []
    over = threading.Event()

    def flood() -> None:
        while not over.is_set():
            look = [("XLEN", stream), ("HGET", fleet.broker.keys.prefix + "more", "default:hs")]
            entries, more = fleet.broker.wires.commands(look)  # an entry may be a range of calls
            depth = entries + int(more or 0)
            depths.append(depth)
            if depth < 1000:
                high.map([0.005] * 500)
            over.wait(0.01)

    flooding = threading.Thread(target=flood)
    flooding.start()
    try:
        wait_until(lambda: depths and depths[-1] > 500, 60, "the flood")
        begun = len(depths)
        low = [app.add.apply_async((number, 1), priority="low") for number in range(20)]
        assert [future.result(timeout=120) for future in low] == list(range(1, 21))
        assert min(depths[begun - 1 :]) > 100, "high calls were waiting all the time"
    finally:
        over.set()
        flooding.join(30)
