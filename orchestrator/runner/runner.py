"""``Runner``: registers deployments and runs their flow runs, until it is stopped."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from uuid import UUID, uuid4

from orchestrator.errors import ConfigurationError
from orchestrator.runner.host import Host, ServedFlows, find_host
from orchestrator.runner.served_deployment import ServedDeployment, check, lost_of, register
from orchestrator.runner.stop_signals import obeying_signals

log = logging.getLogger("orchestrator.runner")
DEFAULT_LIMIT: Final = 5
HEALTH_PORT: Final = 8080  # as Prefect's runner


class Runner:
    """A server of deployments.

    Args:
        name: for people, and the name of deployments that are added without one; no ``/`` or ``%``. A random one unless
            given.
        query_seconds, prefetch_seconds, heartbeat_seconds: accepted; nothing is polled for here, and a process that
            dies is noticed within its lease.
        limit: flow runs at once; ``None``: 5.
        pause_on_shutdown: accepted. Schedules are people's to pause: when the last server of a deployment ends, its
            ticks count as missed and are caught up as the schedule says.
        webserver: answer probes (``/live``, ``/ready``) at port 8080 of this machine.

    Raises:
        ValueError: a name or a limit that is not allowed.

    Follows Prefect 3 (``prefect.runner.Runner``).

    >>> Runner(name="a/b")
    Traceback (most recent call last):
    ValueError: a runner cannot be called 'a/b': '/' and '%' are not allowed in its name
    """

    def __init__(
        self,
        name: str | None = None,
        query_seconds: float | None = None,
        prefetch_seconds: float = 10,
        heartbeat_seconds: float | None = None,
        limit: int | None = None,
        pause_on_shutdown: bool = False,
        webserver: bool = False,
    ) -> None:
        if name is not None and ("/" in name or "%" in name):
            raise ValueError(f"a runner cannot be called {name!r}: '/' and '%' are not allowed in its name")
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
            raise ValueError(
                f"limit={limit!r} is not allowed: a number of flow runs from 1, or None for {DEFAULT_LIMIT}"
            )
        self.name = name or f"runner-{uuid4()}"
        self.limit = DEFAULT_LIMIT if limit is None else limit
        self.pause_on_shutdown, self.webserver = pause_on_shutdown, webserver
        self.deployments: list[ServedDeployment] = []
        self._declared: list[Any] = []  # the same, as they were given
        self._lost: list[Any] = []  # of these, what has to be written again
        self._host: Host | None = None
        self._stopped = False

    @property
    def started(self) -> bool:
        """Whether it runs flows now."""
        return self._host is not None

    # -- what it serves ------------------------------------------------------------------------------------------

    def add_deployment(self, deployment: Any) -> UUID:
        """Register a deployment (create it, or change what it says) and serve it; returns its id.

        Raises:
            ValueError: this runner serves one of that name already.
            ConfigurationError: it belongs to a work pool, whose workers run its flow.
            BrokerError: the server does not answer.
        """
        check([deployment], self.deployments)
        served = register(deployment)
        self.deployments.append(served)
        self._declared.append(deployment)
        return UUID(served.id)

    async def aadd_deployment(self, deployment: Any) -> UUID:
        """:meth:`add_deployment` without blocking the event loop."""
        return await asyncio.to_thread(self.add_deployment, deployment)

    def add_flow(self, flow: Any, name: str | None = None, **options: Any) -> UUID:
        """Make a deployment of a flow and serve it; returns its id.

        Args:
            flow: the flow.
            name: of the deployment; the runner's unless given.
            options: those of :meth:`orchestrator.flows.Flow.to_deployment`.

        Raises:
            ValueError, BrokerError: as for :meth:`add_deployment`.
        """
        return self.add_deployment(flow.to_deployment(name or self.name, **options))

    async def aadd_flow(self, flow: Any, name: str | None = None, **options: Any) -> UUID:
        """:meth:`add_flow` without blocking the event loop."""
        return await asyncio.to_thread(self.add_flow, flow, name, **options)

    # -- its life ------------------------------------------------------------------------------------------------

    async def start(self, run_once: bool = False, webserver: bool | None = None) -> None:
        """Run what comes, until SIGTERM, Ctrl-C, :meth:`stop`, or until the awaiting task is cancelled.

        Args:
            run_once: end as soon as nothing that is due is left to run.
            webserver: answer probes, whatever the runner was made with.

        Raises:
            ConfigurationError: nothing was added.
            ScriptError: the code of a flow cannot be loaded in another process.
            SystemExit: what ran was killed by a second signal.
        """
        with self._begun(run_once, webserver) as host, obeying_signals(host.stop):
            working = asyncio.ensure_future(asyncio.to_thread(host.run))
            try:
                clean = await asyncio.shield(working)
            except asyncio.CancelledError:
                host.stop()
                await working
                raise
        _end(clean)

    def run(self, run_once: bool = False, webserver: bool | None = None) -> None:
        """:meth:`start` for programs without an event loop: returns when it has ended."""
        with self._begun(run_once, webserver) as host:
            clean = host.run()
        _end(clean)

    def stop(self) -> None:
        """Finish the flow runs that are at work, for at most the shutdown timeout, and end. From any thread.

        A second call ends them now; they are run again by whoever serves their deployments.
        """
        self._stopped = True
        if self._host is not None:
            self._host.stop()

    @contextmanager
    def _begun(self, run_once: bool, webserver: bool | None) -> Iterator[Host]:
        if not self.deployments:
            raise ConfigurationError(f"the runner {self.name!r} has nothing to serve: add_flow() or add_deployment()")
        host = self._host = find_host()(self._served(run_once, self.webserver if webserver is None else webserver))
        if self._stopped:
            host.stop()
        try:
            yield host
        finally:
            self._host = None

    def _served(self, run_once: bool, webserver: bool) -> ServedFlows:
        code = dict.fromkeys(place for each in self.deployments for place in each.code)
        return ServedFlows(
            self.name,
            queues=tuple(each.queue for each in self.deployments if not each.is_local),
            code=tuple(code),
            local_queues=tuple(each.queue for each in self.deployments if each.is_local),
            limit=self.limit,
            run_once=run_once,
            health_port=HEALTH_PORT if webserver else None,
            deployments=tuple(each.id for each in self.deployments),
            restore=self._restore,
        )

    def _restore(self) -> None:
        """Register again what a store that came back empty has lost. Raises BrokerError: the rest comes next time."""
        self._lost += [each for each in lost_of(self._declared) if each not in self._lost]
        while self._lost:
            lost = self._lost[0]
            lost.apply()
            log.warning("the store had lost the deployment %r: it has been registered again", lost.full_name)
            self._lost.pop(0)


def _end(clean: bool) -> None:
    if not clean:
        sys.exit(1)
