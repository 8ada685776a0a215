"""Which workers live, which tasks they know, and a warning when nobody takes the calls that somebody waits for."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection
from typing import Final

from brokers.base import Broker
from brokers.errors import BrokerError
from orchestrator.client import no_worker
from orchestrator.runnables import registry
from orchestrator.runnables.binding import Lack, Surplus

log = logging.getLogger("orchestrator.fleet")
CHECK_INTERVAL_SECONDS: Final = 0.5  # whoever warns after three seconds' wait has sent its calls before the last look
TRUST_YES_SECONDS: Final = 1.0  # how long it is believed that another worker knows a task,
TRUST_NO_SECONDS: Final = 0.1  # and that none does


class LiveWorkers:
    """The live consumers of a namespace.

    Args:
        broker: knows them.
        lease_seconds: a worker without a heartbeat for so long is not live.
    """

    def __init__(self, broker: Broker, lease_seconds: float) -> None:
        self._broker, self._lease_seconds = broker, lease_seconds
        self._seen: tuple[float, no_worker.Workers] = (0.0, {})

    def all(self) -> dict[str, dict[str, str]]:
        """The description of each by its name. Raises BrokerError."""
        return self._broker.consumers.alive(self._lease_seconds)

    def other_projects(self) -> list[str]:
        """Directories of other projects on the private server that have live workers. Raises BrokerError."""
        return self._broker.consumers.projects(self._lease_seconds)

    def know(
        self, queue: str, task_key: str, script: str | None, *, beside: str, misfit: Surplus | Lack | None = None
    ) -> bool:
        """Whether a live worker of the queue, other than the one named ``beside``, knows a task. Raises BrokerError.

        ``misfit``: in a version that may take this call.
        """

        def known(workers: no_worker.Workers) -> bool:
            others = [facts for name, facts in workers.items() if name != beside]
            knowing = [facts for facts in others if no_worker.knows(facts, queue, task_key, script)]
            if misfit is None:
                return bool(knowing)
            versions = [no_worker.parameters_of(facts, task_key) for facts in knowing]
            return any(misfit.fits(names) for names in versions if names is not None)

        now = time.monotonic()
        since, workers = self._seen
        if now - since > (TRUST_YES_SECONDS if known(workers) else TRUST_NO_SECONDS):
            workers = self.all()
            self._seen = now, workers
        return known(workers)


class IdleQueueWarning:
    """Warns once per queue that no live worker serves, and once per task that none knows.

    Args:
        workers: those that live.
        project: of this process, on the private server.
    """

    def __init__(self, workers: LiveWorkers, project: str | None) -> None:
        self._workers, self._project = workers, project
        self._warned: set[str] = set()
        self._checking = threading.Lock()
        self._checked = -CHECK_INTERVAL_SECONDS

    def check(self, waiting: int, calls: Collection[tuple[str, str, str | None]], worker: str) -> None:
        """Look at the workers, and warn; at most once in a while, and in one thread at a time.

        Args:
            waiting: how many runs somebody waits for.
            calls: queue, task and script of what this process has sent.
            worker: the name under which this process takes calls, if it does.
        """
        if time.monotonic() - self._checked < CHECK_INTERVAL_SECONDS:  # for another one of many that wait
            return
        if not self._checking.acquire(blocking=False):  # another thread that waits as well is asking
            return
        try:
            self._checked = time.monotonic()
            self._warn(waiting, calls, worker)
        finally:
            self._checking.release()

    def _warn(self, waiting: int, calls: Collection[tuple[str, str, str | None]], worker: str) -> None:
        try:
            workers = self._workers.all()
            if worker in workers:  # the next heartbeat names what this process has defined since the last
                workers[worker]["tasks"] = ",".join(registry.keys())
            hints = no_worker.hints(list(calls), workers)
            if hints and self._project is not None:
                elsewhere = no_worker.text_of_projects(self._workers.other_projects())
                hints = {subject: text + elsewhere for subject, text in hints.items()}
        except BrokerError as error:
            log.warning("waiting for %d runs; the server does not answer: %s", waiting, error)
            return
        for subject in hints.keys() - self._warned:
            self._warned.add(subject)
            log.warning("waiting for %d runs, but %s", waiting, hints[subject])
