"""Keys of a fleet: a client and real workers that sign, encrypt, demand, and change their keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from brokers.messages import Status
from orchestrator import settings as all_settings
from orchestrator.client import fleet as fleets
from orchestrator.client.fleet import Fleet
from orchestrator.errors import EncryptionKeyMissing, RunCrashed, UntrustedPayload
from orchestrator.futures import PrefectFuture
from orchestrator.serializers.outcomes import pack_outcome
from orchestrator.settings import Settings
from tests.conftest import program_or_skip
from tests.support.apps import guarded
from tests.support.servers import ServerProcess
from tests.support.waiting import wait_until
from tests.support.worker_process import StartWorker, WorkerProcess

pytestmark = pytest.mark.behaviour

APP = "tests.support.apps.guarded"
OLD, NEW = "the-old-key-of-" * 3, "the-new-key-of-" * 3
TELLTALE = "4111-1111-1111-1111"
Client = Callable[..., AbstractContextManager[Fleet]]


@pytest.fixture(scope="session")
def server_program() -> Path:
    """What is signed and encrypted does not depend on the server."""
    return program_or_skip("embedded")


@pytest.fixture
def client(server: ServerProcess, namespace: str) -> Client:
    """This process as a client with some settings: ``with client(secret_key="k") as fleet``."""

    @contextmanager
    def enter(**more: Any) -> Iterator[Fleet]:
        settings = Settings(redis_url=server.url, namespace=namespace, command_timeout_seconds=5, **more)
        with all_settings.use(settings):
            fleet = Fleet(settings)
            before = fleets.use_fleet(fleet)
            try:
                yield fleet
            finally:
                fleets.use_fleet(before)
                fleet.close()

    return enter


@pytest.fixture
def work(start_worker: StartWorker) -> Callable[..., WorkerProcess]:
    """Start a worker with one process and wait until it is ready: ``work(secret_key="k")``."""

    def start(*options: str, **settings: str) -> WorkerProcess:
        variables = {f"ORCHESTRATOR_{name.upper()}": value for name, value in settings.items()}
        return start_worker("-c", "1", *options, ready=1, app=APP, **variables)

    return start


Work = Callable[..., WorkerProcess]


def reason_of(future: PrefectFuture[Any]) -> str:
    """Why a run is a dead letter."""
    future.wait(40)
    with pytest.raises(RunCrashed) as caught:
        future.result(timeout=1)
    return str(caught.value)


def everything_stored(server: ServerProcess, namespace: str) -> bytes:
    """All that anyone who may read the server sees of a namespace, names of keys included."""
    readers: dict[bytes, Callable[[Any, bytes], Any]] = {
        b"hash": lambda redis, key: redis.hgetall(key),
        b"stream": lambda redis, key: redis.xrange(key),
        b"list": lambda redis, key: redis.lrange(key, 0, -1),
        b"string": lambda redis, key: redis.get(key),
        b"zset": lambda redis, key: redis.zrange(key, 0, -1),
        b"set": lambda redis, key: redis.smembers(key),
        b"none": lambda redis, key: None,  # it has gone meanwhile
    }
    with server.client() as redis:
        keys = redis.keys(f"{{{namespace}}}:*")
        assert keys
        return repr([(key, readers[redis.type(key)](redis, key)) for key in keys]).encode()


@pytest.mark.smoke
def test_a_fleet_changes_the_key_that_signs_while_calls_wait_and_results_are_kept(client: Client, work: Work) -> None:
    with client(secret_key=OLD, require_signature=True):
        waiting = [guarded.echo.delay(number) for number in range(3)]
        keys_of_all_kinds = guarded.echo.delay(len)  # pickled
        dependent = guarded.echo.delay([waiting[0]])
    # 1. everyone accepts both keys; clients still sign with the old one
    work(secret_key=f"{OLD},{NEW}", require_signature="1")
    with client(secret_key=f"{OLD},{NEW}", require_signature=True):
        assert [PrefectFuture[Any](future.run_id).result(timeout=40) for future in waiting] == [0, 1, 2]
        assert PrefectFuture[Any](keys_of_all_kinds.run_id).result(timeout=40) is len
        assert PrefectFuture[Any](dependent.run_id).result(timeout=40) == [0]
    # 2. clients sign with the new one, workers still with the old one
    with client(secret_key=f"{NEW},{OLD}", require_signature=True):
        assert guarded.echo.delay("new").result(timeout=40) == "new"
        assert PrefectFuture[Any](waiting[1].run_id).result(timeout=40) == 1


def test_after_the_change_nothing_that_the_old_key_signed_is_read(client: Client, work: Work) -> None:
    with client(secret_key=OLD):
        late = guarded.echo.delay("late").run_id
    work(secret_key=NEW)
    with client(secret_key=NEW) as fleet:
        told = reason_of(PrefectFuture[Any](late))
        assert "UntrustedPayload" in told
        assert "another ORCHESTRATOR_SECRET_KEY" in told
        assert fleet.broker.dead_letters.newest() == [late]
        done = guarded.echo.delay("in time")
        assert done.result(timeout=40) == "in time"
    with client(secret_key=OLD):
        state = PrefectFuture[Any](done.run_id).state
        assert (state.name, type(state.data)) == ("Unreadable", UntrustedPayload)


def test_a_worker_that_demands_signatures_refuses_calls_without_and_goes_on(client: Client, work: Work) -> None:
    worker = work(secret_key=NEW, require_signature="1")
    with client() as without:
        unsigned = guarded.echo.delay("unsigned")
        wait_until(lambda: without.broker.records.read([unsigned.run_id])[0].status == Status.CRASHED, 40)
        assert without.broker.figures.ended()[guarded.echo.task_key, Status.CRASHED] == 1
    with client(secret_key=NEW, require_signature=True) as fleet:
        assert "ORCHESTRATOR_REQUIRE_SIGNATURE" in reason_of(PrefectFuture[Any](unsigned.run_id))
        assert guarded.echo.delay("signed").result(timeout=40) == "signed"
        assert fleet.broker.dead_letters.newest() == [unsigned.run_id]
    assert len(worker.children()) == 1


def test_a_client_that_demands_signatures_refuses_a_forged_end(client: Client, work: Work) -> None:
    work(secret_key=NEW)
    with client(secret_key=NEW, require_signature=True) as fleet:
        honest = guarded.echo.delay("honest")
        other = guarded.echo.delay("other")
        assert (honest.result(timeout=40), other.result(timeout=40)) == ("honest", "other")
        record, stolen = fleet.broker.records.read([honest.run_id, other.run_id])
        assert record.outcome is not None
        key = fleet.broker.keys.record(honest.run_id)
        unsigned = pack_outcome(None, None, 1.0, 2.0, 1, b"\x01\x07")
        for forged in (stolen.outcome, unsigned, b"\0"):
            fleet.broker.wires.commands([("HSET", key, "o", forged)])
            state = PrefectFuture[Any](honest.run_id).state
            assert (state.name, state.is_completed()) == ("Unreadable", False)
        fleet.broker.wires.commands([("HSET", key, "o", record.outcome)])
        assert PrefectFuture[Any](honest.run_id).result(timeout=60) == "honest"


def test_a_signed_call_is_not_run_by_the_workers_of_another_queue(client: Client, work: Work) -> None:
    with client(secret_key=NEW) as fleet:
        moved, at_home = guarded.echo.delay("moved"), guarded.of_the_vault.delay("at home")
        key = fleet.broker.keys.record(moved.run_id)
        entry = fleet.broker.wires.commands([("XADD", fleet.broker.keys.stream("vault:ds"), "*", "i", moved.run_id)])[0]
        fleet.broker.wires.commands([("HSET", key, "q", "vault:ds", "e", b"vault:ds " + entry)])
        work("-Q", "vault", secret_key=NEW)
        told = reason_of(moved)
        assert "UntrustedPayload" in told
        assert "was moved to 'vault'" in told
        assert at_home.result(timeout=40) == "at home"


def test_nothing_of_an_encrypted_fleet_can_be_read_in_the_store(
    client: Client, work: Work, server: ServerProcess, namespace: str
) -> None:
    with client(encryption_key=NEW, secret_key=NEW):
        sent = [guarded.echo.delay(TELLTALE), guarded.tells.delay(TELLTALE), guarded.cached.delay(TELLTALE)]
        sent.append(guarded.echo.with_options(tags={"tagged"}).delay([{TELLTALE: TELLTALE}]))
        assert TELLTALE.encode() not in everything_stored(server, namespace)
        worker = work(encryption_key=NEW, secret_key=NEW)
        assert sent[0].result(timeout=40) == TELLTALE
        with pytest.raises(ValueError, match=f"failed on {TELLTALE}"):
            sent[1].result(timeout=40)
        assert sent[2].result(timeout=40) == f"cached {TELLTALE}"
        assert sent[3].result(timeout=40) == [{TELLTALE: TELLTALE}]
        assert guarded.echo.delay(sent[0]).result(timeout=40) == TELLTALE  # as an upstream's result
        again = guarded.cached.delay(TELLTALE)
        assert (again.result(timeout=40), again.state.name) == (f"cached {TELLTALE}", "Cached")
        with pytest.raises(ValueError, match="the flow failed"):
            guarded.flow_that_tells(TELLTALE)
        fleet = fleets.current_fleet()
        wait_until(lambda: [line.message for line in fleet.logs.read(sent[1].run_id)], 40, "a kept log line")
        assert f"told {TELLTALE}" in [line.message for line in fleet.logs.read(sent[1].run_id)]
        worker.terminate()
        assert worker.wait() == 0
        assert TELLTALE.encode() not in everything_stored(server, namespace)


def test_without_encryption_the_same_search_finds_the_arguments(
    client: Client, server: ServerProcess, namespace: str
) -> None:
    with client(secret_key=NEW):
        guarded.echo.delay(TELLTALE)
        assert TELLTALE.encode() in everything_stored(server, namespace)


@pytest.mark.parametrize("key", ["", OLD])
def test_a_worker_without_the_right_key_makes_dead_letters_that_can_be_replayed(
    client: Client, work: Work, key: str
) -> None:
    with client(encryption_key=NEW) as fleet:
        future = guarded.echo.delay(TELLTALE)
        blind = work(encryption_key=key)
        wait_until(lambda: fleet.broker.dead_letters.newest() == [future.run_id], 40, "a dead letter")
        blind.terminate()
        assert blind.wait() == 0
        assert "ORCHESTRATOR_ENCRYPTION_KEY" in blind.output
        assert TELLTALE not in blind.output
        told = future.state
        if key:  # the blind worker's own words are encrypted with its key
            assert isinstance(told.data, EncryptionKeyMissing)
        else:
            assert "EncryptionKeyMissing" in str(told.message)
        work(encryption_key=f"{NEW},{OLD}")
        assert fleet.broker.runs.replay([future.run_id]) == [future.run_id]
        again = PrefectFuture[Any](future.run_id)
        assert again.result(timeout=40) == TELLTALE


def test_a_fleet_changes_the_key_that_encrypts_without_a_pause(client: Client, work: Work) -> None:
    with client(encryption_key=OLD):
        waiting = guarded.echo.delay("sent with the old key").run_id
    work(encryption_key=f"{OLD},{NEW}")
    with client(encryption_key=f"{NEW},{OLD}"):
        assert PrefectFuture[Any](waiting).result(timeout=40) == "sent with the old key"
        assert guarded.echo.delay("sent with the new key").result(timeout=40) == "sent with the new key"


def test_a_process_without_the_key_gets_a_typed_error_for_an_encrypted_result(client: Client, work: Work) -> None:
    work(encryption_key=NEW)
    with client(encryption_key=NEW):
        future = guarded.echo.delay(TELLTALE)
        assert future.result(timeout=40) == TELLTALE
    with client() as fleet:
        state = fleet.latest_state(future.run_id)
        assert (state.name, type(state.data)) == ("Unreadable", EncryptionKeyMissing)
        assert "set ORCHESTRATOR_ENCRYPTION_KEY" in str(state.message)
