"""Places under named limits: one script for each verb."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from brokers.facets.limits import Around, Holder, LimitUse, Turn
from brokers.records import CALLS_AT_ONCE
from brokers.stored import text, whole

from .store import RedisStore


class RedisLimits:
    """See :class:`brokers.base.Limits`."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    def acquire(
        self,
        lease_id: str,
        names: Sequence[str],
        places: int,
        lease_seconds: float,
        *,
        inbox: str = "",
        strict: bool = False,
        wait: bool = True,
        around: Around | None = None,
    ) -> Turn:
        arguments = [lease_id, list(names), places, int(lease_seconds * 1000), inbox, [strict, wait], around or False]
        return _turn(self._store.run("acquire", arguments))

    def book(
        self, booking_id: str, names: Sequence[str], places: int, longest_seconds: float | None, strict: bool = False
    ) -> Turn:
        longest_ms = -1 if longest_seconds is None else int(longest_seconds * 1000)
        return _turn(self._store.run("book", [booking_id, list(names), places, longest_ms, strict]))

    def renew(self, leases: Mapping[str, float]) -> list[str]:
        pairs = [[lease_id, int(seconds * 1000)] for lease_id, seconds in leases.items()]
        return [text(lease_id) for lease_id in self._store.run("renew", pairs)] if pairs else []

    def release(self, lease_ids: Sequence[str]) -> int:
        there = 0
        for first in range(0, len(lease_ids), CALLS_AT_ONCE):
            there += whole(self._store.run("release", list(lease_ids[first : first + CALLS_AT_ONCE])))
        return there

    def use(self, names: Sequence[str], most: int = 100) -> list[LimitUse]:
        return [_use(row) for row in self._store.run("limit_use", [list(names), most])]


def _turn(reply: Sequence[Any]) -> Turn:
    how, milliseconds, names = reply
    return Turn(text(how), milliseconds / 1000, [text(name) for name in names])


def _use(row: Sequence[Any]) -> LimitUse:
    taken, admitted, holders, waiting, first = row
    members = [text(member) for member in first]
    return LimitUse(
        float(taken),
        whole(admitted),
        [_holder(*holder) for holder in holders],
        whole(waiting),
        [member for member in members if not member.startswith("~")],
    )


def _holder(member: bytes, places: Any, since_ms: Any, until_ms: Any) -> Holder:
    name = text(member)
    is_lease = name.startswith("~")
    return Holder(name[1:] if is_lease else name, is_lease, whole(places), whole(since_ms), whole(until_ms))
