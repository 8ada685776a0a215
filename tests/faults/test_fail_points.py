"""A real worker fails at each moment of the way of a call: killed, frozen past its lease, or by an error of its own."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from brokers.messages import Status
from orchestrator import settings as all_settings
from orchestrator.client import fleet as fleets
from orchestrator.client.fleet import Fleet
from orchestrator.futures import PrefectFuture
from orchestrator.settings import Settings
from orchestrator.slots import failpoints
from tests.conftest import program_or_skip
from tests.support import async_tracing, tracing
from tests.support.oracle import Model, Oracle
from tests.support.servers import ServerProcess
from tests.support.waiting import wait_until
from tests.support.worker_process import QUICK, StartWorker, WorkerProcess, clean_environment

pytestmark = pytest.mark.behaviour
APPS = ("-A", "tests.support.tracing", "-A", "tests.support.async_tracing")
LEASE_SECONDS = 2.0


@pytest.fixture(scope="module")
def server_program() -> Path:
    """One program is enough: which moment a worker fails at makes no difference to the server."""
    return program_or_skip("embedded")


class Scene(NamedTuple):
    """A namespace with its client, its oracle, and workers that fail once between them."""

    fleet: Fleet
    oracle: Oracle
    trace: str
    sign: Path
    start: Callable[..., WorkerProcess]

    def submit(self) -> list[PrefectFuture[object]]:
        """Some calls of each kind; the oracle knows what is to become of them."""
        trace = self.trace
        models: list[tuple[PrefectFuture[object], Model]] = []
        for number in range(60):
            models.append((tracing.add.submit(trace, number, 1), Model(value=number + 1)))
        for number in range(6):
            models.append((tracing.sleep.submit(trace, 0.02 * number), Model(value=0.02 * number)))
            models.append((async_tracing.nap.submit(trace, 0.02 * number), Model(value=0.02 * number)))
            models.append((tracing.fail_twice.submit(trace), Model(value="the third time", retries=2, starts=3)))
        models.append((tracing.fail.submit(trace), Model(status=Status.FAILED)))
        for future, model in models:
            self.oracle.expect(future.run_id, model)
        return [future for future, _ in models]

    def judge(self, futures: list[PrefectFuture[object]], workers: list[WorkerProcess], faults: int = 1) -> None:
        """Every handle settles, the workers leave in peace, and the oracle has nothing to say."""
        for future in futures:
            future.wait(40)
        assert [future.run_id for future in futures if not future.settled] == []
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.wait()
        assert self.sign.exists(), "the moment was never passed"
        self.fleet.close()
        assert self.oracle.judge(faults=faults, crashes=1) == []


@pytest.fixture
def scene(server: ServerProcess, namespace: str, tmp_path: Path) -> Iterator[Scene]:
    settings = Settings(
        redis_url=server.url, namespace=namespace, lease_seconds=LEASE_SECONDS, beat_seconds=0.5, result_ttl_seconds=300
    )
    environment = clean_environment(**QUICK, ORCHESTRATOR_REDIS_URL=server.url, ORCHESTRATOR_NAMESPACE=namespace)
    started: list[WorkerProcess] = []
    start: StartWorker

    def start(*options: str, **more: str) -> WorkerProcess:
        log = tmp_path / f"worker-{len(started)}.log"
        worker = WorkerProcess(log, {**environment, **more}, *APPS, *options)
        started.append(worker)
        return worker

    trace = tmp_path / "trace"
    with all_settings.use(settings), Oracle(server, namespace, trace) as oracle:
        fleet = Fleet(settings)
        before = fleets.use_fleet(fleet)
        yield Scene(fleet, oracle, str(trace), tmp_path / "sign", start)
        fleets.use_fleet(before)
        fleet.close()
        for worker in started:
            worker.close()
            print(f"--- {worker.log.name}\n{worker.output}")


@pytest.mark.parametrize("action", ["kill", "raise", "exit"])
@pytest.mark.parametrize("point", failpoints.POINTS)
def test_a_child_that_ends_at_any_moment_loses_nothing_and_repeats_little(
    scene: Scene, point: str, action: str
) -> None:
    """One child of two fails in the middle of the work; during a drain, the whole worker leaves and another comes."""
    draining = point == "during_drain"
    passage = 1 if draining else 3
    variable = {failpoints.VARIABLE: f"{point}={action}:{passage}@{scene.sign}"}
    if draining:
        variable["ORCHESTRATOR_WORKER_SHUTDOWN_TIMEOUT"] = "5"  # time enough to come by, on a busy machine too
    futures = scene.submit()
    worker = scene.start("-c", "2", **variable)
    if not draining:
        return scene.judge(futures, [worker])
    wait_until(lambda: sum(future.settled for future in futures) > 5, 40, "some calls have ended")
    worker.terminate()
    worker.wait()
    return scene.judge([*futures, *scene.submit()], [scene.start("-c", "1")])


@pytest.mark.parametrize("point", failpoints.POINTS[:-1])
def test_an_error_of_our_own_in_one_of_several_threads_strands_no_call(scene: Scene, point: str) -> None:
    """The thread or the process goes on; the call is handed back, as a claim whose reply was lost."""
    futures = scene.submit()
    scene.judge(
        futures,
        [scene.start("-c", "1", "--threads", "3", **{failpoints.VARIABLE: f"{point}=raise:1@{scene.sign}"})],
    )


@pytest.mark.parametrize("point", failpoints.POINTS)
def test_a_worker_that_freezes_past_its_lease_at_any_moment_and_wakes_again_overwrites_nothing(
    scene: Scene, point: str
) -> None:
    """The child stops itself there, the others of its worker with it; another takes over, then they wake."""
    draining = point == "during_drain"
    futures = scene.submit()
    worker = scene.start("-c", "2", **{failpoints.VARIABLE: f"{point}=stop:{1 if draining else 3}@{scene.sign}"})
    if draining:
        wait_until(lambda: sum(future.settled for future in futures) > 5, 40, "some calls have ended")
        worker.terminate()
    wait_until(lambda: scene.sign.exists() and scene.sign.stat().st_size, 40, "a child has stopped")
    worker.signal_all(signal.SIGSTOP)
    other = scene.start("-c", "1")
    other.wait_ready(1)
    for future in futures:
        future.wait(40)
    worker.signal_all(signal.SIGCONT)
    workers = [worker, other]
    if draining:
        worker.wait()
        workers = [other]
    # Two children lose their lease; the one that wakes first may take a call of the other's.
    scene.judge([*futures, *scene.submit()], workers, faults=2)
