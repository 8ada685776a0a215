"""The server is away, full, empty, forgetful, suspicious or somebody else: what callers and workers see of it."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest

from brokers.messages import Envelope
from brokers.sender import Sender
from orchestrator.client.fleet import Fleet
from orchestrator.errors import (
    AuthenticationFailed,
    BrokerError,
    BrokerUnavailable,
    RunLost,
    StoreFull,
)
from orchestrator.execution.interrupt import CancelRun
from orchestrator.futures import PrefectFuture
from orchestrator.settings import Settings
from tests.support import tracing
from tests.support.engines import ROOT, environment_of
from tests.support.fault_proxy import (
    CLUSTERDOWN,
    CUT_AFTER,
    MOVED,
    NOPERM,
    Fault,
    FaultProxy,
    Point,
    delayed,
    held,
)
from tests.support.fault_rig import QUICK, Rig, RigWorker
from tests.support.oracle import Model
from tests.support.servers import ServerProcess, free_port
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.needs_server, pytest.mark.usefixtures("fleets_by_thread")]

BUDGET_SECONDS: Final = 4.0  # the promise is 2 s; this machine may be busy
BACK_SECONDS: Final = 3.0 + 2.0  # likewise
ABSENCES: Final = int(os.environ.get("ORCHESTRATOR_ABSENCES", "2"))
OWN_TIMEOUTS: Final[dict[str, Any]] = {"command_timeout_seconds": 1.5, "connect_timeout_seconds": 0.5}


@pytest.fixture
def rig(server: ServerProcess, tmp_path: Path) -> Iterator[Rig]:
    with Rig(server, tmp_path) as made:
        yield made


@pytest.fixture
def own_rig(own_server: Callable[..., ServerProcess], tmp_path: Path) -> Iterator[tuple[Rig, ServerProcess]]:
    """A rig on a server that the test may do anything to."""
    server = own_server()
    with Rig(server, tmp_path, result_ttl_seconds=1200.0) as made:
        yield made, server


def add(rig: Rig, a: int, b: int, **options: Any) -> PrefectFuture[Any]:
    future = tracing.add.apply_async((str(rig.trace), a, b), **options)
    rig.oracle.expect(future.run_id, Model(value=a + b))
    return future


def sign_for(rig: Rig) -> Path:
    return rig.trace.with_suffix(".sign")


def running_task(rig: Rig) -> tuple[PrefectFuture[Any], Path]:
    """A task that runs until the file appears."""
    sign = sign_for(rig)
    future = tracing.wait_for_sign.delay(str(rig.trace), str(sign))
    rig.oracle.expect(future.run_id, Model(value="seen"))
    wait_until(lambda: tracing.notes(rig.trace), message="the task starts")
    return future, sign


def ended_here(rig: Rig) -> bool:
    return any(note.sign == "-" for note in tracing.notes(rig.trace))


def assert_right(rig: Rig, **judgement: Any) -> None:
    rig.oracle.wait_until_settled()
    assert rig.oracle.judge(nothing_left=False, **judgement) == []


# -- away ------------------------------------------------------------------------------------------------------------


class Away:
    """Ways of not being there, and the way back."""

    def __init__(self, server: ServerProcess, *proxies: FaultProxy) -> None:
        self._server, self._proxies = server, proxies
        assert server._process is not None
        self._pid = server._process.pid

    def go(self, how: str) -> None:
        if how == "stopped":
            os.kill(self._pid, signal.SIGSTOP)
        for proxy in self._proxies:
            if how == "refuses":
                proxy.refuse()
            if how.startswith("black hole"):
                proxy.black_hole()

    def come_back(self, how: str) -> None:
        if how == "stopped":
            os.kill(self._pid, signal.SIGCONT)
        for proxy in self._proxies:
            if how == "refuses":
                proxy.accept()
            if how.startswith("black hole"):
                proxy.heal(forget=how.endswith("that forgets"))


def is_waited_for(rig: Rig, run_id: str) -> bool:
    """Whether the store knows an inbox that waits for this run."""
    broker = rig.oracle.broker
    return bool(broker.wires.commands([("HGET", broker.keys.record(run_id), "w")])[0])


WAYS: Final = ("stopped", "refuses", "black hole", "black hole that forgets")


@pytest.mark.parametrize("used", [True, False], ids=["used before", "fresh"])
@pytest.mark.parametrize("how", WAYS[:3])
def test_delay_says_within_two_seconds_that_the_server_is_away(
    own_rig: tuple[Rig, ServerProcess], how: str, used: bool
) -> None:
    rig, server = own_rig
    fleet = Fleet(Settings(redis_url=rig.client_proxy.url, namespace=rig.namespace, **(QUICK | OWN_TIMEOUTS)))
    rig.use(fleet)
    if used:
        add(rig, 1, 1)
    away = Away(server, rig.client_proxy)
    away.go(how)
    try:
        for _ in range(2):
            began = time.monotonic()
            with pytest.raises(BrokerUnavailable):
                tracing.add.delay(str(rig.trace), 1, 2)
            assert time.monotonic() - began < BUDGET_SECONDS
    finally:
        away.come_back(how)
    assert add(rig, 1, 2).run_id
    fleet.close()


def test_many_threads_that_send_at_once_all_hear_in_time_that_the_server_is_away(rig: Rig) -> None:
    fleet = Fleet(Settings(redis_url=rig.client_proxy.url, namespace=rig.namespace, **(QUICK | OWN_TIMEOUTS)))
    rig.use(fleet)
    add(rig, 1, 1)
    rig.client_proxy.black_hole()

    def send(number: int) -> float:
        rig.use(fleet)
        began = time.monotonic()
        with pytest.raises(BrokerUnavailable):
            tracing.add.delay(str(rig.trace), 1, number)
        return time.monotonic() - began

    with ThreadPoolExecutor(12) as pool:
        took = list(pool.map(send, range(12)))
    rig.client_proxy.heal()
    fleet.close()
    assert max(took) < BUDGET_SECONDS, took


@pytest.mark.parametrize("how", WAYS)
def test_a_worker_goes_on_and_sends_its_outcome_when_the_server_is_back(
    own_rig: tuple[Rig, ServerProcess], how: str
) -> None:
    rig, server = own_rig
    away = Away(server, rig.worker_proxy)
    with rig.working():
        future, sign = running_task(rig)
        away.go(how)
        sign.touch()
        wait_until(lambda: ended_here(rig), message="the task ends while the server is away")
        time.sleep(0.7)  # longer than a command may take: the worker has noticed
        away.come_back(how)
        assert rig.oracle.within(10, lambda: future.result(timeout=60), "result()") == "seen"
    assert_right(rig)


def test_back_to_work_within_three_seconds_however_often_the_server_goes_away(
    own_rig: tuple[Rig, ServerProcess],
) -> None:
    rig, server = own_rig
    away = Away(server, rig.client_proxy, rig.worker_proxy)
    late: list[str] = []
    with rig.working(threads=2):
        for number in range(ABSENCES):
            for how in WAYS:
                waiting = add(rig, number, 1, countdown=1.5)  # becomes due while the server is away
                watcher = threading.Thread(target=waiting.wait, args=(30,))
                watcher.start()
                wait_until(lambda run_id=waiting.run_id: is_waited_for(rig, run_id), message="it is waited for")
                away.go(how)
                time.sleep(1.3)
                away.come_back(how)
                back = time.monotonic()
                fresh = rig.oracle.within(10, lambda number=number: add(rig, number, 2), "delay")
                values = [rig.oracle.within(20, lambda f=f: f.result(timeout=60), "result") for f in (fresh, waiting)]
                watcher.join(20)
                took = time.monotonic() - back
                assert values == [number + 2, number + 1]
                if took > BACK_SECONDS:
                    late.append(f"{how} ({number}): {took:.1f} s")
    assert not late
    assert_right(rig, faults=4)


def test_waiters_of_an_emptied_server_learn_that_their_runs_are_lost_and_new_calls_run(
    own_rig: tuple[Rig, ServerProcess],
) -> None:
    rig, server = own_rig
    nobody_reads = "another"
    with rig.working():
        assert add(rig, 1, 1).result(timeout=60) == 2
        lost = [add(rig, 1, number, queue=nobody_reads) for number in range(3)]
        waiting = ThreadPoolExecutor(3)
        errors = [waiting.submit(future.result, 30) for future in lost]
        wait_until(lambda: all(is_waited_for(rig, future.run_id) for future in lost), message="all are waited for")
        server.kill()
        server.start()
        for error in errors:
            assert isinstance(error.exception(timeout=20), RunLost), error.exception()
        waiting.shutdown()
        rig.oracle.models.clear()
        again = rig.oracle.within(10, lambda: add(rig, 20, 2), "delay")
        assert rig.oracle.within(20, lambda: again.result(timeout=60), "result") == 22
    assert_right(rig, faults=1)


# -- full ------------------------------------------------------------------------------------------------------------


def fill(server: ServerProcess) -> None:
    """Leave no memory."""
    with server.client() as client:
        used = int(client.info("memory")["used_memory"])
        client.set("junk", b"x" * 1_000_000)
        client.config_set("maxmemory", used)


def make_room(server: ServerProcess) -> None:
    with server.client() as client:
        client.config_set("maxmemory", 0)
        client.delete("junk")


def test_a_full_server_refuses_calls_takes_ends_and_keeps_its_workers(own_rig: tuple[Rig, ServerProcess]) -> None:
    rig, server = own_rig
    with rig.working() as worker:
        future, sign = running_task(rig)
        queued = add(rig, 1, 2, queue="another")
        fill(server)
        with pytest.raises(StoreFull):
            tracing.add.delay(str(rig.trace), 1, 2)
        until = time.monotonic() + 3 * QUICK["lease_seconds"]
        assert queued.cancel()
        rig.oracle.models[queued.run_id] = Model(b"K", starts=0)
        wait_until(lambda: time.monotonic() > until)
        assert worker.consumer in rig.oracle.broker.consumers.alive(QUICK["lease_seconds"]), (
            "its heart beats all the same"
        )
        sign.touch()
        assert future.result(timeout=60) == "seen"
        make_room(server)
        assert add(rig, 3, 4).result(timeout=60) == 7
    assert_right(rig)


def test_ends_get_through_to_a_full_server_although_log_lines_do_not(
    own_rig: tuple[Rig, ServerProcess], caplog: pytest.LogCaptureFixture
) -> None:
    rig, server = own_rig
    with rig.working():
        calls = [tracing.say.apply_async((str(rig.trace), "x"), countdown=0.3) for _ in range(3)]
        fill(server)
        assert [call.result(timeout=60) for call in calls] == ["X"] * 3
        make_room(server)
    assert "log lines are lost" in caplog.text


# -- forgetful and impatient -----------------------------------------------------------------------------------------


def test_a_map_of_2000_while_scripts_are_flushed_all_the_time(own_rig: tuple[Rig, ServerProcess]) -> None:
    rig, server = own_rig
    done = threading.Event()

    def flush_for_ever() -> None:
        with server.client() as client:
            while not done.wait(0.002):
                client.script_flush()

    flusher = threading.Thread(target=flush_for_ever)
    flusher.start()
    try:
        with rig.working(threads=2):
            futures = tracing.add.map([str(rig.trace)] * 2000, range(2000), 1)
            for number, future in enumerate(futures):
                rig.oracle.expect(future.run_id, Model(value=number + 1))
            assert futures.result(timeout=60) == list(range(1, 2001))
    finally:
        done.set()
        flusher.join()
    assert_right(rig)


def test_idle_connections_that_the_server_closes_cost_nobody_a_call(own_rig: tuple[Rig, ServerProcess]) -> None:
    rig, server = own_rig
    with rig.working():
        assert add(rig, 1, 1).result(timeout=60) == 2
        with server.client() as client:
            client.config_set("timeout", 1)

        for number in range(2):
            time.sleep(2.2)  # the server looks after its clients about once a second
            assert rig.fleet.live_workers()
            assert rig.fleet.logs.read("0" * 36) == []
            assert add(rig, 1, number).result(timeout=60) == 1 + number
    assert_right(rig)


# -- suspicious ------------------------------------------------------------------------------------------------------

PASSWORD: Final = "s3cret-pass"
WRONG: Final = "wr0ng-pass"


def everything_said(error: BaseException, fleet: Fleet, log_text: str) -> str:
    """All that a user might see of an error: the chain of causes, reprs, logs."""
    said = [
        log_text,
        repr(fleet.settings),
        repr(fleet),
        str(fleet.settings),
        repr(fleet.broker.wires),
        repr(vars(fleet.broker.wires)),
    ]
    cause: BaseException | None = error
    while cause is not None:
        said += [str(cause), repr(cause)]
        cause = cause.__cause__ or cause.__context__
    return "\n".join(said)


def test_a_wrong_password_is_named_and_shown_nowhere(
    own_server: Callable[..., ServerProcess], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server = own_server(tcp=True)
    with server.client() as client:
        client.config_set("requirepass", PASSWORD)
    for url in (
        f"redis://:{WRONG}@127.0.0.1:{server.port}",
        f"redis://someone:{WRONG}@127.0.0.1:{server.port}",
        f"redis://127.0.0.1:{server.port}",
    ):
        fleet = Fleet(Settings(redis_url=url, namespace="n", **QUICK))
        with pytest.raises(AuthenticationFailed, match="ORCHESTRATOR_REDIS_URL") as caught:
            fleet.broker.records.read(["x"])
        assert WRONG not in everything_said(caught.value, fleet, caplog.text)
        fleet.close()
    right = Fleet(Settings(redis_url=f"redis://:{PASSWORD}@127.0.0.1:{server.port}", namespace="n", **QUICK))
    assert right.broker.health.is_reachable()
    right.close()


def test_a_password_that_changes_stops_a_worker_only_until_it_is_right_again(
    own_rig: tuple[Rig, ServerProcess], caplog: pytest.LogCaptureFixture
) -> None:
    rig, server = own_rig
    with rig.working():
        assert add(rig, 1, 1).result(timeout=60) == 2
        with server.client() as client:
            client.config_set("requirepass", PASSWORD)
            rig.worker_proxy.cut_all()
            rig.client_proxy.cut_all()
            with pytest.raises(AuthenticationFailed, match="ORCHESTRATOR_REDIS_URL"):
                tracing.add.delay(str(rig.trace), 1, 2)
            wait_until(lambda: "ORCHESTRATOR_REDIS_URL" in caplog.text, message="the worker says so")
            client.execute_command("AUTH", PASSWORD)
            client.config_set("requirepass", "")
        assert add(rig, 1, 2).result(timeout=60) == 3


def test_an_acl_that_forbids_something_is_named(
    own_server: Callable[..., ServerProcess], caplog: pytest.LogCaptureFixture
) -> None:
    server = own_server()
    with server.client() as client:
        for name, rules in {
            "outsider": ["+@all", "~other:*"],
            "reader": ["+@all", "-@write", "~*"],
            "scriptless": ["+@all", "-@scripting", "~*"],
        }.items():
            client.execute_command("ACL", "SETUSER", name, "on", f">{PASSWORD}", *rules)
    for name in ("outsider", "reader", "scriptless"):
        url = f"unix://{name}:{PASSWORD}@{server.socket}"
        fleet = Fleet(Settings(redis_url=url, namespace="n", **QUICK))
        with pytest.raises(AuthenticationFailed, match="ACL") as caught:
            fleet.broker.inboxes.expect(["x"], "inbox")
        assert PASSWORD not in everything_said(caught.value, fleet, caplog.text)
        fleet.close()


# -- somebody else ---------------------------------------------------------------------------------------------------


def test_a_primary_that_became_a_replica_is_away_until_it_is_a_primary_again(
    own_rig: tuple[Rig, ServerProcess],
) -> None:
    rig, server = own_rig
    with rig.working(), server.client() as client:
        future, sign = running_task(rig)
        client.execute_command("REPLICAOF", "127.0.0.1", "1")
        with pytest.raises(BrokerUnavailable):
            tracing.add.delay(str(rig.trace), 1, 2)
        sign.touch()
        wait_until(lambda: ended_here(rig))
        client.execute_command("REPLICAOF", "NO", "ONE")
        assert rig.oracle.within(10, lambda: future.result(timeout=60), "result") == "seen"
        assert rig.oracle.within(10, lambda: add(rig, 1, 2).result(timeout=60), "result") == 3
    assert_right(rig)


@pytest.mark.parametrize(
    "fault",
    [
        CLUSTERDOWN,  # it may be over at once, and is: a connection that has worked before gets a second chance
        MOVED,  # to a node that is not there: the configured one is asked again, and has got the slot back
    ],
    ids=lambda fault: fault.name,
)
def test_a_cluster_that_does_not_know_its_mind_for_a_moment_costs_no_call(rig: Rig, fault: Fault) -> None:
    add(rig, 1, 1, queue="another")
    rig.client_proxy.reset()
    rig.client_proxy.break_at(Point("submit", 1), fault)
    assert add(rig, 1, 2, queue="another").run_id
    assert rig.client_proxy.hit.is_set()


def test_an_acl_that_forbids_a_command_all_of_a_sudden_is_named(rig: Rig) -> None:
    add(rig, 1, 1, queue="another")
    rig.client_proxy.reset()
    rig.client_proxy.break_at(Point("submit", 1), NOPERM)
    with pytest.raises(AuthenticationFailed, match="ORCHESTRATOR_REDIS_URL"):
        tracing.add.delay(str(rig.trace), 1, 2)


def test_a_cluster_of_one_node_is_a_server_like_any_other(
    own_server: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    server = own_server("--cluster-enabled", "yes", "--cluster-port", str(free_port()), tcp=True)
    with Rig(server, tmp_path) as rig:
        with pytest.raises(BrokerUnavailable):  # no node serves the slots yet
            tracing.add.delay(str(rig.trace), 1, 2)
        with server.client() as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            wait_until(lambda: b"cluster_state:ok" in client.execute_command("CLUSTER", "INFO"))
        with rig.working():
            first = add(rig, 1, 2)
            second = tracing.add.delay(str(rig.trace), first, 4)
            assert second.result(timeout=60) == 7
            futures = tracing.fail_twice.map([str(rig.trace)] * 3)
            assert futures.result(timeout=60) == ["the third time"] * 3


# -- clients ---------------------------------------------------------------------------------------------------------

MAP_AND_DIE = """
import os, signal, sys
from tests.support import tracing
futures = tracing.add.map([sys.argv[1]] * 500, range(500), 1)
sys.stdout.write(" ".join(future.run_id for future in futures) + "\\n")
sys.stdout.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_all_calls_of_a_client_that_is_killed_after_its_map_run(rig: Rig) -> None:
    client = subprocess.run(
        [sys.executable, "-c", MAP_AND_DIE, str(rig.trace)],
        env=environment_of(rig.fleet.settings),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert client.returncode == -signal.SIGKILL, client.stderr
    run_ids = client.stdout.split()
    assert len(run_ids) == 500
    for number, run_id in enumerate(run_ids):
        rig.oracle.expect(run_id, Model(value=number + 1))
    with rig.working(threads=2):
        rig.oracle.wait_until_settled(30)
    assert rig.oracle.judge() == []


def test_a_client_without_workers_waits_as_long_as_it_said_and_is_told_why(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    future = add(rig, 1, 2, queue="nobody-reads-it")
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        future.result(timeout=5)  # it looks for workers after 3 seconds
    assert 5 <= time.monotonic() - began < 5 + BUDGET_SECONDS
    assert "no live worker serves the queue nobody-reads-it" in caplog.text


def test_a_wait_keeps_its_deadline_although_the_server_goes_away_meanwhile(rig: Rig) -> None:
    future = add(rig, 1, 2, queue="another")
    threading.Timer(0.3, rig.client_proxy.black_hole).start()
    began = time.monotonic()
    with pytest.raises((TimeoutError, BrokerError)):
        future.result(timeout=1.5)
    assert time.monotonic() - began < 1.5 + BUDGET_SECONDS
    rig.client_proxy.heal()


@pytest.mark.parametrize("hours", [-1, 1])
def test_delays_and_leases_are_the_servers_time_whatever_our_clock_says(
    rig: Rig, hours: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rig.working():
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() + hours * 3600)
        began = time.monotonic()
        future = add(rig, 1, 2, countdown=0.6)
        retried = tracing.fail_twice.delay(str(rig.trace))
        assert retried.result(timeout=60) == "the third time"
        assert future.result(timeout=60) == 3
        assert 0.6 <= time.monotonic() - began < 0.6 + BUDGET_SECONDS
        monkeypatch.setattr(time, "time", real)
    rig.oracle.expect(retried.run_id, Model(value="the third time", retries=2, starts=3))
    assert_right(rig)


# -- fences ----------------------------------------------------------------------------------------------------------


def test_a_worker_cut_off_past_its_lease_cannot_overwrite_and_says_so_once(
    rig: Rig, server: ServerProcess, caplog: pytest.LogCaptureFixture
) -> None:
    with FaultProxy(server.url) as other_proxy:
        cut_off = RigWorker(rig.worker_proxy.url, rig.namespace).start()
        future, sign = running_task(rig)
        wait_until(
            lambda: rig.oracle.broker.records.read([future.run_id])[0].status == b"R", message="noted as running"
        )
        other = RigWorker(other_proxy.url, rig.namespace).start()
        rig.worker_proxy.black_hole()
        wait_until(lambda: len(tracing.notes(rig.trace)) == 2, message="the other worker has it")
        sign.touch()
        assert future.result(timeout=60) == "seen"
        rig.worker_proxy.heal()
        wait_until(lambda: "came too late" in caplog.text, message="the late outcome is refused")
        other.stop()
        cut_off.stop()
    assert sum("came too late" in record.getMessage() for record in caplog.records) == 1
    rig.oracle.wait_until_settled()
    assert rig.oracle.judge(faults=1, crashes=1) == []


def test_an_end_whose_confirmation_was_lost_is_not_called_too_late(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.worker_proxy.break_at(Point("complete", 1), CUT_AFTER)
    with rig.working():
        assert add(rig, 1, 2).result(timeout=60) == 3
        wait_until(lambda: Point("complete", 2) in rig.worker_proxy.seen, message="it is sent again")
        retried = tracing.fail_twice.delay(str(rig.trace))
        rig.worker_proxy.reset()
        rig.worker_proxy.break_at(Point("complete", 1), CUT_AFTER)
        assert retried.result(timeout=60) == "the third time"
    assert "too late" not in caplog.text
    rig.oracle.expect(retried.run_id, Model(value="the third time", retries=2, starts=3))
    assert rig.oracle.judge(faults=1) == []


@pytest.mark.parametrize("late", [delayed(0.4), held(0.4)], ids=lambda fault: fault.name)
def test_a_batch_that_is_claimed_while_its_worker_stops_is_free_for_others_at_once(
    server: ServerProcess, tmp_path: Path, late: Fault
) -> None:
    with Rig(server, tmp_path, lease_seconds=30.0, beat_seconds=5.0) as rig:  # neither lease nor janitor may help
        claim_and_stop(rig, late)


def claim_and_stop(rig: Rig, late: Fault) -> None:
    worker = rig.worker(command_timeout_seconds=2.0).start()
    wait_until(lambda: any(point.name == "XREADGROUP" for point in rig.worker_proxy.seen))
    rig.worker_proxy.reset()
    rig.worker_proxy.break_at(Point("fetch", 1), late)
    futures = [add(rig, 1, number) for number in range(20)]
    wait_until(lambda: rig.worker_proxy.hit.is_set())
    worker.stop()
    assert rig.worker_proxy.over.wait(5)
    with rig.working():
        began = time.monotonic()
        assert [future.result(timeout=60) for future in futures] == list(range(1, 21))
        assert time.monotonic() - began < 5.0
    rig.oracle.wait_until_settled()
    assert rig.oracle.judge(faults=1) == []


def test_a_thread_interrupted_while_it_waits_for_a_reply_leaves_no_reply_for_the_next(rig: Rig) -> None:
    wires = rig.fleet.broker.wires
    wires.commands([("ECHO", "first")])
    rig.client_proxy.reset()
    rig.client_proxy.break_at(Point("ECHO", 1), delayed(0.3))
    interrupted = threading.Event()

    def ask() -> None:
        try:
            wires.commands([("ECHO", "mine"), ("ECHO", "not yours")])
        except CancelRun:
            interrupted.set()

    asker = threading.Thread(target=ask)
    asker.start()
    wait_until(lambda: rig.client_proxy.hit.is_set())
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(asker.ident or 0), ctypes.py_object(CancelRun))
    asker.join(5)
    assert interrupted.is_set()
    assert wires.commands([("ECHO", "next")]) == [b"next"]


def test_calls_that_share_a_trip_are_sent_although_the_thread_that_sends_is_interrupted() -> None:
    """The first sends alone; meanwhile three others come together, and the one of them that sends is interrupted."""
    gates = [threading.Event() for _ in range(3)]
    senders: list[int] = []
    stored: set[str] = set()

    def submit(envelopes: Sequence[Envelope]) -> list[str]:
        senders.append(threading.get_ident())
        gate = gates[len(senders) - 1]
        while not gate.is_set():
            time.sleep(0.001)
        stored.update(envelope.run_id for envelope in envelopes)
        return [envelope.run_id for envelope in envelopes]

    sender = Sender(submit)
    results: dict[str, Any] = {}

    def send(run_id: str) -> None:
        try:
            results[run_id] = sender.send([Envelope(run_id, "task", "q:ds", b"")])
        except CancelRun as error:
            results[run_id] = error

    threads = [threading.Thread(target=send, args=(f"run {number}",)) for number in range(4)]
    threads[0].start()
    wait_until(lambda: len(senders) == 1)
    for thread in threads[1:]:
        thread.start()
    wait_until(lambda: len(sender._waiting) == 3)
    gates[0].set()
    wait_until(lambda: len(senders) == 2)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(senders[1]), ctypes.py_object(CancelRun))
    wait_until(lambda: len(senders) == 3, message="another thread sends in its place")
    gates[2].set()
    for thread in threads:
        thread.join(10)
    assert stored == set(results)
    assert sum(isinstance(result, CancelRun) for result in results.values()) == 1
    assert all(result == [run_id] for run_id, result in results.items() if not isinstance(result, CancelRun))
