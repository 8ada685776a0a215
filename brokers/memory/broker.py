"""The facets of a broker in memory, wired to one store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .artifacts import MemoryArtifacts
from .deliveries import MemoryDeliveries, MemoryInboxes
from .documents import MemoryDocuments
from .events import MemoryEvents
from .facets import MemoryConsumers, MemoryHealth, MemoryQueues, MemoryRecords, MemoryRuns, unsupported
from .guesses import MemoryGuesses
from .inputs import MemoryInputs
from .kept import MemoryCache, MemoryFlowRuns, MemoryLogs, MemoryUndoLogs
from .limits import MemoryLimits
from .reactions import MemoryReactions
from .schedules import MemorySchedules
from .store import MemoryStore

if TYPE_CHECKING:
    from brokers.base import DeadLetters, ExternalRuns, Figures, Journal, PrivateServer


class MemoryBroker:
    """A broker (:class:`brokers.base.Broker`) that keeps everything in this process, and forgets it with it.

    Args:
        result_ttl_seconds: noted in outcomes as elsewhere; nothing is forgotten by itself.

    Attributes:
        store: for tests that look or interfere: ``store.away = True`` takes the broker away.
    """

    carrier = None
    connected = True
    namespace = "memory"
    seconds = 60.0

    def __init__(self, result_ttl_seconds: float = 86_400) -> None:
        self.store = store = MemoryStore()
        self.private_server: PrivateServer | None = None
        self.ttl_ms = int(result_ttl_seconds * 1000)
        self.flow_runs = MemoryFlowRuns()
        self.runs = MemoryRuns(store, self.flow_runs)
        self.schedules = self.ticks = MemorySchedules(store, self.runs)
        self.records = MemoryRecords(store)
        self.deliveries = MemoryDeliveries(store)
        self.consumers = MemoryConsumers(store)
        self.queues = MemoryQueues(store)
        self.inboxes = MemoryInboxes(store)
        self.cache = MemoryCache()
        self.logs = MemoryLogs()
        self.undo_logs = MemoryUndoLogs()
        self.inputs = MemoryInputs(store, lambda run_id: bool(self.flow_runs.read(run_id)))
        self.documents = MemoryDocuments(lambda: self.limits.call_next())
        self.events = MemoryEvents(store)
        self.artifacts = MemoryArtifacts()
        self.limits = MemoryLimits(store, self.documents)
        self.reactions = MemoryReactions(store, self.runs, self.documents)
        self.guesses = MemoryGuesses()
        self.health = MemoryHealth(store)

    @property
    def dead_letters(self) -> DeadLetters:
        unsupported("a list of dead letters")

    @property
    def journal(self) -> Journal:
        unsupported("the journal of runs")

    @property
    def figures(self) -> Figures:
        unsupported("the figures of queues and workers")

    @property
    def external_runs(self) -> ExternalRuns:
        unsupported("a foreign Celery application's run")

    def close(self) -> None:
        """It goes with its process."""
