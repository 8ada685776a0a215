"""What a worker does beside running calls, whoever runs them: its chores, its inbox, the commands that come there."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from brokers.base import Inbox
from orchestrator.client.fleet import Fleet
from orchestrator.errors import BrokerError
from orchestrator.maintenance.backlog_watch import BacklogWatch
from orchestrator.maintenance.chore import Chore
from orchestrator.maintenance.event_watch import EventWatch
from orchestrator.maintenance.flow_watch import FlowWatch
from orchestrator.maintenance.heartbeat import Heartbeat
from orchestrator.maintenance.janitor import Janitor
from orchestrator.maintenance.mover import Mover
from orchestrator.maintenance.reactor import Reactor
from orchestrator.maintenance.rescue import Rescue
from orchestrator.maintenance.ticker import Ticker

log = logging.getLogger("orchestrator.worker")
Command = tuple[str, str]
"""What is to be done, and to which run or queue."""


class WorkerHost:
    """The same for a supervisor, a Celery worker and workers in this process.

    Args:
        fleet: where the calls come from.
        living: the live consumers with their descriptions; asked before each heartbeat.
        queues: what the worker reads.
        on_stop: called when somebody orders the worker to stop, once per message, however often it is named there.
        on_pause: called with whether no new calls are to be taken.

    Attributes:
        reactor: looks at events, and says when calls of actions wait.
    """

    def __init__(
        self,
        fleet: Fleet,
        living: Callable[[], Mapping[str, Mapping[str, str]]],
        *,
        queues: Sequence[str] = (),
        on_stop: Callable[[], object] = lambda: None,
        on_pause: Callable[[bool], object] = lambda paused: None,
    ) -> None:
        self._fleet, self._living, self._on_stop, self._on_pause = fleet, living, on_stop, on_pause
        self._name = ""
        rescue = Rescue(fleet)
        self._heartbeat = Heartbeat(fleet, living, rescue.take_over)
        self._chores: list[Chore] = [self._heartbeat, rescue, Mover(fleet)]
        self.reactor = Reactor(fleet)
        self._chores += [FlowWatch(fleet), Janitor(fleet), Ticker(fleet), EventWatch(fleet), self.reactor]
        self._listeners: list[Callable[[list[Command]], object]] = []
        self._inbox: Inbox | None = None
        self.queues_are_empty = BacklogWatch(fleet, queues).is_empty

    def add(self, *chores: Chore) -> None:
        """Have these as well; they start and stop with the others, and after them."""
        self._chores += chores

    # -- life ----------------------------------------------------------------------------------------------------

    def listen(self, name: str, *listeners: Callable[[list[Command]], object], patiently: bool = False) -> None:
        """Receive commands in the inbox ``name``, and log what is wrong with the server's configuration.

        Args:
            name: of the worker.
            listeners: get all commands beside :meth:`handle_commands`.
            patiently: a server that does not answer is waited for, in a thread.

        Raises:
            BrokerError: the server does not answer, and is not waited for.
        """
        self._name = name
        self._listeners += listeners
        self._inbox = self._fleet.broker.inboxes.inbox(name, on_orders=self.handle_commands)
        try:
            self._inbox.start()
        except BrokerError:
            if not patiently:
                raise
            self.add(_LateStart(self._inbox))
        self._warn(patiently)

    def _warn(self, patiently: bool) -> None:
        try:
            for warning in self._fleet.broker.health.warnings():
                log.warning("%s", warning)
        except BrokerError as error:
            if not patiently:
                raise
            log.warning("the store does not answer yet: %s", error)

    def beat(self) -> None:
        """Be alive before the first claim. Raises BrokerError."""
        self._heartbeat.run_once()

    def start(self) -> None:
        """Begin the chores; with each a thread."""
        for chore in self._chores:
            chore.start()

    def stop(self) -> None:
        """End the chores, then receive nothing more."""
        for chore in self._chores:
            chore.stop()
        with suppress(BrokerError):  # else it is found lost
            self._fleet.broker.consumers.leave([self._name] if self._name else list(self._living()))
        if self._inbox is not None:
            self._inbox.stop()

    # -- commands ------------------------------------------------------------------------------------------------

    def handle_commands(self, commands: list[Command]) -> None:
        """To the worker as a whole: stop, pause, resume, ping. In the inbox's thread."""
        for listener in self._listeners:
            listener(commands)
        kinds = [kind for kind, _ in commands]
        if "stop" in kinds:
            self._on_stop()
        for kind in kinds:
            if kind in ("pause", "resume"):
                self._on_pause(kind == "pause")
        if not {"stop", "pause", "resume", "ping"}.isdisjoint(kinds):
            self.publish_soon()

    def publish_soon(self) -> None:
        """The description of a consumer has changed: publish it without waiting for the next heartbeat."""
        self._heartbeat.wake()


class _LateStart(Chore):
    """Starts an inbox as soon as the server answers."""

    name = "late-inbox"

    def __init__(self, inbox: Inbox) -> None:
        super().__init__()
        self._late = inbox

    def run_once(self) -> float:
        self._late.start()
        self._stopping.set()
        return 0.0


__all__ = ["Command", "WorkerHost"]
