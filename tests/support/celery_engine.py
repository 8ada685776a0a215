"""Engine 2 for the behaviour suite: real Celery workers, over RabbitMQ or over Redis."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import IO

from orchestrator.settings import Settings
from tests.support.ends import all_of
from tests.support.forked import ForkedProcess, can_be_forked, fork
from tests.support.servers import ServerProcess, dying_with_us
from tests.support.waiting import wait_until

ALONE = ("--without-mingle", "--without-gossip")
"""It asks no other worker for news and hears of none: a second of each start. ``orchestrator worker``, which tests of
the command line start, does both."""

STOP_SECONDS = 60.0
"""How long a warm shutdown may take. One that begins between the acceptance of a task and its outcome takes 30 s: the
pool forgets the task, and billiard's child waits so long for somebody to read the outcome."""


class CeleryWorker:
    """``celery -A task_workers.celery worker`` (or that of another application), for a test."""

    def __init__(
        self,
        arguments: list[str],
        environment: dict[str, str],
        folder: str,
        ready: bool = True,
        app: str = "task_workers.celery",
    ) -> None:
        self._asked = False
        self.node = ""  # its name, where a test gave it one
        self._log: IO[bytes] = tempfile.NamedTemporaryFile(suffix=".log")  # noqa: SIM115
        self.process = self._started(["-A", app, "worker", *ALONE, *arguments], environment, folder)
        if ready:
            self.wait_output("ready.")

    def _started(
        self, arguments: list[str], environment: dict[str, str], folder: str
    ) -> subprocess.Popen[bytes] | ForkedProcess:
        environment = {**environment, "C_FORCE_ROOT": "1"}
        if can_be_forked(environment, folder) and not {"gevent", "eventlet"} & set(arguments):  # these patch at first
            return fork("celery", arguments, environment, folder, self._log, pipes=False, new_session=True)
        return subprocess.Popen(
            dying_with_us([sys.executable, "-m", "celery", *arguments]),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=folder,
            start_new_session=True,
        )

    def wait_output(self, text: str, seconds: float = 60.0) -> None:
        """Until it has written this."""
        wait_until(lambda: text in self.output or self._has_ended(), seconds, message=f"the worker writes {text!r}")
        assert text in self.output, self.output

    def _has_ended(self) -> bool:
        return self.process.poll() is not None

    @property
    def output(self) -> str:
        """What it has written."""
        with open(self._log.name, "rb") as file:
            return file.read().decode(errors="replace")

    def children(self) -> list[int]:
        """The process ids of its pool."""
        told = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, check=False, text=True)
        return [int(line) for line in told.stdout.split()]

    def kill(self) -> None:
        """SIGKILL: it cannot say good-bye."""
        self.process.kill()
        self.process.wait(20)

    def retire(self) -> None:
        """Ask it to stop, and let the next test begin meanwhile; see :func:`collect_retired`."""
        collect_retired(those_that_ended=True)
        if self._log.closed:
            return
        if not self._has_ended():
            self._ask_to_stop()
        _retired.append(self)

    def _ask_to_stop(self) -> None:
        if not self._asked:  # a second SIGTERM means at once
            self._asked = True
            self.process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """SIGTERM, a warm shutdown."""
        if self._log.closed:
            return
        if self.process.poll() is None:
            self._ask_to_stop()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait(20)
                raise AssertionError(f"the worker did not stop: {self.output[-3000:]}") from None
        assert "Exception in thread" not in self.output, self.output
        self._log.close()


_retired: list[CeleryWorker] = []


def collect_retired(those_that_ended: bool = False) -> None:
    """Make sure that the retired workers were well: called by the next to retire, and before their servers end."""
    collected = [worker for worker in _retired if worker._has_ended() or not those_that_ended]
    _retired[:] = [worker for worker in _retired if worker not in collected]
    all_of(worker.stop for worker in collected)


class CeleryFleet:
    """Calls carried by a broker that Celery knows.

    Args:
        name: of the row.
        broker_url: ``ORCHESTRATOR_BROKER_URL`` for a store.
        environment_of: see :func:`tests.support.engines.environment_of`.
    """

    def __init__(
        self,
        name: str,
        broker_url: Callable[[ServerProcess], str],
        environment_of: Callable[[Settings], dict[str, str]],
        folder: str,
    ) -> None:
        self.name = name
        self._broker_url, self._environment_of, self._folder = broker_url, environment_of, folder

    def settings(self, server: ServerProcess, namespace: str, **more: object) -> Settings:
        return Settings(
            redis_url=server.url_for(namespace),
            broker_url=self._broker_url(server),
            namespace=namespace,
            secret_key="a key of the tests",
            **more,
        )

    def start_worker(
        self, settings: Settings, *apps: str, queues: str = "default", threads: int = 2, pool: str = "prefork"
    ) -> CeleryWorker:
        environment = {
            **self._environment_of(settings),
            "ORCHESTRATOR_WORKER_APP": ",".join(apps),
            "ORCHESTRATOR_WORKER_QUEUES": queues,
        }
        name = f"w{secrets.token_hex(4)}@%h"  # two of one name would fight for the queue of its remote control
        return CeleryWorker(["-P", pool, "-c", str(threads), "-n", name, "-l", "info"], environment, self._folder)
