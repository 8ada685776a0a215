"""What is decided about flow runs that a process serves, without any process."""

from __future__ import annotations

import asyncio
import importlib
import logging
import multiprocessing
import os
import re
import signal
import sys
import threading
import uuid
from pathlib import Path
from typing import Any

import pytest

from orchestrator import flow
from orchestrator.client.fleet import Fleet
from orchestrator.client.slot_lending import Place, current_place, slot_lent, slot_lent_async, waiting_for
from orchestrator.deployments import run_deployment
from orchestrator.errors import ConfigurationError
from orchestrator.flows import load_flow_from_entrypoint
from orchestrator.runnables.code_places import place_of
from orchestrator.runnables.loading import is_loading, loading
from orchestrator.runner import Runner, aserve, serve
from orchestrator.runner.host import ServedFlows, find_host
from orchestrator.settings import Settings
from orchestrator.slots.prefetched import Prefetched
from task_workers.app import import_tasks
from task_workers.flow_host import FlowHost, options_of
from task_workers.options import WorkerOptions
from tests.support.fleets import fleet_of
from tests.support.waiting import wait_until


class Lane:
    """Counts how often a place of it is lent."""

    def __init__(self) -> None:
        self.lent = 0

    def lend(self) -> None:
        self.lent += 1

    def take_back(self) -> None:
        """There is always room."""

    def take_at_once(self) -> None:
        """There is always room."""

    async def take_back_async(self) -> None:
        """There is always room."""


# -- places ------------------------------------------------------------------------------------------------------------


def lent_while_waiting(place: Place, queue: str | None) -> int:
    """How often it is lent in a wait for a run of this queue, in a thread and on a loop."""

    async def on_a_loop() -> None:
        async with slot_lent_async():
            pass

    token = current_place.set(place)
    try:
        with waiting_for(queue) if queue is not None else loading():
            with slot_lent():
                pass
            asyncio.run(on_a_loop())
    finally:
        current_place.reset(token)
    return place.lane.lent  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize(
    ("lent_to", "awaited", "lent"),
    [
        (None, None, 2),
        (None, "s-1", 2),
        (frozenset({"s-1"}), "s-1", 2),
        (frozenset({"s-1"}), "mail", 0),
        (frozenset({"s-1"}), "s-0123456789ab", 2),
    ],
)
def test_a_place_of_a_flow_run_is_lent_to_runs_that_need_such_a_place(
    lent_to: frozenset[str] | None, awaited: str | None, lent: int
) -> None:
    assert lent_while_waiting(Place(Lane(), lent_to), awaited) == lent


def test_a_flow_run_that_waits_for_its_tasks_keeps_its_place() -> None:
    assert lent_while_waiting(Place(Lane(), frozenset({"s-1"})), None) == 0


def test_no_flow_run_is_fetched_to_wait_behind_another() -> None:
    ready = Prefetched(in_batches=False)
    assert [ready.batch_for(1, 1), ready.batch_for(5, 1), ready.batch_for(5, 5)] == [1, 5, 1]


# -- code --------------------------------------------------------------------------------------------------------------

SCRIPT = """
from orchestrator import flow
from orchestrator.runnables.loading import is_loading
from task_workers import serve
seen = [is_loading()]
@flow
def nightly(): return seen
serve("no task at all")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path; what is imported from it is forgotten afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("served_by_hand", "package_of_flows", "package_of_flows.nightly"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def test_a_script_is_loaded_without_being_run_again(folder: Path) -> None:
    (folder / "served_by_hand.py").write_text(SCRIPT)
    assert load_flow_from_entrypoint(f"{folder}/served_by_hand.py:nightly")() == [True]
    del sys.modules["served_by_hand"]
    assert import_tasks(["served_by_hand"]) is None
    assert sys.modules["served_by_hand"].seen == [True]
    assert not is_loading()


def test_a_child_of_multiprocessing_that_loads_its_parents_script_counts_as_loading(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(multiprocessing.current_process(), "_inheriting", True, raising=False)
    assert is_loading()


def test_a_module_is_loaded_under_the_name_that_this_process_has_it_by(folder: Path) -> None:
    package = folder / "package_of_flows"
    package.mkdir()
    (package / "nightly.py").write_text("from orchestrator import flow\n@flow\ndef load(): return __name__\n")
    module = importlib.import_module("package_of_flows.nightly")  # a namespace package
    assert place_of(module.load.fn) == "package_of_flows.nightly"
    again = load_flow_from_entrypoint(f"{package}/nightly.py:load")
    assert again is module.load
    assert again() == "package_of_flows.nightly"


def test_a_module_that_was_loaded_from_its_path_is_loaded_from_its_path(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("elsewhere") / "lonely.py"
    file.write_text("from orchestrator import flow\n@flow\ndef load(): return 1\n")
    loaded = load_flow_from_entrypoint(f"{file}:load")
    sys.path.remove(str(file.parent))
    try:
        assert place_of(loaded.fn) == str(file)
    finally:
        del sys.modules["lonely"]


def test_a_flow_that_was_typed_in_has_no_place() -> None:
    names: dict[str, Any] = {"flow": flow, "__name__": "__main__"}
    exec("@flow\ndef typed_in(): return 1\n", names)
    assert place_of(names["typed_in"].fn) is None


# -- the host ----------------------------------------------------------------------------------------------------------


def test_the_host_is_found_by_its_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_host() is FlowHost
    monkeypatch.setattr("orchestrator.runner.host.entry_points", lambda **which: ())
    assert find_host() is FlowHost  # an installation whose metadata is older


def test_where_no_processes_can_be_started_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.runner.host.entry_points", lambda **which: ())
    monkeypatch.setitem(sys.modules, "task_workers.flow_host", None)
    with pytest.raises(ConfigurationError, match=r"no process for flow runs can be started here: task_workers"):
        find_host()


def test_a_server_of_flows_needs_no_app() -> None:
    assert WorkerOptions((), for_flow_runs=True).apps == ()


# -- what is served ----------------------------------------------------------------------------------------------------


class Declared:
    """A deployment that is never written."""

    def __init__(self, name: str, flow_name: str = "etl", work_pool_name: str | None = None) -> None:
        self.name, self.flow_name, self.work_pool_name = name, flow_name, work_pool_name
        self.flow = None
        self.applied = 0

    def apply(self) -> uuid.UUID:
        self.applied += 1
        return uuid.uuid5(uuid.NAMESPACE_DNS, self.name)


def test_two_deployments_of_one_name_are_refused_before_anything_is_written() -> None:
    both = Declared("nightly"), Declared("nightly")
    with pytest.raises(ValueError, match=r"two deployments are called 'etl/nightly': give one of them another name"):
        serve(*both)
    assert [each.applied for each in both] == [0, 0]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], "serve() needs at least one deployment"),
        (["etl/nightly"], "is no deployment: serve() takes what"),
        ([Declared("nightly", work_pool_name="big")], "belongs to the work pool 'big', whose workers run it"),
    ],
)
def test_what_cannot_be_served_is_refused(given: list[Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(words)):
        serve(*given)


def test_serve_says_what_to_do_on_an_event_loop() -> None:
    async def serves() -> None:
        serve(Declared("nightly"))

    with pytest.raises(RuntimeError, match="await aserve"):
        asyncio.run(serves())


def test_while_a_script_is_loaded_nothing_is_served() -> None:
    with loading():
        serve(Declared("nightly"))
        asyncio.run(aserve(Declared("nightly")))


def test_a_script_that_makes_a_run_whenever_it_is_loaded_is_told_where_to_put_that_line() -> None:
    with loading(), pytest.raises(ConfigurationError, match="below `if __name__ == '__main__':`"):
        run_deployment("etl/nightly", timeout=0)


def ask_to_stop_once_it_waits(records: list[logging.LogRecord]) -> threading.Thread:
    def stop() -> None:
        wait_until(lambda: any("waits for it" in record.getMessage() for record in records), 40)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=stop)
    thread.start()
    return thread


@pytest.mark.parametrize("how", [serve, lambda *given: asyncio.run(aserve(*given))], ids=["serve", "aserve"])
def test_who_waits_for_the_server_ends_when_asked_to(how: Any, caplog: pytest.LogCaptureFixture) -> None:
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("signals are handled in the main thread")
    declared = Declared("nightly")
    with fleet_of(Settings(redis_url="redis://127.0.0.1:1/0", command_timeout_seconds=0.1)):
        stopping = ask_to_stop_once_it_waits(caplog.records)
        how(declared)
        stopping.join(40)
    assert caplog.text.count("serve() waits for it") == 1
    assert declared.applied == 0


@pytest.mark.parametrize("limit", [0, -1, True, 2.5])
def test_a_limit_of_no_flow_runs_is_refused(limit: Any) -> None:
    with pytest.raises(ValueError, match=re.escape(f"limit={limit!r} is not allowed")):
        Runner(limit=limit)


def test_a_runner_with_nothing_to_serve_says_so() -> None:
    with pytest.raises(ConfigurationError, match="the runner 'idle' has nothing to serve: add_flow"):
        asyncio.run(Runner(name="idle").start())


class PlayedHost:
    """Works until it is stopped."""

    def __init__(self, served: ServedFlows) -> None:
        self.served = served
        self.stopped = threading.Event()
        hosts.append(self)

    def run(self) -> bool:
        return self.stopped.wait(20)

    def stop(self) -> None:
        self.stopped.set()


hosts: list[PlayedHost] = []


@pytest.fixture
def host_of(monkeypatch: pytest.MonkeyPatch) -> list[PlayedHost]:
    monkeypatch.setattr("orchestrator.runner.runner.find_host", lambda: PlayedHost)
    hosts.clear()
    return hosts


def test_the_runner_hands_queues_and_limit_to_its_host_and_stops_it(host_of: list[PlayedHost]) -> None:
    runner = Runner(name="both", limit=2)
    ids = [runner.add_deployment(Declared(name)) for name in ("a", "b")]
    asyncio.run(_stopped_from_beside(runner))
    (host,) = host_of
    queues = tuple(f"s-{found.hex[:12]}" for found in ids)
    assert host.served == ServedFlows("both", queues, limit=2, deployments=tuple(map(str, ids)))
    assert not runner.started


def test_probes_are_answered_at_the_address_that_is_asked_for() -> None:
    served = ServedFlows("pool", ("p-0123abcd-0",), health_port=9808, listen="0.0.0.0")
    options = options_of(served, Fleet(Settings()))
    assert (options.health_port, options.listen) == (9808, "0.0.0.0")


async def _stopped_from_beside(runner: Runner) -> None:
    async def stop() -> None:
        while not runner.started:
            await asyncio.sleep(0)
        runner.stop()

    await asyncio.gather(runner.start(), stop())


def test_a_runner_whose_task_is_cancelled_stops_its_host(host_of: list[PlayedHost]) -> None:
    async def cancels() -> None:
        serving = asyncio.create_task(aserve(Declared("nightly"), print_starting_message=False))
        while not hosts:
            await asyncio.sleep(0)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving

    asyncio.run(cancels())
    assert host_of[0].stopped.is_set()


def test_the_starting_message_names_what_is_served_and_how_to_run_it(
    host_of: list[PlayedHost], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PlayedHost, "run", lambda host: True)
        serve(Declared("nightly"))
        serve(Declared("nightly"), Declared("hourly", "tidies"))
    said = capsys.readouterr().out
    assert "Your flow 'etl' is being served and polling for scheduled runs!" in said
    assert "$ orchestrator deployment run 'etl/nightly'" in said
    assert "Your deployments are being served and polling for scheduled runs!" in said
    assert "tidies/hourly" in said
