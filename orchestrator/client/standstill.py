"""Finds runs that wait for each other under a named limit for ever, and reports it to one that waits.

A task that waits lends its slot, but not its place under a limit: the limit would not hold. So a run that waits for
one that needs a place, while all places are held by runs that wait so, never ends. What a run waits for is written to
the store only by runs that wait for long, inside a task that has a limit or was sent by another task.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Final, NamedTuple

import msgpack

from brokers.base import Broker
from brokers.errors import BrokerError
from brokers.records import Place
from orchestrator.client.handles import Handle, open_run_ids
from orchestrator.errors import LimitDeadlock
from orchestrator.runs.current import current_attempt

REPORT_SECONDS: Final = 15.0  # how long a report of what a run waits for counts
MAX_REPORTED: Final = 100  # runs that one run reports it waits for
MAX_RUNS: Final = 2000  # that are looked at


class Wait(NamedTuple):
    """What a run waits for: all of these runs, or whichever ends first."""

    runs: Sequence[str]
    any_of: bool = False


class Standstill:
    """Looks for standstills around the waits of this process.

    Args:
        broker: asked for limits and for what other runs wait for.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def check(self, futures: Sequence[Handle], any_of: bool) -> bool:
        """Called from time to time by whoever waits without a timeout for all of these, or for any of them.

        Returns:
            Whether it may become one, so that it is worth asking again.

        Raises:
            LimitDeadlock: this wait would never end.
        """
        attempt = current_attempt.get()
        if attempt is None or not attempt.ticket:
            return False
        try:
            wait = Wait(list(islice(open_run_ids(futures), MAX_REPORTED + 1)), any_of)
            return self._check(attempt.run_id, attempt.parent_task_run_id, wait)
        except BrokerError:
            return True

    def _check(self, run_id: str, parent: str | None, wait: Wait) -> bool:
        (own,) = self._broker.records.places([run_id])
        if (own is None and parent is None) or (wait.any_of and len(wait.runs) > MAX_REPORTED):
            return False
        wait = wait._replace(runs=wait.runs[:MAX_REPORTED])
        self._broker.cache.put(_key(run_id), msgpack.packb(wait), REPORT_SECONDS)
        places, waits = self._around(run_id, wait)
        stuck = stuck_of(places, waits)
        if run_id in stuck:
            raise LimitDeadlock(_text(run_id, next(one for one in wait.runs if one in stuck), places))
        return True

    def _around(self, run_id: str, wait: Wait) -> tuple[dict[str, Place], dict[str, Wait]]:
        """The runs that this one waits for, and those that hold the places that they wait for, and so on."""
        places: dict[str, Place] = {}
        waits = {run_id: wait}
        seen, new = {run_id}, set(wait.runs)
        while new := new - seen:
            if len(seen) + len(new) > MAX_RUNS:
                return {}, {}
            seen |= new
            names = sorted(new)
            found = zip(names, self._broker.records.places(names), strict=True)
            waiting = {one: place for one, place in found if place is not None and is_full(place)}
            reported = {one: self._reported(one) for one in names if one not in waiting}
            places.update(waiting)
            waits.update({one: wait for one, wait in reported.items() if wait.runs})
            new = {holder for place in waiting.values() for holder in place.holders}
            new.update(other for wait in reported.values() for other in wait.runs)
        return places, waits

    def _reported(self, run_id: str) -> Wait:
        packed = self._broker.cache.get(_key(run_id))
        try:
            runs, any_of = msgpack.unpackb(packed) if packed else ([], False)
        except (ValueError, TypeError):
            return Wait([])
        return Wait([one for one in runs if isinstance(one, str)] if isinstance(runs, list) else [], any_of is True)


def is_full(place: Place) -> bool:
    """Whether a run waits because all places are held."""
    return place.waits and len(place.holders) >= place.size


def stuck_of(places: Mapping[str, Place], waits: Mapping[str, Wait]) -> set[str]:
    """The runs that never end.

    Args:
        places: run id -> the limit under which it waits for a place.
        waits: run id -> what it waits for.

    >>> full = Place("db", 1, True, frozenset({"outer"}))
    >>> sorted(stuck_of({"inner": full}, {"outer": Wait(["inner"])}))
    ['inner', 'outer']
    >>> sorted(stuck_of({"inner": full}, {"outer": Wait(["inner", "other"], any_of=True)}))
    []
    """
    stuck = {*places, *waits}

    def goes_on(run_id: str) -> bool:
        if run_id in places:  # one place is enough
            return not places[run_id].holders <= stuck
        wait = waits[run_id]
        return not stuck.issuperset(wait.runs) if wait.any_of else stuck.isdisjoint(wait.runs)

    while found := {run_id for run_id in stuck if goes_on(run_id)}:
        stuck -= found
    return stuck


def _key(run_id: str) -> str:
    return f"orchestrator.waits:{run_id}"


def _text(run_id: str, stuck: str, places: Mapping[str, Place]) -> str:
    place = places.get(stuck) or next(iter(places.values()))
    held = f"the {place.size} places are" if place.size > 1 else "the one place is"
    return (
        f"run {run_id} waits for run {stuck}, which cannot begin or end: {held} held under the limit {place.limit!r} "
        "by runs that wait so themselves. A run keeps its place while it waits, so this would never end. Runs that "
        "were sent stay queued. Give the limit more places than calls are nested, give inner calls another limit or "
        "none, or do not wait for them (return the future, or use wait_for=)"
    )
