"""A client and a worker of one namespace, each behind a proxy of its own, in one process.

Several rigs may be used at once, each by a thread of its own: ``task.delay`` and the like find the fleet of the rig
that their thread has entered.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from orchestrator.client.fleet import Fleet
from orchestrator.errors import BrokerError
from orchestrator.settings import Settings
from orchestrator.slots import SlotsOptions
from orchestrator.slots.local_workers import LocalWorkers
from tests.support.fault_proxy import FaultProxy
from tests.support.oracle import Oracle
from tests.support.servers import ServerProcess
from tests.support.waiting import wait_until

COMMAND_TIMEOUT_SECONDS: Final = 0.5
LATE_SECONDS: Final = 0.8
"""A late reply comes after the command's timeout and before the lease ends, as 6 s do with the defaults."""
QUICK: Final[dict[str, Any]] = {
    "lease_seconds": 1.0,
    "beat_seconds": 0.3,
    "command_timeout_seconds": COMMAND_TIMEOUT_SECONDS,
    "connect_timeout_seconds": 0.5,
    "result_ttl_seconds": 120.0,
    "dead_letter_ttl_seconds": 120.0,
    "map_blocks": True,
}
_here = threading.local()


def fleet_here() -> Fleet:
    """The fleet of the rig that this thread has entered."""
    fleet: Fleet = _here.fleet
    return fleet


@pytest.fixture
def fleets_by_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have calls use the fleet of their thread's rig."""
    monkeypatch.setattr("orchestrator.submission.send.current_fleet", fleet_here)
    monkeypatch.setattr("orchestrator.submission.send.fleet_is_ready", lambda with_inbox: True)


class RigWorker:
    """A worker in this process: slots and chores, on a fleet of their own."""

    def __init__(self, url: str, namespace: str, threads: int = 1, **settings: Any) -> None:
        self.fleet = Fleet(Settings(redis_url=url, namespace=namespace, **(QUICK | settings)))
        self.workers = LocalWorkers(self.fleet, SlotsOptions(("default",), threads))

    @property
    def consumer(self) -> str:
        return self.workers.slots.consumer

    def start(self) -> RigWorker:
        """Start, as often as it takes: that is what a child process does."""

        def started() -> bool:
            try:
                self.workers.start()
            except BrokerError:
                return False
            return True

        wait_until(started, message="the worker starts")
        return self

    def stop(self, grace_seconds: float = 5.0) -> None:
        self.workers.stop(grace_seconds)
        self.fleet.close()


class Rig:
    """The client's and the worker's side. A context manager; entered by the thread that uses it."""

    def __init__(self, server: ServerProcess, folder: Path, **settings: Any) -> None:
        self.namespace = f"f-{secrets.token_hex(6)}"
        self.trace = folder / f"{self.namespace}.trace"
        self.settings = settings
        self.oracle = Oracle(server, self.namespace, self.trace, is_told=True)
        self.client_proxy = FaultProxy(server.url, on_reply=self.oracle.look_soon)
        self.worker_proxy = FaultProxy(server.url, on_reply=self.oracle.look_soon)
        self._stack = ExitStack()

    def __enter__(self) -> Rig:
        for part in (self.client_proxy, self.worker_proxy, self.oracle):
            self._stack.enter_context(part)
        settings = Settings(redis_url=self.client_proxy.url, namespace=self.namespace, **(QUICK | self.settings))
        self.fleet = Fleet(settings)
        self._stack.callback(self.fleet.close)
        _here.fleet = self.fleet
        return self

    def __exit__(self, *exc_info: object) -> None:
        del _here.fleet
        self._stack.close()
        self.trace.unlink(missing_ok=True)

    @staticmethod
    def use(fleet: Fleet) -> None:
        """Have this thread's calls go to another fleet."""
        _here.fleet = fleet

    def worker(self, threads: int = 1, **settings: Any) -> RigWorker:
        """Another worker, not started."""
        return RigWorker(self.worker_proxy.url, self.namespace, threads, **(self.settings | settings))

    @contextlib.contextmanager
    def working(self, threads: int = 1) -> Iterator[RigWorker]:
        """A worker for the length of the block."""
        worker = self.worker(threads).start()
        try:
            yield worker
        finally:
            worker.stop()
