"""Another broker that carries the calls as messages, beside the store that keeps them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from brokers.messages import Ack, Delivery, Named


class Relay(Protocol):
    """Publishes what the store has queued by itself (retries, delayed calls, dependants), for one thread."""

    def run_once(self) -> int:
        """Wait for something to publish, for about a second, and publish it; returns how many calls."""

    def close(self) -> None:
        """Wake the thread that waits in :meth:`run_once`; it gets BrokerUnavailable."""


class CarrierQueues(Protocol):
    """The queues of the broker that carries the calls; queues and connections are kombu's."""

    def connection(self) -> Any:
        """A connection with short timeouts, not open yet."""

    def queues(self, names: Iterable[str]) -> list[Any]:
        """Everything that a worker of these queues (our names) reads, best priority first."""

    def are_empty(self, name: str) -> bool:
        """Whether the broker has no message to deliver in this queue of ours; connects. May raise what kombu raises."""

    def dead_queue(self) -> Any | None:
        """Where messages go that were delivered too often; ``None`` where the broker does not count."""

    def ours(self, names: Iterable[str]) -> tuple[str, ...]:
        """Which queues of ours these names on the broker mean, each once."""


class Awaited(Protocol):
    """Which calls wait for a message, by the numbers of their tickets, the oldest first."""

    def overdue(self, queues: Sequence[str], number: int) -> tuple[int, list[str]]:
        """Whether calls still wait for messages that were published when tickets had no larger number than this.

        Returns:
            The last number that was given to a ticket, and those of the queues in which there are such calls.
        """

    def publish_overdue(self, queue: str, number: int, most: int) -> int:
        """Have such messages of a queue published anew, at most so many; returns how many."""


class Carrier(Protocol):
    """Another broker that carries the calls as messages, beside the store that keeps them."""

    @property
    def queues(self) -> CarrierQueues: ...

    @property
    def awaited(self) -> Awaited: ...

    def check(self) -> None:
        """Ask the other broker for a connection. Raises BrokerUnavailable, BrokerRefused."""

    def publish(self, calls: Sequence[Named], task: str) -> None:
        """Publish calls of one task that are in the store."""

    def publish_again(self, queue: str, run_ids: Sequence[str]) -> int:
        """Have those of some runs published anew that wait for a message of this queue; returns how many there are."""

    def relay(self) -> Relay:
        """A new relay."""

    def claim(
        self, consumer: str, calls: Sequence[Named], settle: Sequence[Ack] = (), *, whole: bool = False
    ) -> tuple[list[Delivery], list[str]]:
        """Take the calls of a message that still wait for it; acknowledge others on the way.

        Of a range that is too long for its task a part is taken, and the rest gets a message of its own, unless
        ``whole``.

        Returns:
            The deliveries, and the run ids whose ack was refused because their ticket was stale.
        """

    def note_seconds(self, task: str, seconds: float) -> None:
        """Calls of this task take so long; decides how many travel in one message."""

    def offer_spare(self, worker: str, messages: Sequence[Sequence[Named]], ttl_seconds: float) -> None:
        """Let any process of a worker take the calls of messages that it received and has no place for."""

    def take_spare(self, worker: str) -> list[Named] | None:
        """The calls of such a message, or ``None``."""
