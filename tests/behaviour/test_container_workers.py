"""Workers of docker and kubernetes pools: what they start runs the flow, once, whatever is killed meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from brokers.messages import Status
from orchestrator.client.fleet import Fleet
from orchestrator.deployments import run_deployment
from orchestrator.deployments.flow_run_value import FlowRun, read_flow_run
from orchestrator.inspection import cancel_runs
from orchestrator.work_pools.editing import create_pool
from tests.support.engines import environment_of
from tests.support.fake_containers import Container
from tests.support.fake_programs import FakePrograms
from tests.support.serving_process import ServingProcess
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.parametrize("row", ["embedded"], indirect=True),  # these runs travel on the store with every engine
    pytest.mark.timeout(180),
]
SETTINGS = {
    "lease_seconds": 2,
    "beat_seconds": 0.4,
    "kill_grace_seconds": 1,
    "encryption_key": "k" * 40,
}
SECONDS = 120
FLOWS = '''
import fcntl, os, signal, sys, time
from pathlib import Path
from orchestrator import flow, runtime
from orchestrator.client.schemas.objects import ConcurrencyLimitConfig

HERE = Path(os.environ.get("HERE", "."))  # of a test

class alone:
    """Its process, in a file: none begins while another one is at work."""
    def __enter__(self):
        self.lock = open(HERE / "lock", "w")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            (HERE / "twice").touch()
        with open(HERE / "pids", "a") as file:
            file.write(f"{os.getpid()}\\n")
    def __exit__(self, *error):
        self.lock.close()

def note(run):
    def hook(flow, flow_run, state):
        with open(HERE / "hooks", "a") as file:
            file.write(f"{run} {state.name} {os.getpid()}\\n")
    return hook

@flow(log_prints=True)
def ml_training_pipeline(dataset: str, epochs: int = 10):
    with alone():
        print("training on", dataset)
        return [dataset, os.environ.get("MODEL_VERSION"), os.getpid(), runtime.flow_run.run_count]

@flow(on_cancellation=[note("waits")], on_crashed=[note("waits")])
def waits():
    with alone():
        (HERE / "begun").touch()
        while not (HERE / "go").exists():
            time.sleep(0.05)
        return runtime.flow_run.run_count

@flow(on_cancellation=[note("stubborn")])
def stubborn():
    with alone():
        (HERE / "begun").touch()
        while True:
            try:
                time.sleep(600)
            except BaseException:
                pass

@flow
def freezes():
    with open(HERE / "frozen", "a") as file:
        file.write(f"{os.getpid()}\\n")
    while not (HERE / "go").exists():
        time.sleep(0.05)

if __name__ == "__main__":
    kind = "kubernetes" if "k8s" in sys.argv[1] else "docker"
    options = {"work_pool_name": sys.argv[1], "image": "my-registry/ml-training:latest", "print_next_steps": False}
    ml_training_pipeline.deploy(
        name=kind, push=False, cron="0 0 * * 0", parameters={"dataset": "v2", "epochs": 50},
        tags=["ml", "training"], concurrency_limit=ConcurrencyLimitConfig(limit=3),
        job_variables={"cpu": "4", "memory": "16Gi", "env": {"MODEL_VERSION": "v2"}} if kind == "kubernetes"
        else {"env": {"MODEL_VERSION": "v2"}, "auto_remove": True, "container_create_kwargs": {"shm_size": "1g"}},
        **options)
    for each in (waits, stubborn, freezes):
        each.deploy(kind, build=False, **options)
'''


@pytest.fixture(scope="module")
def deployed(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Deploys the flows to a pool of a type, once; gives its name."""
    pools: dict[str, str] = {}

    def deploy(kind: str) -> str:
        if kind not in pools:
            pools[kind] = {"kubernetes": "k8s-pool"}.get(kind, "docker-pool")
            folder = tmp_path_factory.mktemp(kind)
            (folder / "flows.py").write_text(f"# {kind}\n{FLOWS}")  # code of its own
            create_pool(fleet, pools[kind], kind)
            env = {**environment_of(fleet.settings), "PATH": FakePrograms(folder / "programs").path}
            words = [sys.executable, "flows.py", pools[kind]]
            subprocess.run(words, cwd=folder, env=env, check=True, timeout=SECONDS)
        return pools[kind]

    return deploy


class Shop:
    """A pool with deployments, the programs that its workers start, and the folder of a test."""

    def __init__(self, fleet: Fleet, folder: Path, kind: str, pool: str) -> None:
        self.fleet, self.folder, self.kind, self.pool = fleet, folder, kind, pool
        self.programs = FakePrograms(folder / "programs", folder)
        self._workers: list[ServingProcess] = []

    def worker(self, *words: str) -> ServingProcess:
        arguments = ("-m", "orchestrator", "worker", "start", "--pool", self.pool, *words)
        self._workers.append(ServingProcess(self.fleet.settings, *arguments, more={"PATH": self.programs.path}))
        return self._workers[-1]

    def run(self, name: str = "waits", **variables: Any) -> str:
        """Start a run; its id."""
        env = {"HERE": str(self.folder)}
        run = run_deployment(f"{name}/{self.kind}", timeout=0, job_variables={"env": env, **variables})
        return str(run.id)

    def state(self, run_id: str) -> FlowRun:
        return read_flow_run(self.fleet, run_id)

    def wait_state(self, run_id: str, name: str) -> FlowRun:
        self.wait(lambda: self.state(run_id).state_name == name, name, run_id)
        return self.state(run_id)

    def wait(self, predicate: Callable[[], object], what: str, run_id: str = "") -> None:
        wait_until(predicate, SECONDS, lambda: f"{what}: {self._facts(run_id)}")

    def _facts(self, run_id: str = "") -> str:
        states = [str(self.state(run_id))] if run_id else []
        return "\n".join([*states, str(self.programs.containers), *(worker.output for worker in self._workers)])

    def wait_file(self, name: str) -> None:
        self.wait((self.folder / name).exists, name)

    def lines(self, name: str) -> list[str]:
        file = self.folder / name
        return file.read_text().splitlines() if file.exists() else []

    def started_for(self, run_id: str) -> list[Container]:
        """What was started for a run; calls of hooks of other tests may have something, too."""
        return [one for one in self.programs.containers if _labels(one)["orchestrator.io/flow-run-id"] == run_id]

    def wait_ended(self, run_id: str) -> None:
        """Until nothing that was started for it runs any more."""
        self.wait(lambda: all(one.phase == "ended" for one in self.started_for(run_id)), "its end", run_id)

    def close(self) -> None:
        for worker in self._workers:
            worker.close()
        self.programs.close()
        assert not (self.folder / "twice").exists(), "flow code ran twice at once"


def _labels(container: Container) -> dict[str, str]:
    spec = container.spec
    found: dict[str, str] = spec["labels"] if "labels" in spec else spec["manifest"]["metadata"]["labels"]
    return found


@pytest.fixture(params=["docker"])
def shop(
    request: pytest.FixtureRequest, fleet: Fleet, tmp_path: Path, deployed: Callable[[str], str]
) -> Iterator[Shop]:
    made = Shop(fleet, tmp_path, request.param, deployed(request.param))
    yield made
    made.close()


on_both = pytest.mark.parametrize("shop", ["docker", "kubernetes"], indirect=True)


@on_both
def test_a_run_of_a_pool_runs_in_what_its_worker_starts(shop: Shop) -> None:
    run_id = str(run_deployment(f"ml-training-pipeline/{shop.kind}", timeout=0).id)
    worker = shop.worker("--run-once")
    assert worker.process.wait(SECONDS) == 0, worker.output
    found = shop.state(run_id)
    assert found.state.result()[:2] == ["v2", "v2"], worker.output
    assert found.run_count == 1
    assert "training on v2" in worker.output  # what it writes is streamed
    assert "a key of the tests" not in str(shop.programs.calls)  # nor is any other value of its environment
    if shop.kind == "docker":
        assert shop.started_for(run_id) == []  # auto_remove
        return
    labels = {"orchestrator.io/flow-run-id": run_id}.items()
    (manifest,) = [one for one in shop.programs.manifests() if labels <= one["metadata"]["labels"].items()]
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "my-registry/ml-training:latest"
    assert container["resources"] == {part: {"cpu": "4", "memory": "16Gi"} for part in ("requests", "limits")}
    assert {"name": "MODEL_VERSION", "value": "v2"} in container["env"]


def test_a_cancelled_run_is_interrupted_and_what_was_started_for_it_ends(shop: Shop, fleet: Fleet) -> None:
    worker, run_id = shop.worker(), shop.run()
    shop.wait_file("begun")
    assert cancel_runs(fleet, [run_id]) == [run_id]
    shop.wait_state(run_id, "Cancelled")
    shop.wait_ended(run_id)
    (pid,) = shop.lines("pids")
    assert shop.lines("hooks") == [f"waits Cancelled {pid}"]
    assert worker.stop() == 0


@on_both
def test_a_cancelled_run_that_does_not_stop_is_killed_and_its_hook_is_called_elsewhere(
    shop: Shop, fleet: Fleet
) -> None:
    shop.worker()
    run_id = shop.run("stubborn")
    shop.wait_file("begun")
    cancel_runs(fleet, [run_id])
    shop.wait_state(run_id, "Cancelled")
    if shop.kind == "kubernetes":
        assert any(call[0] == "delete" for call in shop.programs.calls)
    shop.wait_file("hooks")
    (pid,), (hook,) = shop.lines("pids"), shop.lines("hooks")
    assert hook.startswith("stubborn Cancelled ")
    assert hook.split()[2] != pid


def test_a_run_that_has_not_begun_is_cancelled_with_what_was_started(shop: Shop, fleet: Fleet) -> None:
    shop.programs.hold(True)
    shop.worker()
    run_id = shop.run()
    shop.wait_state(run_id, "InfrastructurePending")
    shop.wait(lambda: shop.started_for(run_id), "a container", run_id)
    cancel_runs(fleet, [run_id])
    shop.wait_state(run_id, "Cancelled")
    shop.wait_ended(run_id)
    assert shop.lines("pids") == []


def test_kill_9_of_the_flows_process_has_it_run_again(shop: Shop) -> None:
    shop.worker()
    run_id = shop.run()
    shop.wait_file("begun")
    (pid,) = shop.lines("pids")
    os.kill(int(pid), signal.SIGKILL)
    shop.wait(lambda: len(shop.lines("pids")) == 2, "another process", run_id)
    (shop.folder / "go").touch()
    found = shop.wait_state(run_id, "Completed")
    assert (found.run_count, found.state.result()) == (2, 2)


@on_both
def test_kill_9_of_the_worker_before_the_run_begins_queues_it_anew_and_the_late_process_does_nothing(
    shop: Shop, fleet: Fleet
) -> None:
    shop.programs.hold(True)
    first, run_id = shop.worker(), shop.run()
    shop.wait_state(run_id, "InfrastructurePending")
    shop.wait(lambda: shop.started_for(run_id), "a container", run_id)
    (late,) = shop.started_for(run_id)
    shop.wait(lambda: late.phase == "pending", "its start", run_id)
    first.kill()
    second = shop.worker()
    shop.wait(lambda: len(shop.started_for(run_id)) == 2, "another container", run_id)
    shop.programs.hold(False)
    shop.wait(lambda: late.exit_code is not None, "the end of the late one", run_id)
    assert (late.exit_code, "the ticket of flow run" in late.log.read_text()) == (0, True)
    assert "is stale" in late.log.read_text()
    (shop.folder / "go").touch()
    found = shop.wait_state(run_id, "Completed")
    assert (found.run_count, len(shop.lines("pids"))) == (1, 1)
    assert second.stop() == 0


def test_kill_9_of_the_worker_after_the_run_has_begun_changes_nothing_and_the_next_looks_after_it(shop: Shop) -> None:
    first, run_id = shop.worker(), shop.run()
    shop.wait_file("begun")
    first.kill()
    shop.worker().wait_output("is looked after here")
    (pid,) = shop.lines("pids")
    os.kill(int(pid), signal.SIGKILL)
    shop.wait(lambda: len(shop.lines("pids")) == 2, "another process", run_id)
    (shop.folder / "go").touch()
    assert shop.wait_state(run_id, "Completed").run_count == 2


def test_a_worker_that_stops_leaves_runs_that_have_begun_to_the_next(shop: Shop) -> None:
    first, run_id = shop.worker(), shop.run()
    shop.wait_file("begun")
    assert first.stop() == 0
    assert shop.state(run_id).state_name == "Running"
    (shop.folder / "go").touch()
    assert shop.wait_state(run_id, "Completed").run_count == 1


@on_both
def test_what_cannot_be_started_crashes_its_run_with_the_reason(shop: Shop) -> None:
    shop.programs.set("no-image" if shop.kind == "docker" else "forbidden")
    shop.worker()
    run_id = shop.run()
    found = shop.wait_state(run_id, "Crashed")
    assert ("pull access denied" if shop.kind == "docker" else "jobs.batch is forbidden") in str(found.state.message)


def test_a_command_that_writes_the_workers_keys_shows_them_to_nobody(shop: Shop, fleet: Fleet) -> None:
    worker = shop.worker()
    key = SETTINGS["encryption_key"]
    run_id = shop.run(command="sh -c 'env; echo key: $ORCHESTRATOR_ENCRYPTION_KEY; exit 3'")
    found = shop.wait_state(run_id, "Crashed")
    assert "its last line: key: ***" in str(found.state.message)
    worker.wait_output("key: ***")
    assert f"ORCHESTRATOR_ENCRYPTION_KEY={key}" in shop.started_for(run_id)[0].log.read_text()
    lines = str(fleet.logs.read(run_id))
    assert (key in lines, key in worker.output, "key: ***" in lines) == (False, False, True)


def test_a_command_that_never_takes_its_run_crashes_it(shop: Shop) -> None:
    shop.worker()
    wrong = shop.run(command="ls /nowhere-at-all")
    found = shop.wait_state(wrong, "Crashed")
    assert "before it began" in str(found.state.message)
    assert "nowhere-at-all" in str(found.state.message)
    shop.programs.hold(True)
    slow = shop.run(grace_period_seconds=0.5)
    assert "grace_period_seconds=0.5" in str(shop.wait_state(slow, "Crashed").state.message)
    assert shop.lines("pids") == []
    shop.programs.hold(False)
    status = shop.fleet.broker.records.read([slow])[0].status
    assert status == Status.CRASHED


@pytest.mark.parametrize("shop", ["kubernetes"], indirect=True)
def test_a_job_that_takes_too_long_is_deleted_and_its_run_timed_out(shop: Shop) -> None:
    shop.worker()
    run_id = shop.run(job_watch_timeout_seconds=1)
    found = shop.wait_state(run_id, "TimedOut")
    assert "job_watch_timeout_seconds=1" in str(found.state.message)
    wait_until(lambda: any(call[0] == "delete" for call in shop.programs.calls), SECONDS, "it is deleted")


def test_kill_9_of_what_was_started_before_the_run_begins_starts_another(shop: Shop) -> None:
    shop.worker()
    run_id = shop.run("waits", command="sh -c 'kill -9 $$'")
    found = shop.wait_state(run_id, "Crashed")
    assert "with exit code 137 before it began (3 times)" in str(found.state.message)
    assert len(shop.started_for(run_id)) == 3


def test_a_process_that_is_frozen_while_others_get_its_run_is_killed(shop: Shop) -> None:
    shop.worker()
    run_id = shop.run("freezes")
    shop.wait(lambda: shop.lines("frozen"), "its beginning", run_id)
    (first,) = shop.started_for(run_id)
    os.kill(int(shop.lines("frozen")[0]), signal.SIGSTOP)
    wait_until(lambda: first.phase == "ended", SECONDS, "its end")
    shop.wait(lambda: len(shop.lines("frozen")) == 2, "another process", run_id)
    (shop.folder / "go").touch()
    shop.wait_state(run_id, "Completed")
