"""A shop for tests: its broker, its worker (an unmodified ``celery worker``), its application as a client sees it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from celery import Celery

from orchestrator.client.fleet import Fleet
from orchestrator.contrib.celery import CeleryTask, celery_task
from tests.support.celery_engine import CeleryWorker
from tests.support.engines import ROOT, environment_of
from tests.support.servers import ServerProcess
from tests.support.worker_process import clean_environment


def redis_broker(server: ServerProcess, database: int = 3) -> str:
    """A database of a server, as Celery knows it."""
    return f"redis+socket://{server.socket}?virtual_host={database}"


@dataclass
class ForeignShop:
    """One shop.

    Args:
        broker: its broker's URL.
        backend: its result backend's URL, if it has one.
        line: "report" or "install", the line that its module has been given; or "".
    """

    broker: str
    backend: str | None = None
    line: str = ""
    queue: str = field(default_factory=lambda: f"q-{secrets.token_hex(4)}")  # tests share brokers

    @property
    def app(self) -> Any:
        """What a client needs: no code of the tasks."""
        if not hasattr(self, "_app"):
            self._app = Celery("client", broker=self.broker, backend=self.backend, set_as_current=False)
            self._app.conf.task_default_queue = self.queue
        return self._app

    def task(self, name: str, **options: Any) -> CeleryTask:
        """A handle on one of its tasks."""
        return celery_task(f"foreign.{name}", app=self.app, **options)

    def environment(self, fleet: Fleet | None) -> dict[str, str]:
        """Of its worker; it knows our store only where it has been given our line."""
        kept = environment_of(fleet.settings) if fleet is not None and self.line else clean_environment()
        mine = {"SHOP_BROKER": self.broker, "SHOP_BACKEND": self.backend or "", "SHOP_QUEUE": self.queue}
        return {**kept, **mine, "SHOP_LINE": self.line, "PYTHONPATH": str(ROOT)}

    def start_worker(self, fleet: Fleet | None, *options: str, folder: Path = ROOT) -> CeleryWorker:
        """``celery -A tests.support.apps.foreign worker``."""
        name = f"w{secrets.token_hex(4)}@%h"
        arguments = ["-c", "2", "-n", name, "-l", "info", *options]
        return CeleryWorker(arguments, self.environment(fleet), str(folder), app="tests.support.apps.foreign")
