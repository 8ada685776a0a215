"""Sentinels: they are asked where the primary is, and after a failover work goes on at the new one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from orchestrator.client.fleet import Fleet
from orchestrator.errors import AuthenticationFailed, BrokerError, BrokerRefused, BrokerUnavailable
from orchestrator.futures import PrefectFuture
from orchestrator.settings import Settings
from tests.support import tracing
from tests.support.engines import RedisFleet
from tests.support.fake_servers import FakeServer, silence
from tests.support.fleets import fleet_of
from tests.support.sentinels import SENTINELS_PASSWORD, SERVICE, Sentinel, replica_of
from tests.support.servers import PASSWORD, ServerProcess, free_port
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.needs_server]

BUDGET_SECONDS: Final = 4.0  # the promise is 2 s; this machine may be busy
OPTIONS: Final = ("--requirepass", PASSWORD, "--masterauth", PASSWORD, "--repl-diskless-sync-delay", "0")
APP: Final = "tests.support.tracing"
APART: Final = "apart"
"""A queue that the first worker does not read."""


class Guarded(NamedTuple):
    """A primary and its replica, under the eyes of a sentinel."""

    primary: ServerProcess
    replica: ServerProcess
    sentinel: Sentinel

    @property
    def url(self) -> str:
        """The first of the two sentinels is not there."""
        sentinels = f"127.0.0.1:{free_port()},127.0.0.1:{self.sentinel.port}"
        return f"redis+sentinel://:{PASSWORD}@{sentinels}/{SERVICE}?sentinel_password={SENTINELS_PASSWORD}"


@pytest.fixture
def guarded(server_program: Path) -> Iterator[Guarded]:
    with ExitStack() as stack:

        def kept(server: Any) -> Any:
            stack.callback(server.close)
            return server

        primary = kept(ServerProcess(server_program, *OPTIONS, tcp=True)).start()
        replica = kept(replica_of(server_program, primary, *OPTIONS))
        sentinel = kept(Sentinel(server_program, primary.port)).start()
        sentinel.wait_for_replica()
        yield Guarded(primary, replica, sentinel)


@pytest.fixture
def fake() -> Iterator[Callable[[Callable[[bytes], bytes | None]], FakeServer]]:
    with ExitStack() as stack:

        def start(answer: Callable[[bytes], bytes | None]) -> FakeServer:
            server = FakeServer(answer)
            stack.callback(server.close)
            return server

        yield start


@contextmanager
def fleet_at(url: str, namespace: str) -> Iterator[Fleet]:
    settings = Settings(redis_url=url, namespace=namespace)
    with fleet_of(settings) as made:
        yield made


def patiently(ask: Callable[[], Any]) -> Any:
    """The answer, once there is one: it takes the sentinel seconds to be sure."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return ask()
        except BrokerError:
            if time.monotonic() > deadline:
                raise


def refused(url: str, kind: type[BrokerError]) -> str:
    """What a ``delay`` says, in time and without a password."""
    with fleet_at(url, "refused"):
        began = time.monotonic()
        with pytest.raises(kind) as caught:
            tracing.add.delay("", 1, 2)
        assert time.monotonic() - began < BUDGET_SECONDS
    assert PASSWORD not in str(caught.value)
    assert SENTINELS_PASSWORD not in str(caught.value)
    return str(caught.value)


def test_accepted_calls_survive_the_primary_and_work_goes_on_at_the_new_one(
    guarded: Guarded, namespace: str, tmp_path: Path
) -> None:
    trace, sign = tmp_path / "trace", tmp_path / "sign"
    with fleet_at(guarded.url, namespace) as fleet:
        worker = RedisFleet().start_worker(fleet.settings, APP)
        try:
            running = tracing.wait_for_sign.delay(str(trace), str(sign), 60.0)
            wait_until(lambda: tracing.notes(trace), message="the task starts")
            accepted = [tracing.add.apply_async((str(trace), number, 1), queue=APART) for number in range(50)]
            with guarded.primary.client(password=PASSWORD) as client:  # a server promises what its replica has
                assert client.wait(1, 10_000) == 1
            guarded.primary.kill()
            wait_until(lambda: is_primary(guarded.replica), timeout=60, message="the replica is promoted")
            sign.touch()
            assert patiently(lambda: running.result(timeout=60)) == "seen"
            fresh = patiently(lambda: tracing.add.delay(str(trace), 1, 2))
            assert patiently(lambda: fresh.result(timeout=60)) == 3
            assert results_of(accepted, fleet) == list(range(1, 51))
        finally:
            worker.stop()
    assert sum(note.run_id == running.run_id and note.sign == "+" for note in tracing.notes(trace)) == 1


def is_primary(server: ServerProcess) -> bool:
    with server.client(password=PASSWORD) as client:
        return bool(client.info("replication")["role"] == "master")


def results_of(accepted: list[PrefectFuture[Any]], fleet: Fleet) -> list[Any]:
    """Have them done by a worker that has come after the failover."""
    worker = RedisFleet().start_worker(fleet.settings, APP, queues=APART)
    try:
        return [patiently(lambda f=future: f.result(timeout=60)) for future in accepted]
    finally:
        worker.stop()


def test_sentinels_that_do_not_answer_or_do_not_want_to(guarded: Guarded, fake: Any) -> None:
    nobody = f"redis+sentinel://127.0.0.1:{free_port()},127.0.0.1:{free_port()}/{SERVICE}"
    assert "the sentinel 127.0.0.1" in refused(nobody, BrokerUnavailable)
    silent = ",".join(f"127.0.0.1:{fake(silence).port}" for _ in range(8))
    assert "the sentinel 127.0.0.1" in refused(f"redis+sentinel://{silent}/{SERVICE}", BrokerUnavailable)
    other = refused(guarded.url.replace(f"/{SERVICE}?", "/another?"), BrokerRefused)
    assert "'another'" in other
    assert "ORCHESTRATOR_REDIS_URL" in other
    wrong = refused(guarded.url.replace(SENTINELS_PASSWORD, "wr0ng"), AuthenticationFailed)
    assert "sentinel_password" in wrong
    assert "wr0ng" not in wrong
    server_wrong = refused(guarded.url.replace(PASSWORD, "wr0ng"), AuthenticationFailed)
    assert "sentinel_password" not in server_wrong
    assert "wr0ng" not in server_wrong


def test_a_sentinel_that_has_not_heard_of_the_failover_is_not_believed(guarded: Guarded, fake: Any) -> None:
    port = b"%d" % guarded.replica.port
    outdated = fake(lambda piece: b"*2\r\n$9\r\n127.0.0.1\r\n$%d\r\n%s\r\n" % (len(port), port))
    url = f"redis+sentinel://:{PASSWORD}@127.0.0.1:{outdated.port}/{SERVICE}"
    assert "is a replica now" in refused(url, BrokerUnavailable)
