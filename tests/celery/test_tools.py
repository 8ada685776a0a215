"""Celery's own tooling knows our workers and calls: inspect, control, events (what Flower reads), pools that change."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.events.state import State as EventState

from brokers.celery.topology import kombu_url
from orchestrator.client.fleet import Fleet
from orchestrator.errors import RunCancelled
from orchestrator.futures import wait
from tests.celery.conftest import APP, Run, StartCelery
from tests.support import app_for_workers as app
from tests.support.celery_engine import CeleryWorker
from tests.support.waiting import wait_until
from tests.support.worker_process import notes, wait_note

pytestmark = pytest.mark.behaviour
PATIENCE = 60.0


@pytest.fixture
def tools(fleet: Fleet) -> Iterator[Celery]:
    """A Celery application with nothing but the broker's URL: what Flower has."""
    assert fleet.settings.broker_url is not None
    made = Celery("tools", broker=kombu_url(fleet.settings.broker_url), set_as_current=False)
    made.conf.accept_content = ["json"]
    yield made
    made.close()


def told(folder: Path, word: str) -> list[tuple[str, int]]:
    """Who has noted that it begins (or ends), and in which process."""
    lines = [line.split(f" {word} in ") for line in notes(folder).splitlines() if f" {word} in " in line]
    return [(name, int(process)) for name, process in lines]


def wait_answer(tools: Celery, worker: CeleryWorker) -> None:
    """Until it hears its remote control: what is said to it before is lost."""
    wait_until(lambda: processes_of(tools, worker), PATIENCE, "the worker answers its remote control")


def processes_of(tools: Celery, worker: CeleryWorker) -> list[int]:
    """The children of its pool, as ``inspect stats`` tells."""
    answer: dict[str, Any] = {}

    def answered() -> bool:  # it may be too busy to answer in time
        answer.update(tools.control.inspect(destination=[worker.node], timeout=5.0).stats() or {})
        return worker.node in answer

    wait_until(answered, PATIENCE, "the worker tells of itself")
    return list(answer[worker.node].get("pool", {}).get("processes", []))


def asked(run: Run, worker: CeleryWorker, what: str) -> Any:
    """What ``celery inspect`` prints about this worker."""
    done = run("celery", "inspect", what, "--json", "-d", worker.node, "-t", "10")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)[worker.node]


def test_inspect_shows_our_tasks_our_queues_and_what_runs_with_its_run_id(
    fleet: Fleet, start_celery: StartCelery, run: Run, tmp_path: Path
) -> None:
    worker = start_celery("-c", "1")
    future = app.wait_for_sign.delay(str(tmp_path), "busy")
    wait_note(tmp_path, "busy begins")
    (active,) = asked(run, worker, "active")
    assert active["name"] == f"{APP}.wait_for_sign"
    assert active["id"] == future.run_id
    (tmp_path / "go").touch()
    assert f"{APP}.add" in asked(run, worker, "registered")
    names = {queue["name"] for queue in asked(run, worker, "active_queues")}
    assert names == {f"{fleet.settings.namespace}.default{end}" for end in ("", ":high", ":low")}
    assert asked(run, worker, "ping") == {"ok": "pong"}
    status = run("celery", "status", "-d", worker.node, "-t", "10")
    assert status.returncode == 0, status.stderr
    assert worker.node in status.stdout
    assert future.result(timeout=PATIENCE) == "busy"


def test_control_shutdown_ends_a_worker_warmly(
    fleet: Fleet, start_celery: StartCelery, tools: Celery, run: Run, tmp_path: Path
) -> None:
    first = start_celery("-c", "1")
    futures = [app.wait_for_sign.delay(str(tmp_path), f"call {n}") for n in range(12)]
    wait_note(tmp_path, "call 0 begins")
    wait_answer(tools, first)
    run("celery", "control", "shutdown", "-d", first.node)  # no worker answers this one: it exits 69, as ever
    first.wait_output("Got shutdown from remote")
    (tmp_path / "go").touch()
    assert first.process.wait(PATIENCE) == 0, first.output
    assert Counter(name for name, _ in told(tmp_path, "begins")).keys() < {f"call {n}" for n in range(12)}
    start_celery("-c", "1")
    assert [future.result(timeout=PATIENCE) for future in futures] == [f"call {n}" for n in range(12)]
    assert Counter(name for name, _ in told(tmp_path, "begins")) == {f"call {n}": 1 for n in range(12)}
    assert {record.crashes for record in fleet.broker.records.read([future.run_id for future in futures])} == {0}


@pytest.mark.parametrize("terminate", [False, True], ids=["waiting", "running"])
def test_a_call_that_is_revoked_is_cancelled_and_what_travelled_with_it_runs(
    fleet: Fleet, start_celery: StartCelery, tools: Celery, tmp_path: Path, terminate: bool
) -> None:
    worker = start_celery("-c", "1")
    first = app.wait_for_sign.delay(str(tmp_path), "first")
    wait_note(tmp_path, "first begins")
    batch = app.wait_for_sign.map([str(tmp_path)] * 5, [f"call {n}" for n in range(5)])
    wait_answer(tools, worker)
    victim = first if terminate else batch[0]
    tools.control.revoke(victim.run_id, terminate=terminate, destination=[worker.node], reply=True, timeout=10.0)
    (tmp_path / "go").touch()
    with pytest.raises(RunCancelled):
        victim.result(timeout=PATIENCE)
    others = [future for future in [first, *batch] if future is not victim]
    assert wait(others, timeout=PATIENCE).not_done == set()
    assert {future.state.type.value for future in others} == {"COMPLETED"}
    assert {record.crashes for record in fleet.broker.records.read([future.run_id for future in others])} == {0}


@contextmanager
def watching(tools: Celery) -> Iterator[EventState]:
    """Celery's picture of the cluster from its events, as Flower keeps it."""
    state: EventState = tools.events.State()
    stopped, ready = threading.Event(), threading.Event()

    def listen() -> None:
        with tools.connection_for_read() as connection:
            receiver = tools.events.Receiver(connection, handlers={"*": state.event})
            with receiver.consumer_context() as (own, _, _):
                ready.set()
                while not stopped.is_set():
                    with suppress(TimeoutError):
                        own.drain_events(timeout=0.2)

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    assert ready.wait(PATIENCE)
    yield state
    stopped.set()
    thread.join(PATIENCE)


def test_events_tell_of_calls_and_batches_by_our_names(start_celery: StartCelery, tools: Celery) -> None:
    with watching(tools) as cluster:
        worker = start_celery("-c", "2", "-E")
        single = app.say.delay("hello")
        batch = app.add.map(range(60), 1)
        assert single.result(timeout=PATIENCE) == "hello"
        assert batch.result() == list(range(1, 61))

        def succeeded(name: str) -> list[Any]:
            return [seen for seen in cluster.tasks.values() if seen.name == name and seen.state == "SUCCESS"]

        wait_until(lambda: succeeded(f"{APP}.say"), PATIENCE, "the single call has succeeded")
        (seen,) = succeeded(f"{APP}.say")
        assert seen.uuid == single.run_id
        assert seen.received
        assert seen.started
        assert seen.worker.hostname == worker.node
        runs = {future.run_id for future in batch}
        carried = Counter[str]()

        def all_seen() -> bool:
            carried.clear()
            for message in succeeded(f"{APP}.add"):
                carried[message.uuid] = int(message.args.split()[0].strip("(")) if "calls" in message.args else 1
            return carried.total() == 60

        wait_until(all_seen, PATIENCE, "sixty calls have succeeded")
        assert carried.keys() < runs  # fewer messages than calls, each under the id of its first
        assert worker.node in {name for name, facts in cluster.workers.items() if facts.alive}


def test_autoscale_adds_children_under_load(start_celery: StartCelery, tools: Celery, tmp_path: Path) -> None:
    worker = start_celery("--autoscale=4,1")
    assert len(processes_of(tools, worker)) == 1
    futures = [app.wait_for_sign.delay(str(tmp_path), f"call {n}") for n in range(20)]
    wait_until(lambda: len({process for _, process in told(tmp_path, "begins")}) == 4, PATIENCE, "four children")
    assert sorted(processes_of(tools, worker)) == sorted(process for _, process in told(tmp_path, "begins"))
    (tmp_path / "go").touch()
    assert [future.result(timeout=PATIENCE) for future in futures] == [f"call {n}" for n in range(20)]
    assert Counter(name for name, _ in told(tmp_path, "begins")) == {f"call {n}": 1 for n in range(20)}


def test_children_that_are_replaced_lose_no_call_and_run_none_twice(
    fleet: Fleet, start_celery: StartCelery, tmp_path: Path
) -> None:
    start_celery("-c", "2", "--max-tasks-per-child", "5")
    futures = [app.sleep_and_note.delay(str(tmp_path), f"call {n}", 0.0) for n in range(40)]
    assert wait(futures, timeout=PATIENCE).not_done == set()
    begun = told(tmp_path, "begins")
    assert Counter(name for name, _ in begun) == {f"call {n}": 1 for n in range(40)}
    assert max(Counter(process for _, process in begun).values()) <= 5
    assert {record.crashes for record in fleet.broker.records.read([future.run_id for future in futures])} == {0}


def test_a_pool_that_is_grown_runs_more_at_once(start_celery: StartCelery, tools: Celery, tmp_path: Path) -> None:
    worker = start_celery("-c", "1")
    wait_answer(tools, worker)
    tools.control.pool_grow(2, destination=[worker.node])
    wait_until(lambda: len(processes_of(tools, worker)) == 3, PATIENCE, "three children")
    futures = [app.wait_for_sign.delay(str(tmp_path), f"call {n}") for n in range(9)]
    wait_until(lambda: len({process for _, process in told(tmp_path, "begins")}) == 3, PATIENCE, "three at once")
    tools.control.pool_shrink(2, destination=[worker.node])
    (tmp_path / "go").touch()
    assert [future.result(timeout=PATIENCE) for future in futures] == [f"call {n}" for n in range(9)]
    assert app.add.delay(1, 2).result(timeout=PATIENCE) == 3
    assert Counter(name for name, _ in told(tmp_path, "begins")) == {f"call {n}": 1 for n in range(9)}


def test_gevent_serves_many_calls_at_once(start_celery: StartCelery, tmp_path: Path) -> None:
    pytest.importorskip("gevent")
    start_celery("-P", "gevent", "-c", "12")
    futures = [app.wait_for_sign.delay(str(tmp_path), f"call {n}") for n in range(12)]
    wait_until(lambda: len(told(tmp_path, "begins")) == 12, PATIENCE, "twelve at once")
    assert len({process for _, process in told(tmp_path, "begins")}) == 1
    (tmp_path / "go").touch()
    assert [future.result(timeout=PATIENCE) for future in futures] == [f"call {n}" for n in range(12)]
    batches = [*app.add.map(range(50), 1), *app.add_async.map(range(20), 1)]
    assert [future.result(timeout=PATIENCE) for future in batches] == [*range(1, 51), *range(1, 21)]


def test_an_application_with_our_line_serves_its_own_tasks_and_ours(
    fleet: Fleet,
    start_celery: StartCelery,
    tools: Celery,
    server: Any,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tests.support.apps import mixed_celery

    backend = f"redis+socket://{server.socket}?virtual_host=6"
    monkeypatch.setenv("SHOP_QUEUE", namespace)
    monkeypatch.setenv("SHOP_BACKEND", backend)
    worker = start_celery("-c", "1", apps=mixed_celery.__name__, application=mixed_celery.__name__)
    client = Celery("client", broker=tools.conf.broker_url, backend=backend, set_as_current=False)
    theirs = [client.send_task("mixed.theirs", (n, 2), queue=namespace) for n in range(10)]
    ours = mixed_celery.ours.map(range(10), 1)
    assert [result.get(timeout=PATIENCE) for result in theirs] == [2 * n for n in range(10)]
    assert ours.result() == list(range(1, 11))
    answer = tools.control.inspect(destination=[worker.node], timeout=10.0).registered()
    assert {"mixed.theirs", f"{mixed_celery.__name__}.ours"} <= set(answer[worker.node])
    client.close()
