"""Dead letters as a collection: count, forget, drop those whose records have expired."""

from __future__ import annotations

from collections.abc import Sequence

from .broker import RedisBroker


def count(broker: RedisBroker) -> int:
    """How many there are."""
    (number,) = broker.wires.commands([("ZCARD", broker.keys.dead)])
    return int(number)


def forget(broker: RedisBroker, run_ids: Sequence[str]) -> int:
    """Take runs off the list of dead letters; their records and logs are deleted. Returns how many were on it.

    A run that was replayed meanwhile is not on the list any more, and keeps its record.
    """
    keys, forgotten = broker.keys, 0
    for first in range(0, len(run_ids), 500):
        some = run_ids[first : first + 500]
        gone = broker.wires.commands([("ZREM", keys.dead, run_id) for run_id in some])
        mine = [run_id for run_id, removed in zip(some, gone, strict=True) if removed]
        if mine:
            broker.wires.commands([("UNLINK", keys.record(run_id), keys.log(run_id)) for run_id in mine])
        forgotten += len(mine)
    return forgotten
