"""Every server that cannot be used is an error of ours, at the call, within two seconds, and no password is shown."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator import flow, settings
from orchestrator.client.fleet import Fleet, use_fleet
from orchestrator.errors import (
    AuthenticationFailed,
    BrokerError,
    BrokerUnavailable,
    ConfigurationError,
    StoreFull,
    UnsupportedServer,
)
from orchestrator.futures import PrefectFuture
from orchestrator.runs.run_ids import new_run_id
from orchestrator.settings import Settings
from tests.support.apps import basics
from tests.support.ends import all_of
from tests.support.fake_servers import FakeServer, old_redis, silence, web_server
from tests.support.servers import ServerProcess, free_port
from tests.support.waiting import wait_until

PATIENCE_SECONDS = 2.0

UseServer = Callable[..., Fleet]


@pytest.fixture
def use_server() -> Iterator[UseServer]:
    """Make this the server of this process's fleet."""
    fleets: list[Fleet] = []
    before = use_fleet(None)
    contexts = []

    def use(url: str, **more: Any) -> Fleet:
        chosen = Settings(redis_url=url, namespace="refused", **more)
        context = settings.use(chosen)
        context.__enter__()
        contexts.append(context)
        fleets.append(Fleet(chosen))
        use_fleet(fleets[-1])
        return fleets[-1]

    yield use
    for context in reversed(contexts):
        context.__exit__(None, None, None)
    for fleet in fleets:
        fleet.close()
    use_fleet(before)


@pytest.fixture
def fake() -> Iterator[Callable[[Callable[[bytes], bytes | None]], FakeServer]]:
    started: list[FakeServer] = []

    def start(answer: Callable[[bytes], bytes | None]) -> FakeServer:
        started.append(FakeServer(answer))
        return started[-1]

    yield start
    all_of(server.close for server in started)


@flow
def a_flow() -> Any:
    return basics.add.submit(1)


WAYS: dict[str, Callable[[], Any]] = {
    "delay": lambda: basics.add.delay(1),
    "adelay": lambda: asyncio.run(basics.add.adelay(1)),
    "asubmit": lambda: asyncio.run(basics.add.asubmit(1)),
    "submit": lambda: basics.add.submit(1),
    "map": lambda: basics.add.map(range(1000)),
    "flow": a_flow,
    "result": lambda: PrefectFuture(new_run_id()).result(),
    "state": lambda: PrefectFuture(new_run_id()).state,
    "cancel": lambda: PrefectFuture(new_run_id()).cancel(),
}


def refused(way: str, kind: type[BrokerError]) -> str:
    """Call so; returns the error's message."""
    begin = time.monotonic()
    with pytest.raises(kind) as caught:
        WAYS[way]()
    assert time.monotonic() - begin < PATIENCE_SECONDS
    return str(caught.value)


@pytest.mark.parametrize("way", WAYS)
def test_nobody_listens(use_server: UseServer, tmp_path: Path, way: str) -> None:
    use_server(f"redis://127.0.0.1:{free_port()}")
    assert "does not answer" in refused(way, BrokerUnavailable)
    use_server(f"unix://{tmp_path}/none.sock")
    assert "none.sock" in refused(way, BrokerUnavailable)


@pytest.mark.parametrize("way", WAYS)
def test_somebody_listens_and_says_nothing(use_server: UseServer, fake: Any, way: str) -> None:
    use_server(fake(silence).url)
    refused(way, BrokerUnavailable)


@pytest.mark.parametrize("way", ["delay", "submit", "flow"])
def test_a_web_server(use_server: UseServer, fake: Any, way: str) -> None:
    use_server(fake(web_server).url)
    assert "not like Redis" in refused(way, UnsupportedServer)


@pytest.mark.parametrize("way", ["delay", "submit", "flow"])
def test_an_old_redis(use_server: UseServer, fake: Any, way: str) -> None:
    use_server(fake(old_redis).url)
    assert "6.2.14" in refused(way, UnsupportedServer)


@pytest.mark.parametrize("way", ["delay", "submit", "flow"])
def test_a_name_that_does_not_exist(use_server: UseServer, way: str) -> None:
    use_server("redis://no-such-host.invalid:6379")
    assert "no-such-host.invalid" in refused(way, BrokerUnavailable)


@pytest.mark.smoke
@pytest.mark.parametrize(
    "url", ["redis://:wr0ng@127.0.0.1:{port}", "redis://127.0.0.1:{port}", "redis://me:wr0ng@127.0.0.1:{port}"]
)
def test_a_wrong_password(use_server: UseServer, own_server: Callable[..., ServerProcess], url: str) -> None:
    server = own_server("--requirepass", "s3cret", tcp=True)
    use_server(url.format(port=server.port))
    for way in ("delay", "submit", "flow", "result"):
        message = refused(way, AuthenticationFailed)
        assert "wr0ng" not in message
        assert "ORCHESTRATOR_REDIS_URL" in message


def test_a_right_password(use_server: UseServer, own_server: Callable[..., ServerProcess]) -> None:
    server = own_server("--requirepass", "s3cret", tcp=True)
    fleet = use_server(f"redis://:s3cret@127.0.0.1:{server.port}/0")
    assert basics.add.delay(1).state.is_pending()
    assert "s3cret" not in repr(fleet.settings)


def test_a_user_who_may_not_run_scripts(use_server: UseServer, own_server: Callable[..., ServerProcess]) -> None:
    server = own_server(tcp=True)
    server.client().execute_command("ACL", "SETUSER", "weak", "on", ">pw", "~*", "+ping", "+info", "+client")
    use_server(f"redis://weak:pw@127.0.0.1:{server.port}")
    assert "ACL" in refused("delay", AuthenticationFailed)


def test_a_server_without_memory(use_server: UseServer, own_server: Callable[..., ServerProcess]) -> None:
    server = own_server()
    use_server(server.url)
    server.client().config_set("maxmemory", 1)
    for way in ("delay", "submit", "map", "adelay"):
        assert "out of memory" in refused(way, StoreFull)
    state = a_flow(return_state=True)
    assert (state.is_crashed(), state.name) == (True, "NotSent")
    assert server.client().keys("*r:*") == []
    server.client().config_set("maxmemory", 0)
    assert basics.add.delay(1).state.is_pending()


def test_a_server_whose_disk_is_full(use_server: UseServer, own_server: Callable[..., ServerProcess]) -> None:
    server = own_server("--save", "3600 1", tcp=True)
    use_server(f"redis://127.0.0.1:{server.port}/0")
    client = server.client()
    shutil.rmtree(client.config_get("dir")["dir"])
    client.bgsave()
    wait_until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", 20, "a snapshot that fails")
    for way in ("delay", "map"):
        assert "cannot write to its disk, and stores nothing until it can" in refused(way, StoreFull)


def test_twenty_calls_of_a_flow_that_cannot_be_sent_for_one_reason_are_two_lines_of_the_log(
    use_server: UseServer, own_server: Callable[..., ServerProcess], caplog: pytest.LogCaptureFixture
) -> None:
    server = own_server()
    use_server(server.url)
    server.client().config_set("maxmemory", 1)

    @flow
    def sends_twenty() -> None:
        for number in range(20):
            basics.add.submit(number)

    sends_twenty(return_state=True)
    lines = [record.getMessage() for record in caplog.records if "could not be sent" in record.getMessage()]
    assert sum(int(line.partition(" ")[0]) for line in lines) == 20
    assert len(lines) <= 2, lines


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis:/localhost", "scheme"),
        ("http://localhost", "scheme"),
        ("redis://", "host"),
        ("redis://localhost:port", "port"),
        ("redis://localhost/first", "db"),
        ("unix://", "path"),
        ("rediss://localhost?ssl_cert_reqs=maybe", "ssl_cert_reqs"),
        ("redis://u:p@ss/w@localhost", "%2F"),
        ("", "scheme"),
    ],
)
def test_a_url_that_is_none(url: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told) as caught:
        Settings(redis_url=url)
    assert "p@ss" not in str(caught.value)


def test_a_server_that_comes_later_is_found(use_server: UseServer, own_server: Callable[..., ServerProcess]) -> None:
    server = own_server()
    use_server(server.url)
    future = basics.add.delay(1)
    server.kill()
    handle = PrefectFuture(future.run_id)
    for way in ("delay", "submit", "state"):
        refused(way, BrokerUnavailable)
    with pytest.raises(BrokerUnavailable):
        handle.wait(5)
    server.start()
    assert handle.state.name == "Lost"
    handle.wait(10)  # asked for in vain before: it must be asked for again
    assert handle.settled
    assert basics.add.delay(1).state.is_pending()


def test_an_idle_connection_that_was_cut_harms_nobody(
    use_server: UseServer, own_server: Callable[..., ServerProcess]
) -> None:
    server = own_server()
    fleet = use_server(server.url)
    future = basics.add.submit(1)
    for _ in range(3):
        server.client().client_kill_filter(_type="normal", skipme=True)
        assert fleet.live_workers() == {}
        server.client().client_kill_filter(_type="normal", skipme=True)
        assert future.state.is_pending()
        server.client().client_kill_filter(_type="normal", skipme=True)
        assert basics.add.delay(1).state.is_pending()
