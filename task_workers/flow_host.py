"""The process that serves deployments: a supervisor whose children run one flow run each.

Children are forked from a template process that has loaded the flows' modules, with this process's module path and
working directory. Flows that are in no file (a notebook's) run in threads of this process, beside the children.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from orchestrator.client.fleet import Fleet, current_fleet
from orchestrator.client.project import pass_to_children
from orchestrator.deployments.record import KIND
from orchestrator.deployments.schedules import owner_of
from orchestrator.errors import ScriptError
from orchestrator.maintenance import Chore
from orchestrator.maintenance.backlog_watch import BacklogWatch
from orchestrator.runner.host import ServedFlows
from orchestrator.slots import SlotsOptions
from orchestrator.slots.local_workers import LocalWorkers
from orchestrator.work_pools.members import PoolMembers
from task_workers.options import WorkerOptions
from task_workers.serving import finish, signal_came, signals
from task_workers.supervisor.child_starter import ChildStarter
from task_workers.supervisor.supervisor import Supervisor

LONGEST_NAME: Final = 60
MARK_SECONDS: Final = 5.0  # a third of the time after which schedules of a deployment are held: see the ticker
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9_.-]+")


class ServedMark(Chore):
    """Notes every few seconds that these deployments are being served, and has their schedules fire what was held.

    Args:
        fleet: whose store.
        deployments: gives their ids.
        restore: called when the store does not know all of them.
    """

    name = "served-mark"

    def __init__(
        self, fleet: Fleet, deployments: Callable[[], Sequence[str]], restore: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__()
        self._fleet, self._deployments, self._restore = fleet, deployments, restore

    def run_once(self) -> float:
        deployments = self._deployments()
        if deployments and self._touch(deployments) < len(deployments):
            self._restore()
            self._touch(deployments)
        for deployment in deployments:
            self._fleet.broker.ticks.release(owner_of(deployment))
        return MARK_SECONDS

    def _touch(self, deployments: Sequence[str]) -> int:
        return self._fleet.broker.documents.touch(KIND, deployments, "st")


class FlowHost:
    """See :class:`orchestrator.runner.host.Host`.

    Args:
        served: which flows, and how many runs at once.
    """

    def __init__(self, served: ServedFlows) -> None:
        self._served = served
        self._stopped = threading.Event()
        self._supervisor: Supervisor | None = None

    def run(self) -> bool:
        """Work until stopped, see :meth:`orchestrator.runner.host.Host.run`."""
        fleet = current_fleet()
        pass_to_children()
        if not self._served.queues:
            return self._run_here(fleet)
        with self._beside(fleet):
            return self._run_children(fleet)

    def stop(self) -> None:
        """End it, from any thread; a second time at once."""
        self._stopped.set()
        if self._supervisor is not None:
            self._supervisor.stop()

    def _obey_stop(self) -> None:
        if not self._stopped.is_set():  # an order is sent again and again: a second one kills nothing
            self.stop()

    # -- flows that children load --------------------------------------------------------------------------------

    def _run_children(self, fleet: Fleet) -> bool:
        options = options_of(self._served, fleet)
        starter = ChildStarter(options)
        try:
            self._supervisor = Supervisor(fleet, options, starter, [self._mark(fleet)])
            if self._stopped.is_set():
                return True
            code = self._supervisor.run()
        finally:
            starter.close()
        if self._supervisor.failure is not None:
            raise ScriptError(f"the flows cannot be served: {self._supervisor.failure}")
        return code == 0

    def _mark(self, fleet: Fleet) -> ServedMark:
        return ServedMark(fleet, self._deployments_of(fleet), self._served.restore)

    def _deployments_of(self, fleet: Fleet) -> Callable[[], Sequence[str]]:
        if self._served.pool_name:
            return PoolMembers(fleet.broker, self._served.pool_name)
        return lambda: self._served.deployments

    # -- flows of this process -----------------------------------------------------------------------------------

    @contextmanager
    def _beside(self, fleet: Fleet) -> Iterator[None]:
        if not self._served.local_queues:
            yield
            return
        workers = self._start_here(fleet)
        try:
            yield
        finally:
            workers.stop(fleet.settings.shutdown_timeout_seconds)

    def _start_here(self, fleet: Fleet) -> LocalWorkers:
        options = SlotsOptions(self._served.local_queues, self._served.limit, for_flow_runs=True)
        workers = LocalWorkers(fleet, options, on_stop=self._obey_stop)
        workers.start()
        return workers

    def _run_here(self, fleet: Fleet) -> bool:
        with signals() as arrived:
            workers, mark = self._start_here(fleet), self._mark(fleet)
            mark.start()
            backlog = BacklogWatch(fleet, self._served.local_queues)
            while not self._stopped.is_set() and not signal_came(arrived):
                if self._served.run_once and backlog.is_empty([workers.slots.consumer]):
                    break
            mark.stop()
            finish(workers, arrived, fleet.settings.shutdown_timeout_seconds)
        return True


def options_of(served: ServedFlows, fleet: Fleet) -> WorkerOptions:
    """What the supervisor is asked to be."""
    settings = fleet.settings
    return WorkerOptions(
        served.code,
        processes=served.limit,
        queues=served.queues,
        name=_NOT_IN_NAMES.sub("-", served.name)[:LONGEST_NAME] or "serve",
        async_concurrency=1,
        max_tasks_per_child=1,
        shutdown_timeout_seconds=settings.shutdown_timeout_seconds,
        burst=served.run_once,
        log_level=settings.log_level,
        log_format=settings.log_format,
        health_port=served.health_port,
        listen=served.listen,
        for_flow_runs=True,
        python_path=tuple(sys.path),
    )
