"""The queues on the broker: names, kinds, and where messages go that were delivered too often.

A queue of ours is three queues there, one for each priority. On RabbitMQ they are quorum queues: replicated, on disk,
and they count deliveries; a message that was delivered too often goes to the namespace's queue of dead messages, from
where its calls go to the dead letters. Everything is declared with the same arguments by whoever comes first.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from kombu import Exchange, Queue

from brokers.urls import CELERY_PREFIX

PRIORITIES: Final = ("high", "default", "low")
_PRIORITY_OF_LETTER: Final = {"r": "high", "h": "high", "d": "default", "l": "low"}
DELIVERY_LIMIT: Final = 10  # the store's own count of crashes ends a poisonous call long before
AMQP_SCHEMES: Final = ("amqp", "amqps", "pyamqp", "librabbitmq")


def kombu_url(url: str) -> str:
    """The URL as kombu knows it.

    >>> kombu_url("celery+amqp://guest@localhost//")
    'amqp://guest@localhost//'
    """
    return url.removeprefix(CELERY_PREFIX)


def is_amqp(url: str) -> bool:
    """Whether RabbitMQ (or another AMQP broker) is meant."""
    return kombu_url(url).split("://", 1)[0].split("+")[0] in AMQP_SCHEMES


class Topology:
    """The queues of one namespace.

    Args:
        namespace: prefix of every queue's name.
        amqp: whether the broker is one that has quorum queues.
    """

    def __init__(self, namespace: str, *, amqp: bool) -> None:
        self.namespace = namespace
        self.amqp = amqp
        self._exchange = Exchange("")
        self._known: dict[str, Queue] = {}

    def name(self, queue: str, priority: str = "default") -> str:
        """A queue's name on the broker.

        >>> Topology("shop", amqp=True).name("mail"), Topology("shop", amqp=True).name("mail", "low")
        ('shop.mail', 'shop.mail:low')
        """
        return f"{self.namespace}.{queue}" + ("" if priority == "default" else f":{priority}")

    def name_of_route(self, route: str) -> str:
        """The queue's name on the broker for a route of ours such as ``default:ds``."""
        queue, _, letters = route.rpartition(":")
        return self.name(queue, _PRIORITY_OF_LETTER[letters[0].lower()])

    @property
    def dead_name(self) -> str:
        """The queue of messages that were delivered too often."""
        return f"{self.namespace}..dead"

    def queue(self, name: str) -> Queue:
        """The queue of this name on the broker, to be declared."""
        found = self._known.get(name)
        if found is None:
            # no_declare: on the default exchange every queue is bound by its name
            found = self._known[name] = Queue(
                name, self._exchange, routing_key=name, durable=True, queue_arguments=self._arguments(name)
            )
        return found

    def _arguments(self, name: str) -> dict[str, Any] | None:
        if not self.amqp:
            return None
        if name == self.dead_name:
            return {"x-queue-type": "quorum"}
        return {
            "x-queue-type": "quorum",
            "x-delivery-limit": DELIVERY_LIMIT,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": self.dead_name,
            "x-dead-letter-strategy": "at-least-once",  # or a message is lost whose way is blocked for a moment
            "x-overflow": "reject-publish",  # which that strategy demands; there is no length limit unless you set one
        }

    def ours(self, names: Iterable[str]) -> tuple[str, ...]:
        """Which queues of ours these names on the broker mean, each once.

        >>> Topology("shop", amqp=True).ours(["celery", "shop.mail", "shop.mail:low"])
        ('mail',)
        """
        prefix = f"{self.namespace}."
        return tuple(
            dict.fromkeys(name.removeprefix(prefix).partition(":")[0] for name in names if name.startswith(prefix))
        )

    def queues(self, names: Iterable[str]) -> list[Queue]:
        """Everything that a worker of these queues (our names) reads, best priority first."""
        names = list(names)
        return [self.queue(self.name(name, priority)) for priority in PRIORITIES for name in names]
