"""Any order of events over one to three real workers: Hypothesis invents it, and the oracle judges what became of it.

What a run is to become is known beforehand, whatever happens to the workers and the server. Only a run that somebody
cancelled may have two ends: Cancelled, or what it would have become if it was too late.

``ORCHESTRATOR_MODEL_EXAMPLES=200`` invents so many (and other ones each time) instead of the few that are always the
same. A failure prints the steps, and what the workers wrote.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import redis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from brokers.messages import Status
from orchestrator import settings as all_settings
from orchestrator.client import fleet as fleets
from orchestrator.client.fleet import Fleet
from orchestrator.futures import PrefectFuture
from orchestrator.settings import Settings
from orchestrator.tasks import Task
from tests.conftest import program_or_skip
from tests.support import async_tracing, tracing
from tests.support.oracle import Model, Oracle
from tests.support.servers import ServerProcess
from tests.support.waiting import wait_until
from tests.support.worker_process import QUICK, WorkerProcess, clean_environment, is_alive

pytestmark = [pytest.mark.behaviour, pytest.mark.slow]
EXAMPLES: Final = int(os.environ.get("ORCHESTRATOR_MODEL_EXAMPLES", "0"))
STEPS: Final = 12
MAX_WORKERS: Final = 3
LEASE_SECONDS: Final = float(QUICK["ORCHESTRATOR_LEASE_SECONDS"])
WAIT_SECONDS: Final = 60.0  # a few leases, restarts and new workers on a busy machine
APPS: Final = ("-A", "tests.support.tracing", "-A", "tests.support.async_tracing", "-c", "1")
MANY_DEATHS: Final = 1000  # these calls outlive whatever the steps do to their workers

ADD: Final[Task[..., Any]] = tracing.add.with_options(max_deliveries=MANY_DEATHS)
SLEEP: Final[Task[..., Any]] = tracing.sleep.with_options(max_deliveries=MANY_DEATHS)
NAP: Final[Task[..., Any]] = async_tracing.nap.with_options(max_deliveries=MANY_DEATHS)
FAIL: Final[Task[..., Any]] = tracing.fail.with_options(max_deliveries=MANY_DEATHS)
FAIL_TWICE: Final[Task[..., Any]] = tracing.fail_twice.with_options(max_deliveries=MANY_DEATHS)


class Site(NamedTuple):
    """What all examples share."""

    server: ServerProcess
    folder: Path


@dataclass
class Run:
    """A call, and what it becomes if nobody cancels it and its upstreams complete."""

    future: PrefectFuture[Any]
    model: Model
    upstreams: list[Run] = field(default_factory=list)
    cancelled: bool = False

    def end(self, ended_as: bytes) -> Model:
        """What is to become of it; ``ended_as`` matters only if it was cancelled, and its upstreams come first."""
        if self.cancelled and ended_as == Status.CANCELLED:
            self.model = self.model._replace(status=Status.CANCELLED, at_most=True)
        elif any(upstream.model.status != Status.COMPLETED for upstream in self.upstreams):
            self.model = Model(Status.NOT_READY, starts=0)
        return self.model


@dataclass
class Worker:
    """A worker that lives, and since when it has been frozen."""

    process: WorkerProcess
    frozen_at: float | None = None

    def signal_all(self, signum: int) -> None:
        self.process.signal_all(signum)


class WorkersMachine(RuleBasedStateMachine):
    """Calls of all kinds, and everything that can happen to those who run them.

    Which steps are possible depends on the steps before and never on how far the workers are: an example can be
    repeated.
    """

    site: Site

    def __init__(self) -> None:
        super().__init__()
        self._stack = contextlib.ExitStack()
        self._namespace = f"m-{secrets.token_hex(5)}"
        self._folder = self.site.folder / self._namespace
        self._folder.mkdir()
        self._began = time.monotonic()
        self._steps: list[str] = []
        self._broken = self._replayed = False
        self._faults = 0
        self._started: list[WorkerProcess] = []
        self.workers: list[Worker] = []
        self.runs: list[Run] = []
        url = self.site.server.url
        chosen = Settings(
            redis_url=url,
            namespace=self._namespace,
            lease_seconds=LEASE_SECONDS,
            beat_seconds=0.5,
            result_ttl_seconds=900,
            map_blocks=True,
        )
        self._environment = clean_environment(
            **QUICK,
            ORCHESTRATOR_REDIS_URL=url,
            ORCHESTRATOR_NAMESPACE=self._namespace,
            ORCHESTRATOR_RESULT_TTL_SECONDS="900",
        )
        self._trace = str(self._folder / "trace")
        self._stack.enter_context(all_settings.use(chosen))
        self.oracle = self._stack.enter_context(Oracle(self.site.server, self._namespace, Path(self._trace)))
        self.fleet = Fleet(chosen)
        self._stack.callback(self.fleet.close)
        before = fleets.use_fleet(self.fleet)
        self._stack.callback(lambda: fleets.use_fleet(before))

    @contextlib.contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Write a step down before it is done."""
        self._steps.append(f"{time.monotonic() - self._began:6.1f} s  {text}")
        try:
            yield
        except BaseException as error:
            self._broken = True
            error.add_note(self._report())
            raise

    def _report(self) -> str:
        lines = ["Steps:", *self._steps]
        for process in self._started:
            lines += [f"--- {process.log.name}", process.output[-3000:]]
        return "\n".join(lines)

    def call(self, task: Task[..., Any], *args: object, model: Model, **options: object) -> Run:
        """Send a call; repeating is safe because of the key."""
        key = secrets.token_hex(8)
        future = self.oracle.within(
            10.0, lambda: task.apply_async((self._trace, *args), idempotency_key=key, **options), "sending"
        )
        self.runs.append(Run(future, model))
        return self.runs[-1]

    @property
    def numbers(self) -> list[Run]:
        """Runs whose values can be added."""
        return [run for run in self.runs if isinstance(run.model.value, int)]

    @property
    def awake(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.frozen_at is None]

    @property
    def frozen(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.frozen_at is not None]

    # -- calls ---------------------------------------------------------------------------------------------------

    @rule(number=st.integers(0, 99))
    def submit(self, number: int) -> None:
        with self.step(f"submit {number} + 1"):
            self.call(ADD, number, 1, model=Model(value=number + 1))

    @rule(count=st.integers(2, 40))
    def map(self, count: int) -> None:
        with self.step(f"map over {count}"):
            futures = ADD.map(self._trace, range(count), 1)
            self.fleet.sender.flush()
            self.runs += [Run(future, Model(value=number + 1)) for number, future in enumerate(futures)]

    @precondition(lambda self: self.numbers)
    @rule(data=st.data())
    def submit_after_others(self, data: Any) -> None:
        numbers = st.integers(0, len(self.numbers) - 1)
        one, other = (self.numbers[index] for index in data.draw(st.tuples(numbers, numbers)))
        with self.step(f"submit the sum of {one.future.run_id} and {other.future.run_id}"):
            model = Model(value=one.model.value + other.model.value)
            self.call(ADD, one.future, other.future, model=model).upstreams = [one, other]

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def submit_after_any_other(self, data: Any) -> None:
        upstream = self.runs[data.draw(st.integers(0, len(self.runs) - 1))]
        with self.step(f"submit one that waits for {upstream.future.run_id}"):
            self.call(ADD, 1, 1, model=Model(value=2), wait_for=[upstream.future]).upstreams = [upstream]

    @rule(milliseconds=st.integers(50, 1500))
    def submit_with_a_delay(self, milliseconds: int) -> None:
        with self.step(f"submit one for in {milliseconds} ms"):
            self.call(ADD, 5, 5, model=Model(value=10), countdown=milliseconds / 1000)

    @rule(milliseconds=st.integers(10, 400), asynchronous=st.booleans(), count=st.integers(1, 4))
    def submit_sleepers(self, milliseconds: int, asynchronous: bool, count: int) -> None:
        seconds = milliseconds / 1000
        with self.step(f"submit {count} that sleep for {seconds:g} s{' on the loop' if asynchronous else ''}"):
            for _ in range(count):
                self.call(NAP if asynchronous else SLEEP, seconds, model=Model(value=seconds))

    @rule()
    def submit_one_that_fails_and_is_retried(self) -> None:
        with self.step("submit one that fails twice"):
            self.call(FAIL_TWICE, model=Model(value="the third time", retries=2, starts=3))

    @rule()
    def submit_one_that_fails(self) -> None:
        with self.step("submit one that fails"):
            self.call(FAIL, model=Model(Status.FAILED))

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def cancel(self, data: Any) -> None:
        run = self.runs[data.draw(st.integers(0, len(self.runs) - 1))]
        with self.step(f"cancel {run.future.run_id}"):
            was_open = self.oracle.within(10.0, run.future.cancel, "cancel()")
            run.cancelled = run.cancelled or was_open

    @precondition(lambda self: self.awake and not self._replayed)
    @rule()
    def replay_a_dead_letter(self) -> None:
        """A call kills two processes; cured, it is given another life. Once: it takes seconds."""
        self._replayed = True
        antidote = self._folder / "antidote"
        with self.step("submit one that kills two processes, then replay it"):
            self._faults += 2
            run = self.call(tracing.needs_an_antidote, str(antidote), model=Model(value="cured", starts=3))
            run_id = run.future.run_id
            wait_until(lambda: self.oracle.broker.dead_letters.newest() == [run_id], WAIT_SECONDS, "the dead letter")
            antidote.touch()
            self.oracle.about_to_replay(run_id)
            assert self.oracle.within(10.0, lambda: self.fleet.broker.runs.replay([run_id]), "replay()") == [run_id]
            run.future.reopen()
            assert run.future.result(timeout=WAIT_SECONDS) == "cured"

    # -- what happens to the workers and the server ----------------------------------------------------------------

    @initialize()
    def start_the_first_worker(self) -> None:
        self._start_worker()

    @precondition(lambda self: len(self.workers) < MAX_WORKERS)
    @rule()
    def start_another_worker(self) -> None:
        self._start_worker()

    def _start_worker(self) -> None:
        with self.step(f"start worker {len(self._started)}"):
            log = self._folder / f"worker-{len(self._started)}.log"
            process = WorkerProcess(log, self._environment, *APPS)
            self._started.append(process)
            self._stack.callback(process.close)
            self.workers.append(Worker(process))

    def _one_of(self, data: Any, workers: list[Worker]) -> tuple[Worker, str]:
        worker = workers[data.draw(st.integers(0, len(workers) - 1))]
        return worker, f"worker {self._started.index(worker.process)}"

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def kill_a_child(self, data: Any) -> None:
        worker, name = self._one_of(data, self.workers)
        with self.step(f"kill the child of {name}"):
            worker.process.wait_ready(1)
            self._faults += 1
            for pid in worker.process.children()[-1:]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def kill_a_worker(self, data: Any) -> None:
        worker, name = self._one_of(data, self.workers)
        with self.step(f"kill {name}"):
            self._faults += 1
            self.workers.remove(worker)
            worker.process.process.kill()
            worker.process.wait()
            children = worker.process.children()
            wait_until(lambda: not any(is_alive(pid) for pid in children), message="its children die with it")

    @precondition(lambda self: self.awake)
    @rule(data=st.data())
    def freeze_a_worker(self, data: Any) -> None:
        worker, name = self._one_of(data, self.awake)
        with self.step(f"freeze {name}"):
            worker.process.wait_ready(1)
            self._faults += 1
            worker.signal_all(signal.SIGSTOP)
            worker.frozen_at = time.monotonic()

    @precondition(lambda self: self.frozen)
    @rule(data=st.data(), past_its_lease=st.booleans())
    def thaw_a_worker(self, data: Any, past_its_lease: bool) -> None:
        worker, name = self._one_of(data, self.frozen)
        with self.step(f"thaw {name}{' past its lease' if past_its_lease else ''}"):
            over = (worker.frozen_at or 0.0) + 1.3 * LEASE_SECONDS
            wait_until(lambda: not past_its_lease or time.monotonic() > over, message="the lease is over")
            worker.signal_all(signal.SIGCONT)
            worker.frozen_at = None

    @rule()
    def restart_the_server(self) -> None:
        with self.step("restart the server"):
            for worker in self.workers:  # one that is starting would end, and say that there is no server
                worker.process.wait_ready(1)
            self._faults += 1
            self.site.server.kill()
            self.site.server.start()
            wait_until(self._has_read_its_file, 20, "the server has read what it had written")

    def _has_read_its_file(self) -> bool:
        try:
            with self.site.server.client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    @precondition(lambda self: self.awake)
    @rule()
    def wait_for_everything(self) -> None:
        """Time goes on: what is due comes, leases of those that are frozen run out."""
        with self.step("wait for everything"):
            self._await_all()

    # -- the end ---------------------------------------------------------------------------------------------------

    def _await_all(self) -> None:
        self.oracle.await_all([run.future for run in self.runs], WAIT_SECONDS)
        assert not self.oracle.violations, self.oracle.violations

    def teardown(self) -> None:
        with self._stack:
            for worker in self.frozen:
                worker.signal_all(signal.SIGCONT)
            if not self._broken:
                with self.step("the end"):
                    self._end()
                    self._steps.append(f"{time.monotonic() - self._began:6.1f} s  over, {self._faults} faults")
            print("\n".join(self._steps), end="\n\n")

    def _end(self) -> None:
        if not self.workers:
            self._start_worker()
        self._await_all()
        for worker in self.workers:
            worker.process.wait_ready(1)
            worker.process.terminate()
        assert [worker.process.wait() for worker in self.workers] == [0] * len(self.workers)
        records = self.oracle.broker.records.read([run.future.run_id for run in self.runs])
        for run, record in zip(self.runs, records, strict=True):
            self.oracle.expect(run.future.run_id, run.end(record.status))
            told = HANDLE_SAYS[run.model.status](run.future.state)
            assert told, f"the handle of {run.future.run_id} says {run.future.state!r}, the store {record}"
        self.fleet.close()
        violations = self.oracle.judge(faults=self._faults, crashes=self._faults)
        assert not violations, "\n".join(violations)


HANDLE_SAYS: Final = {
    Status.COMPLETED: lambda state: state.is_completed(),
    Status.FAILED: lambda state: state.is_failed(),
    Status.CANCELLED: lambda state: state.is_cancelled(),
    Status.NOT_READY: lambda state: state.name == "NotReady",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    # "no": each write is with the kernel before its reply is sent, and a killed server loses none.
    server = ServerProcess(program_or_skip("embedded"), "--appendonly", "yes", "--appendfsync", "no").start()
    yield Site(server, tmp_path_factory.mktemp("model"))
    server.close()


@pytest.mark.timeout(900 + 60 * EXAMPLES)
def test_whatever_happens_to_workers_and_server_every_run_ends_as_the_model_says(site: Site, thorough: bool) -> None:
    machine = type("Machine", (WorkersMachine,), {"site": site})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES or (12 if thorough else 6),
            stateful_step_count=STEPS,
            derandomize=not EXAMPLES,
            database=None,
            deadline=None,
            phases=[Phase.generate],  # each try takes seconds: what failed is printed as it was
            suppress_health_check=list(HealthCheck),
        ),
    )
