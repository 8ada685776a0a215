"""What is left to do on some queues."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from brokers.contract import ASYNC_LANE, SYNC_LANE

from .broker import RedisBroker
from .keys import routes_of


class Backlog(NamedTuple):
    """How many calls wait, and how many each consumer holds; ``due_soon`` counts delayed runs of every queue."""

    waiting: int
    due_soon: int
    held: dict[str, int]


def backlog(broker: RedisBroker, queues: Sequence[str], soon_seconds: float = 1.0) -> Backlog:
    """What is left on these queues. Runs that are delayed for longer than ``soon_seconds`` do not count."""
    routes = [route for lane in (SYNC_LANE, ASYNC_LANE) for route in routes_of(list(queues), lane)]
    waiting, due_soon, *held = broker._run("backlog", [routes, int(soon_seconds * 1000)])
    return Backlog(waiting, due_soon, {held[i].decode(): held[i + 1] for i in range(0, len(held), 2)})
