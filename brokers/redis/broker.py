"""Engine 1: the facets of a broker over Redis Streams, wired to one store."""

from __future__ import annotations

from brokers.base import PrivateServer

from .artifacts import RedisArtifacts
from .cache import RedisCache
from .consumers import RedisConsumers
from .dead_letters import RedisDeadLetters
from .deliveries import RedisDeliveries
from .documents import RedisDocuments
from .events import RedisEvents
from .external_runs import RedisExternalRuns
from .figures import RedisFigures
from .flow_runs import RedisFlowRuns
from .guesses import RedisGuesses
from .health import RedisHealth
from .inboxes import RedisInboxes
from .inputs import RedisInputs
from .journal import RedisJournal
from .limits import RedisLimits
from .logs import RedisLogs
from .queues import RedisQueues
from .reactions import RedisReactions
from .records import RedisRecords
from .runs import RedisRuns
from .schedules import RedisSchedules
from .store import RedisStore
from .ticks import RedisTicks
from .transport.connection import Wires
from .undo_logs import RedisUndoLogs


class RedisBroker:
    """A broker (:class:`brokers.base.Broker`) over one namespace of a Redis or Valkey server.

    Args:
        wires: connections to the server.
        namespace: keeps several applications on one server apart.
        result_ttl_seconds: how long the store keeps runs that it ends by itself (cancelled, expired, not ready).
        queue_limit: how many calls a queue may hold, those that run included; 0 for no limit.
        map_blocks: whether calls of a map are kept together.
        external_carrier: whether queued calls travel as messages of another broker, which has this one as its store.
        private_server: what keeps the server there, where no URL names one.
    """

    carrier = None

    def __init__(
        self,
        wires: Wires,
        namespace: str,
        *,
        result_ttl_seconds: float = 86_400,
        queue_limit: int = 0,
        map_blocks: bool = True,
        external_carrier: bool = False,
        private_server: PrivateServer | None = None,
    ) -> None:
        self.store = store = RedisStore(
            wires,
            namespace,
            result_ttl_seconds=result_ttl_seconds,
            queue_limit=queue_limit,
            external_carrier=external_carrier,
            blocks=map_blocks,
        )
        self.wires, self.keys, self.ttl_ms, self.seconds = wires, store.keys, store.ttl_ms, wires.seconds
        self.namespace, self.private_server = namespace, private_server
        self.runs = RedisRuns(store)
        self.records = RedisRecords(store)
        self.deliveries = RedisDeliveries(store)
        self.consumers = RedisConsumers(store)
        self.queues = RedisQueues(store)
        self.inboxes = RedisInboxes(store)
        self.dead_letters = RedisDeadLetters(store)
        self.journal = RedisJournal(store)
        self.cache = RedisCache(store)
        self.logs = RedisLogs(store)
        self.flow_runs = RedisFlowRuns(store)
        self.schedules = RedisSchedules(store)
        self.ticks = RedisTicks(store)
        self.figures = RedisFigures(store)
        self.documents = RedisDocuments(store)
        self.events = RedisEvents(store)
        self.artifacts = RedisArtifacts(store)
        self.reactions = RedisReactions(store)
        self.limits = RedisLimits(store)
        self.guesses = RedisGuesses(store)
        self.health = RedisHealth(store)
        self.external_runs = RedisExternalRuns(store)
        self.undo_logs = RedisUndoLogs(store)
        self.inputs = RedisInputs(store)

    @property
    def connected(self) -> bool:
        """Whether a connection has been made."""
        return self.wires.used

    def close(self) -> None:
        """Close the connections."""
        self.wires.close()
