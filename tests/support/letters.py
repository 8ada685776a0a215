"""An inbox whose letters are kept, so that a test can wait for them."""

from __future__ import annotations

import threading
from queue import SimpleQueue

from brokers.messages import RunEnd
from brokers.redis.broker import RedisBroker


class Letters:
    """Reads an inbox for the length of a block.

    Args:
        broker: where the inbox is.
        name: whose inbox.
    """

    def __init__(self, broker: RedisBroker, name: str) -> None:
        self._ends: SimpleQueue[RunEnd] = SimpleQueue()
        self._orders: SimpleQueue[tuple[str, str]] = SimpleQueue()
        self.gap = threading.Event()
        self.inbox = broker.inboxes.inbox(
            name,
            on_settled=lambda ends: [self._ends.put(end) for end in ends],
            on_orders=lambda orders: [self._orders.put(order) for order in orders],
            on_gap=self.gap.set,
        )

    def next_end(self) -> RunEnd:
        """The next end of a run; waits for it."""
        return self._ends.get(timeout=10)

    def ends(self, count: int) -> dict[str, tuple[bytes, bytes]]:
        """So many ends, by run id."""
        return {run_id: (status, outcome) for run_id, status, outcome in (self.next_end() for _ in range(count))}

    def next_order(self) -> tuple[str, str]:
        """The next order; waits for it."""
        return self._orders.get(timeout=10)

    @property
    def empty(self) -> bool:
        return self._ends.empty() and self._orders.empty()

    def __enter__(self) -> Letters:
        self.inbox.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.inbox.stop()
