"""Finds runs that wait for each other under a named limit for ever, and reports it to one that waits.

A task that waits lends its slot, but not its place under a limit: the limit would not hold. So a run that waits for
one that needs a place, while all places are held by runs that wait so, never ends. What a run waits for is written to
the store only by runs that wait for long, inside a task that has a limit or was sent by another run.
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
from orchestrator.client.slot_lending import place_here
from orchestrator.errors import LimitDeadlock

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
        call = place_here()  # whatever it has called meanwhile: flows, tasks, threads
        if call is None or call.run_id is None:
            return False
        try:
            wait = Wait(list(islice(open_run_ids(futures), MAX_REPORTED + 1)), any_of)
            return self._check(call.run_id, call.is_sent_by_a_run, wait)
        except BrokerError:
            return True

    def _check(self, run_id: str, is_sent_by_a_run: bool, wait: Wait) -> bool:
        (own,) = self._broker.records.places([run_id])
        if (own is None and not is_sent_by_a_run) or (wait.any_of and len(wait.runs) > MAX_REPORTED):
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
            others = [one for one in names if one not in waiting]
            reported = {one: self._reported(one) for one in others}
            reported.update(self._parked([one for one in others if not reported[one].runs]))
            places.update(waiting)
            waits.update({one: wait for one, wait in reported.items() if wait.runs})
            new = {holder for place in waiting.values() for holder in place.holders}
            new.update(other for wait in reported.values() for other in wait.runs)
        return places, waits

    def _parked(self, run_ids: list[str]) -> dict[str, Wait]:
        """What those wait for that have not begun: the runs whose results are among their arguments."""
        found = zip(run_ids, self._broker.records.upstreams(run_ids), strict=True)
        return {run_id: Wait(_run_ids(packed)) for run_id, packed in found if packed}

    def _reported(self, run_id: str) -> Wait:
        packed = self._broker.cache.get(_key(run_id))
        try:
            runs, any_of = msgpack.unpackb(packed) if packed else ([], False)
        except (ValueError, TypeError):
            return Wait([])
        return Wait(_texts_of(runs), any_of is True)


def _run_ids(packed: bytes) -> list[str]:
    try:
        return _texts_of(msgpack.unpackb(packed))[:MAX_REPORTED]
    except Exception:  # a damaged record has no upstreams
        return []


def _texts_of(value: object) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


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
