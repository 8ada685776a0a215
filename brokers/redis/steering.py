"""Orders to queues and workers: pause, resume, purge, and what is put into inboxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from .broker import SLICE_CALLS, RedisBroker

PURGED: Final = "purged"


def paused_queues(broker: RedisBroker) -> set[str]:
    """The queues whose calls are not handed out."""
    (names,) = broker.wires.commands([("SMEMBERS", broker.keys.paused)])
    return {name.decode("utf-8", "replace") for name in names}


def pause(broker: RedisBroker, queue: str) -> bool:
    """Hand out no more calls of a queue, from now on and until :func:`resume`; whether it was not paused before."""
    return bool(broker._run("pause", ["pause", queue]))


def resume(broker: RedisBroker, queue: str) -> bool:
    """Hand out the calls of a queue again; whether it was paused."""
    return bool(broker._run("pause", ["resume", queue]))


def purge(broker: RedisBroker, queue: str) -> int:
    """End every call of a queue as cancelled that waits now and is claimed by nobody; returns how many.

    In slices: the server serves others in between. Calls that are sent meanwhile stay.
    """
    purged, until = 0, 0
    while True:
        some: int
        some, seen, until = broker._run("purge", [queue, SLICE_CALLS, broker.ttl_ms, PURGED, until])
        purged += some
        if not seen:
            return purged


def order(broker: RedisBroker, what: str, inboxes: Sequence[str]) -> set[str]:
    """Put an order into inboxes; returns those that somebody reads."""
    return {name.decode() for name in broker._run("order", [what, list(inboxes)])}
