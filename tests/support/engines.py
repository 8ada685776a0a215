"""The engines that the behaviour suite runs on. Another engine is another one of ``ROWS``."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Protocol

from pydantic import SecretStr

from orchestrator.configuration.names import variable_of
from orchestrator.settings import Settings
from tests.support.celery_engine import CeleryFleet
from tests.support.forked import ForkedProcess, can_be_forked, fork
from tests.support.servers import ServerProcess

ROOT = Path(__file__).parents[2]


class Worker:
    """A worker process of a test: can be asked to stop, or killed."""

    def __init__(self, arguments: list[str], environment: dict[str, str]) -> None:
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = self._started(arguments, environment)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line == b"ready\n", f"the worker did not start: {line!r} {self.output}"

    def _started(self, arguments: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes] | ForkedProcess:
        if can_be_forked(environment, str(ROOT)):
            return fork("light", arguments, environment, str(ROOT), self._log, pipes=True, new_session=False)
        command = [sys.executable, "-m", "tests.support.light_worker", *arguments]
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, env=environment, cwd=ROOT
        )

    @property
    def output(self) -> str:
        """What it has written to its standard error."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    def kill(self) -> None:
        """SIGKILL: it cannot say good-bye."""
        self.process.kill()
        self.process.communicate()

    def stop(self) -> None:
        """Ask it to stop, and make sure that none of its threads has died meanwhile."""
        if self._log.closed:
            return
        killed = self.process.poll() is not None
        self.process.communicate(timeout=20)
        if not killed:
            assert self.process.returncode == 0, self.output
        assert "Exception in thread" not in self.output, self.output
        self._log.close()

    def retire(self) -> None:
        """It stops too quickly to do something else meanwhile."""
        self.stop()


class StartedWorker(Protocol):
    """A worker process of a test."""

    process: subprocess.Popen[bytes] | ForkedProcess

    @property
    def output(self) -> str:
        """What it has written."""

    def kill(self) -> None:
        """SIGKILL."""

    def stop(self) -> None:
        """Ask it to stop, and make sure that it was well."""

    def retire(self) -> None:
        """The same, where nobody needs to wait for it."""


class Engine(Protocol):
    """What the behaviour suite must know of an engine."""

    name: str

    def settings(self, server: ServerProcess, namespace: str, **more: object) -> Settings:
        """The settings of a client or worker."""

    def start_worker(self, settings: Settings, *apps: str, queues: str = "default", threads: int = 2) -> StartedWorker:
        """A worker that knows the tasks of these modules, once it is ready."""


class RedisFleet:
    """Engine 1: Redis Streams, with light workers."""

    name = "redis"

    def settings(self, server: ServerProcess, namespace: str, **more: object) -> Settings:
        return Settings(
            redis_url=server.url_for(namespace), namespace=namespace, secret_key="a key of the tests", **more
        )

    def start_worker(self, settings: Settings, *apps: str, queues: str = "default", threads: int = 2) -> Worker:
        return Worker([*apps, "--queues", queues, "--threads", str(threads)], environment_of(settings))


def environment_of(settings: Settings) -> dict[str, str]:
    """The environment in which another process has these settings, and no others."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATOR_")}
    for name in settings.model_fields_set:
        value = getattr(settings, name)
        if value is not None:
            kept[variable_of(name)] = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
    return {**kept, "PYTHONPATH": str(ROOT), "ORCHESTRATOR_PROFILES_PATH": os.devnull}


def redis_fleet() -> Engine:
    """Engine 1."""
    return RedisFleet()


def celery_over_redis() -> Engine:
    """Engine 2, with a Redis that carries the calls: the store's own, another database of it."""
    return CeleryFleet(
        "celery+redis",
        lambda server: f"celery+redis+socket://{server.socket}?virtual_host=1",
        environment_of,
        str(ROOT),
    )


def celery_over_amqp(broker_url: str) -> Engine:
    """Engine 2, with RabbitMQ."""
    return CeleryFleet("celery+amqp", lambda server: f"celery+{broker_url}", environment_of, str(ROOT))


ROWS = ("embedded", "redis-server", "celery+redis", "celery+amqp")
"""What the behaviour suite runs on: engine 1 on either server, engine 2 over either broker."""
