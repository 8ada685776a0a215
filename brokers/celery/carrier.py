"""What a worker needs of the broker that carries the calls: claim a message's calls, publish others anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from brokers.messages import Ack, Delivery, Named
from brokers.records import in_portions
from brokers.redis.fetching import fetch
from brokers.redis.store import RedisStore, pack, unpack
from brokers.stored import text

from .messages import MESSAGE_SECONDS, Carried, calls_of, row_of
from .publisher import connection_to
from .relay import Relay
from .runs import CeleryRuns
from .topology import Topology

MAX_SPARE: Final = 100


class CeleryQueues:
    """See :class:`brokers.base.CarrierQueues`.

    Args:
        url: the broker, ``celery+amqp://...`` or the like.
        topology: its queues.
        timeout_seconds, connect_timeout_seconds: how long the broker may take.
    """

    def __init__(self, url: str, topology: Topology, timeout_seconds: float, connect_timeout_seconds: float) -> None:
        self._url, self._topology = url, topology
        self._timeout, self._connect_timeout = timeout_seconds, connect_timeout_seconds
        self.queues, self.ours = topology.queues, topology.ours

    def connection(self) -> Any:
        """A kombu connection with short timeouts, not open yet."""
        return connection_to(self._url, self._connect_timeout, self._timeout)

    def are_empty(self, name: str) -> bool:
        with self.connection() as connection:
            channel = connection.channel()
            for queue in self.queues([name]):
                queue(channel).declare()
                if channel.queue_declare(queue=queue.name, passive=self._topology.amqp).message_count:
                    return False
        return True

    def dead_queue(self) -> Any | None:
        return self._topology.queue(self._topology.dead_name) if self._topology.amqp else None


class CeleryAwaited:
    """See :class:`brokers.base.Awaited`.

    Args:
        store: where the calls are kept.
    """

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    def overdue(self, queues: Sequence[str], number: int) -> tuple[int, list[str]]:
        last, found = self._store.run("overdue", [list(queues), number])
        return int(last), [text(queue) for queue in found]

    def publish_overdue(self, queue: str, number: int, most: int) -> int:
        return int(self._store.run("publish_overdue", [queue, number, most]))


class CeleryCarrier:
    """See :class:`brokers.base.Carrier`.

    Args:
        store: where the calls are kept.
        runs: publishes them.
        queues: those of the broker that carries them.
    """

    def __init__(self, store: RedisStore, runs: CeleryRuns, queues: CeleryQueues) -> None:
        self._store, self._runs, self.queues = store, runs, queues
        self.awaited = CeleryAwaited(store)

    def check(self) -> None:
        self._runs.check_carrier()

    def publish(self, calls: Sequence[Named], task: str) -> None:
        """Publish calls of one task that are in the store. Raises BrokerError."""
        self._runs.publish([Carried(call, task) for call in calls])

    def publish_again(self, queue: str, run_ids: Sequence[str]) -> int:
        """Have the movers of workers publish what waits for a message, by the outbox."""
        return sum(self._store.run("publish_again", [queue, some]) for some in in_portions(run_ids))

    def relay(self) -> Relay:
        """Publishes what scripts have queued, for one thread."""
        return Relay(self._store, self._runs)

    def claim(
        self, consumer: str, calls: Sequence[Named], settle: Sequence[Ack] = (), *, whole: bool = False
    ) -> tuple[list[Delivery], list[str]]:
        named = [call[:2] for call in calls]
        arguments = [consumer, [], 0, [], self._store.ttl_ms, named, 0 if whole else MESSAGE_SECONDS]
        return fetch(self._store, self._store.wires, arguments, settle)

    def note_seconds(self, task: str, seconds: float) -> None:
        self._store.wires.commands([("HSET", self._store.keys.speeds, task, f"{seconds:.6f}")])

    def offer_spare(self, worker: str, messages: Sequence[Sequence[Named]], ttl_seconds: float) -> None:
        key = self._store.keys.spare(worker)
        self._store.wires.commands(
            [
                ("RPUSH", key, *[pack([row_of(call) for call in message]) for message in messages]),
                ("LTRIM", key, -MAX_SPARE, -1),
                ("PEXPIRE", key, int(ttl_seconds * 1000)),
            ]
        )

    def take_spare(self, worker: str) -> list[Named] | None:
        (found,) = self._store.wires.commands([("LPOP", self._store.keys.spare(worker))])
        return calls_of([text(key), text(ticket), *place] for key, ticket, *place in unpack(found)) if found else None
