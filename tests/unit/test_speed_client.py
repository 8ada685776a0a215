"""The sending side of the benchmarks, with apps whose calls are done by threads of this process."""

from __future__ import annotations

import asyncio
import importlib.util
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from benchmarks.speed.systems import APPS


def load(name: str) -> ModuleType:
    """A module of the apps, which are no package: they run in other environments."""
    spec = importlib.util.spec_from_file_location(f"speed_app_{name}", APPS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


client_module = load("client")


class PlainApp:
    """Plain functions; two threads do the work."""

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(2)
        self.tasks = {"noop": lambda x: x, "echo": len, "pause": lambda seconds: time.sleep(seconds) or 1}
        self.senders: set[int] = set()

    def send(self, name: str, *arguments: Any) -> Future[Any]:
        self.senders.add(threading.get_ident())
        return self.pool.submit(self.tasks[name], *arguments)

    def send_many(self, name: str, rows: list[tuple[Any, ...]]) -> list[Future[Any]]:
        return [self.send(name, *row) for row in rows]

    def collect(self, handles: list[Future[Any]]) -> list[Any]:
        return [handle.result() for handle in handles]

    def result(self, handle: Future[Any]) -> Any:
        return handle.result()

    def is_ready(self, handle: Future[Any]) -> bool:
        return handle.done()


def asynchronous(app: PlainApp) -> Any:
    """The same as coroutine functions."""

    def wrapped(name: str) -> Any:
        async def run(*arguments: Any) -> Any:
            await asyncio.sleep(0)
            return getattr(app, name)(*arguments)

        return run

    return SimpleNamespace(**{name: wrapped(name) for name in ("send", "send_many", "collect", "result", "is_ready")})


@pytest.fixture
def plain() -> Iterator[PlainApp]:
    app = PlainApp()
    yield app
    app.pool.shutdown()


@pytest.fixture(params=["plain", "asynchronous"])
def client(request: pytest.FixtureRequest, plain: PlainApp) -> Iterator[Any]:
    made = client_module.Client(plain if request.param == "plain" else asynchronous(plain))
    yield made
    if made.loop is not None:
        made.loop.close()
        asyncio.set_event_loop(None)


def test_results_of_a_fan_out_are_checked(client: Any, plain: PlainApp) -> None:
    assert client.fan_out(20) > 0
    assert client.fan_out(5, 1000) > 0
    plain.tasks["noop"] = lambda x: x + 1
    with pytest.raises(AssertionError, match="not those of the calls"):
        client.fan_out(20)


def test_what_was_sent_one_by_one_is_drained_and_checked(client: Any, plain: PlainApp) -> None:
    assert client.one_by_one(10) > 0
    client.drained()
    assert client.sent == []
    plain.tasks["noop"] = lambda x: -1
    client.one_by_one(10)
    with pytest.raises(AssertionError, match="not 0"):
        client.drained()


def test_what_was_drained_is_read_as_the_app_wants_it_read(plain: PlainApp) -> None:
    client = client_module.Client(plain)
    read: list[int] = []
    plain.ended = lambda handles: [read.append(1) or handle.result() for handle in handles]  # type: ignore[attr-defined]
    client.queue_map(10)
    client.drained()
    assert len(read) == 10


def test_the_clock_of_a_drain_stops_at_the_last_result_that_had_to_be_waited_for(client: Any) -> None:
    begun = time.monotonic()
    client.queue("pause", [(0.0,), (0.2,)])
    assert client.drained() - begun >= 0.2
    client.queue("pause", [(0.0,), (0.0,)])
    while not all(client._do("is_ready", handle) for handle in client.sent):
        time.sleep(0.01)
    begun = time.monotonic()
    ended = client.drained()
    assert ended <= time.monotonic()
    assert ended >= begun


@pytest.mark.parametrize("kind", ["threads", "asyncio"])
def test_each_handler_sends_its_share(kind: str, plain: PlainApp) -> None:
    client = client_module.Client(plain if kind == "threads" else asynchronous(plain))
    assert client.handlers() == [kind]
    seconds, sent = client.from_handlers(100, 8, kind)
    assert (sent, len(client.sent)) == (96, 96)
    assert seconds > 0
    client.drained()
    assert len(plain.senders) == (8 if kind == "threads" else 1)
    if client.loop is not None:
        client.loop.close()


def test_an_app_for_both_has_both_kinds_of_handlers(plain: PlainApp) -> None:
    async def asend(name: str, *arguments: Any) -> Future[Any]:
        return plain.send(name, *arguments)

    plain.asend = asend  # type: ignore[attr-defined]
    client = client_module.Client(plain)
    assert client.handlers() == ["threads", "asyncio"]
    assert client.from_handlers(64, 64, "asyncio")[1] == 64
    client.drained()
    client.loop.close()
    asyncio.set_event_loop(None)


def test_a_handler_that_cannot_send_fails_the_measurement(plain: PlainApp) -> None:
    client = client_module.Client(plain)
    plain.tasks.clear()
    with pytest.raises(KeyError):
        client.from_handlers(8, 8, "threads")


def test_round_trips_are_timed_one_by_one(client: Any) -> None:
    times = client.round_trips(7)
    assert len(times) == 7
    assert all(seconds > 0 for seconds in times)


def test_many_coroutines_keep_the_order_of_their_rows() -> None:
    async def double(number: int) -> int:
        await asyncio.sleep(0.0001 * (number % 3))
        return 2 * number

    found = asyncio.run(load("asynchronous").all_of(double, [(number,) for number in range(200)]))
    assert found == [2 * number for number in range(200)]
