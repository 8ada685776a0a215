"""A worker of a pool whose runs are containers: this process starts them, and runs no code of flows itself."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

from orchestrator.client.fleet import Fleet
from orchestrator.client.project import pass_to_children
from orchestrator.errors import ConfigurationError
from orchestrator.maintenance.backlog_watch import BacklogWatch
from orchestrator.maintenance.chore import Chore
from orchestrator.runner.host import ServedFlows
from orchestrator.settings import Settings
from orchestrator.slots import SlotsOptions
from orchestrator.slots.consumer import MakeDoor
from orchestrator.slots.held_calls import HeldCalls
from orchestrator.slots.lane_host import Codec
from orchestrator.slots.local_workers import LocalWorkers
from orchestrator.work_pools.base_templates import DOCKER, KUBERNETES
from orchestrator.work_pools.record import WorkPool
from orchestrator.work_pools.run_labels import labels_of_pool
from task_workers.flow_host import ServedMark
from task_workers.health.probe_server import HOSTS_OF_THIS_MACHINE
from task_workers.infrastructure.adoption import Adoption
from task_workers.infrastructure.base import Handle, Infrastructure
from task_workers.infrastructure.docker import Docker
from task_workers.infrastructure.door import InfrastructureDoor, Pool
from task_workers.infrastructure.kubernetes import Kubernetes
from task_workers.infrastructure.masking import Mask, MaskedInfrastructure, secrets_of
from task_workers.serving import finish, signal_came, signals

log = logging.getLogger("orchestrator.worker")
KINDS: Final[dict[str, Callable[[], Infrastructure]]] = {DOCKER: Docker, KUBERNETES: Kubernetes}


def infrastructure_of(kind: str) -> Infrastructure:
    """What starts runs of a type of pools.

    Raises:
        ConfigurationError: nothing here does. InfrastructureError: its program is not on PATH.
    """
    if kind not in KINDS:
        raise ConfigurationError(f"work pools of the type {kind!r} need a newer worker")
    made = KINDS[kind]()
    made.check()
    return made


def unreachable_store(settings: Settings) -> str:
    """Why what is started here may not reach the store; empty where nothing is known against it.

    >>> unreachable_store(Settings(redis_url="redis://redis.shop.example/0"))
    ''
    >>> unreachable_store(Settings(redis_url="redis://127.0.0.1:6379")).partition(":")[0]
    'the store is at 127.0.0.1, which in a container is the container itself'
    """
    remedy = "give runs another one with the job variable env: {'ORCHESTRATOR_REDIS_URL': ...}, or network_mode: host"
    if settings.private:
        return (
            "the store is the private server of this user, which containers and pods cannot reach: set "
            "ORCHESTRATOR_REDIS_URL"
        )
    host = urlsplit(settings.redis_url or settings.broker_url or "").hostname
    if host in HOSTS_OF_THIS_MACHINE:
        return f"the store is at {host}, which in a container is the container itself: {remedy}"
    return ""


class InfrastructureWorker:
    """Works for a pool until it is stopped.

    Args:
        fleet: whose store.
        served: the queues, how many runs at once, and how it ends.
        pool: its pool.
        infrastructure: what starts its runs; secrets of this process are masked in what comes from there.
        mark: notes that the deployments of the pool are served.
    """

    def __init__(
        self, fleet: Fleet, served: ServedFlows, pool: WorkPool, infrastructure: Infrastructure, mark: ServedMark
    ) -> None:
        self._fleet, self._served, self._mark = fleet, served, mark
        pass_to_children()
        labels = labels_of_pool(fleet.broker.namespace, pool.id)
        self._pool = Pool(pool.name, labels, dict(os.environ))
        infrastructure = MaskedInfrastructure(infrastructure, Mask(secrets_of(self._pool.environ)))
        self._infrastructure = infrastructure
        self._stopped = threading.Event()
        self._watched: set[Handle] = set()
        options = SlotsOptions(served.queues, served.limit, for_flow_runs=True)
        self._workers = LocalWorkers(
            fleet, options, on_stop=self._stopped.set, make_door=self._door(), name=served.name
        )
        self._adoption = Adoption(fleet, pool.name, labels, infrastructure, self._watched, self._is_draining)

    def run(self) -> bool:
        """Work until SIGTERM, Ctrl-C or an order to stop; runs that have begun go on without it."""
        if unreachable := unreachable_store(self._fleet.settings):
            log.warning("%s", unreachable)
        with signals() as arrived, self._probed():
            self._workers.start()
            chores: list[Chore] = [self._mark, self._adoption]
            for chore in chores:
                chore.start()
            backlog = BacklogWatch(self._fleet, self._served.queues)
            while not self._stopped.is_set() and not signal_came(arrived):
                slots = self._workers.slots
                if self._served.run_once and not slots.running_calls and backlog.is_empty([slots.consumer]):
                    break
            self._stopped.set()
            for chore in chores:
                chore.stop()
            finish(self._workers, arrived, self._fleet.settings.shutdown_timeout_seconds)
        return True

    def _is_draining(self) -> bool:
        return self._stopped.is_set()

    def _door(self) -> MakeDoor:
        def make(calls: HeldCalls, codec: Codec) -> InfrastructureDoor:
            return InfrastructureDoor(
                self._fleet, self._pool, self._infrastructure, calls, codec, calls.consumer, self._watched
            )

        return make

    @contextmanager
    def _probed(self) -> Iterator[None]:
        """Answer probes: alive, and ready while the store has answered lately."""
        if self._served.health_port is None:
            yield
            return
        from task_workers.health.probe_server import ProbeServer, json_answer

        ready = self._is_ready
        server = ProbeServer(
            self._served.listen,
            self._served.health_port,
            {
                "/live": lambda accept: json_answer(True, {"alive": True}),
                "/ready": lambda accept: json_answer(ready(), {"ready": ready()}),
            },
        )
        server.open()
        log.info("%s at %s", ", ".join(server.paths), server.url)
        try:
            yield
        finally:
            server.close()

    def _is_ready(self) -> bool:
        lately = time.monotonic() - self._workers.slots.answered_at < 2 * self._fleet.settings.lease_seconds
        return lately and not self._stopped.is_set()
