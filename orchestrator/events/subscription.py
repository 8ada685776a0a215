"""Events as they happen: ``for event in subscribe()``, or ``async for``."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from typing import Final

from brokers.base import Broker
from orchestrator.client.fleet import current_fleet
from orchestrator.errors import BrokerUnavailable
from orchestrator.events.filters import EventFilter
from orchestrator.events.reading import Cursors, events_after, newest
from orchestrator.events.schemas.events import ReceivedEvent

log = logging.getLogger("orchestrator.events")
ENTRIES_AT_ONCE: Final = 200
SHORTEST_SECONDS: Final = 0.05  # between two looks, after an event
LONGEST_SECONDS: Final = 0.5  # while nothing happens


class Subscription:
    """The events from now on that a filter wants; iterated in a thread or on an event loop, without end.

    While the store is away it waits, and a warning says so; no event is lost as long as the store keeps it.

    Args:
        broker: where they are.
        wanted: which.
        cursors: from where on; ``None``: from now.

    Raises:
        BrokerError: the store does not answer now.
    """

    def __init__(self, broker: Broker, wanted: EventFilter, cursors: Cursors | None = None) -> None:
        self._broker, self._wanted = broker, wanted
        self._cursors = newest(broker) if cursors is None else cursors
        self._ready: deque[ReceivedEvent] = deque()
        self._closed = threading.Event()
        self._pause, self._is_away = SHORTEST_SECONDS, False

    def close(self) -> None:
        """End the iteration, from any thread."""
        self._closed.set()

    def __iter__(self) -> Subscription:
        return self

    def __next__(self) -> ReceivedEvent:
        while not self._closed.is_set():
            if self._ready:
                return self._ready.popleft()
            if not self._look():
                self._closed.wait(self._pause)
        raise StopIteration

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> ReceivedEvent:
        while not self._closed.is_set():
            if self._ready:
                return self._ready.popleft()
            if not await asyncio.to_thread(self._look):
                await asyncio.sleep(self._pause)
        raise StopAsyncIteration

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    async def __aenter__(self) -> Subscription:
        return self

    async def __aexit__(self, *error: object) -> None:
        self.close()

    def _look(self) -> bool:
        """Read what has come; whether there was something, wanted or not."""
        try:
            batch = events_after(self._broker, self._cursors, ENTRIES_AT_ONCE, self._wanted.interest)
        except BrokerUnavailable as error:
            if not self._is_away:
                log.warning("events are waited for, the store does not answer: %s", error)
            self._is_away, self._pause = True, LONGEST_SECONDS
            return False
        has_come = batch.cursors != self._cursors
        self._cursors, self._is_away = batch.cursors, False
        self._ready.extend(event for event in batch.events if self._wanted.includes(event))
        self._pause = SHORTEST_SECONDS if has_come else min(self._pause * 2, LONGEST_SECONDS)
        return has_come


def subscribe(filter: EventFilter | None = None) -> Subscription:
    """The events from now on.

    Args:
        filter: which; default: all.

    Raises:
        BrokerError: the store does not answer now.

    >>> from orchestrator.testing.throwaway import throwaway_fleet
    >>> from orchestrator.events import emit_event
    >>> with throwaway_fleet(), subscribe() as events:
    ...     happened = emit_event("shop.order.paid", {"prefect.resource.id": "shop.order.7"})
    ...     next(events).event
    'shop.order.paid'
    """
    return Subscription(current_fleet().broker, filter or EventFilter())
