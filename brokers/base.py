"""What a broker is to the floors above: facets, one for each thing that it keeps, each with a handful of verbs.

``broker.runs.submit`` queues calls, ``broker.deliveries.fetch`` hands them out, ``broker.inboxes.expect`` waits for
their ends. :func:`brokers.connect.connect` makes one for a URL. A broker of another kind implements these protocols
and gets a line in that function's table; ``tests/contract`` says what the verbs promise.

Every verb may raise :class:`brokers.errors.BrokerError` and is safe to repeat.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from brokers.facets.artifacts import Artifacts
from brokers.facets.carrier import Awaited, Carrier, CarrierQueues, Relay
from brokers.facets.documents import Documents
from brokers.facets.events import Events
from brokers.facets.guesses import Guesses
from brokers.facets.inputs import Inputs
from brokers.facets.kept import Cache, Figures, Health, Journal, Logs, UndoLogs
from brokers.facets.limits import Limits
from brokers.facets.reactions import Reactions
from brokers.facets.runs import DeadLetters, ExternalRuns, FlowRuns, Records, Runs
from brokers.facets.schedules import Schedules, Ticks
from brokers.facets.workers import Consumers, Deliveries, Inbox, Inboxes, QueueReader, Queues, Wait


class PrivateServer(Protocol):
    """A server of this user's, there while it is used."""

    home: Path

    def ensure(self) -> str:
        """The URL of the server, started if need be. Raises EmbeddedServerError."""

    def release(self) -> None:
        """Give up the use of this process."""


class Broker(Protocol):
    """The facets of one namespace, and what holds them together.

    Attributes:
        namespace: keeps several applications on one server apart.
        seconds: how long a verb may take from the caller's start, connecting and waiting for others included.
        ttl_ms: how long ended runs are kept unless their task says otherwise; milliseconds.
        carrier: the other broker that carries the calls, ``None`` where workers take them from this one.
        private_server: the server that this process may have started for it, ``None`` where the URL names one.
    """

    namespace: str
    seconds: float
    ttl_ms: int
    private_server: PrivateServer | None

    @property
    def runs(self) -> Runs: ...

    @property
    def records(self) -> Records: ...

    @property
    def deliveries(self) -> Deliveries: ...

    @property
    def consumers(self) -> Consumers: ...

    @property
    def queues(self) -> Queues: ...

    @property
    def inboxes(self) -> Inboxes: ...

    @property
    def dead_letters(self) -> DeadLetters: ...

    @property
    def journal(self) -> Journal: ...

    @property
    def cache(self) -> Cache: ...

    @property
    def logs(self) -> Logs: ...

    @property
    def flow_runs(self) -> FlowRuns: ...

    @property
    def figures(self) -> Figures: ...

    @property
    def schedules(self) -> Schedules: ...

    @property
    def ticks(self) -> Ticks: ...

    @property
    def documents(self) -> Documents: ...

    @property
    def events(self) -> Events: ...

    @property
    def artifacts(self) -> Artifacts: ...

    @property
    def reactions(self) -> Reactions: ...

    @property
    def limits(self) -> Limits: ...

    @property
    def guesses(self) -> Guesses: ...

    @property
    def health(self) -> Health: ...

    @property
    def external_runs(self) -> ExternalRuns: ...

    @property
    def inputs(self) -> Inputs: ...

    @property
    def undo_logs(self) -> UndoLogs: ...

    @property
    def carrier(self) -> Carrier | None: ...

    @property
    def connected(self) -> bool:
        """Whether a connection has been made."""

    def close(self) -> None:
        """Close the connections."""


__all__ = [
    "Artifacts",
    "Awaited",
    "Broker",
    "Cache",
    "Carrier",
    "CarrierQueues",
    "Consumers",
    "DeadLetters",
    "Deliveries",
    "Documents",
    "Events",
    "ExternalRuns",
    "Figures",
    "FlowRuns",
    "Guesses",
    "Health",
    "Inbox",
    "Inboxes",
    "Inputs",
    "Journal",
    "Limits",
    "Logs",
    "PrivateServer",
    "QueueReader",
    "Queues",
    "Reactions",
    "Records",
    "Relay",
    "Runs",
    "Schedules",
    "Ticks",
    "UndoLogs",
    "Wait",
]
