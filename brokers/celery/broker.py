"""Engine 2: a Redis store keeps the calls, another broker carries them as Celery messages."""

from __future__ import annotations

from brokers.redis.broker import RedisBroker

from .carrier import CeleryCarrier, CeleryQueues
from .publisher import Publisher
from .runs import CeleryRuns
from .topology import Topology, is_amqp


class CeleryBroker:
    """A broker (:class:`brokers.base.Broker`) that has a Redis store and adds publishing and claiming.

    Args:
        store: keeps the calls; made with ``external_carrier=True``.
        namespace: keeps several applications on one broker apart.
        url: the broker, ``celery+amqp://...`` or the like.
        timeout_seconds, connect_timeout_seconds: how long the broker may take.
    """

    def __init__(
        self,
        store: RedisBroker,
        namespace: str,
        url: str,
        *,
        timeout_seconds: float = 1.5,
        connect_timeout_seconds: float = 0.5,
    ) -> None:
        topology = self.topology = Topology(namespace, amqp=is_amqp(url))
        self.publisher = Publisher(
            url, topology, timeout_seconds=timeout_seconds, connect_timeout_seconds=connect_timeout_seconds
        )
        queues = CeleryQueues(url, topology, timeout_seconds, connect_timeout_seconds)
        self._redis = store
        self.wires, self.keys, self.ttl_ms, self.seconds = store.wires, store.keys, store.ttl_ms, store.seconds
        self.namespace, self.private_server = namespace, store.private_server
        self.runs = CeleryRuns(store.store, store.runs, self.publisher)
        self.carrier = CeleryCarrier(store.store, self.runs, queues)
        self.records = store.records
        self.deliveries = store.deliveries
        self.consumers = store.consumers
        self.queues = store.queues
        self.inboxes = store.inboxes
        self.dead_letters = store.dead_letters
        self.journal = store.journal
        self.cache = store.cache
        self.logs = store.logs
        self.flow_runs = store.flow_runs
        self.schedules = store.schedules
        self.ticks = store.ticks
        self.figures = store.figures
        self.documents = store.documents
        self.events = store.events
        self.artifacts = store.artifacts
        self.reactions = store.reactions
        self.limits = store.limits
        self.guesses = store.guesses
        self.health = store.health
        self.external_runs = store.external_runs
        self.undo_logs = store.undo_logs
        self.inputs = store.inputs

    @property
    def connected(self) -> bool:
        """Whether a connection to the store has been made."""
        return self._redis.connected

    def close(self) -> None:
        """Close the connections."""
        self.publisher.close()
        self._redis.close()
