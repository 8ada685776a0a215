"""Places under named limits, for the blocks of code of one process; runs take none here."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from brokers.facets.documents import Documents
from brokers.facets.limits import (
    HELD,
    KIND,
    LATE,
    NEVER,
    NO,
    NO_DECAY,
    UNKNOWN,
    WAITS,
    Around,
    Holder,
    LimitUse,
    Turn,
)

from .store import MemoryStore

ASK_AGAIN_SECONDS = 10.0


@dataclass(slots=True)
class _Lease:
    names: list[str]
    places: int
    inbox: str
    since: float
    until: float | None = None  # of one that holds


@dataclass(slots=True)
class _Rules:
    size: float
    decay: float


class MemoryLimits:
    """See :class:`brokers.base.Limits`.

    Args:
        store: whose inboxes are notified.
        documents: where limits are declared.
    """

    def __init__(self, store: MemoryStore, documents: Documents) -> None:
        self._store, self._documents = store, documents
        self._leases: dict[str, _Lease] = {}  # in order of arrival
        self._filled: dict[str, tuple[float, float]] = {}  # places that rate_limit has taken, and when
        self._booked: dict[str, float] = {}

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
        self._store.check()
        with self._store.changed:
            known, unknown = self._known(names)
            if strict and unknown:
                return Turn(UNKNOWN, 0, unknown)
            small = [name for name, rules in known.items() if 0 < rules.size < places]
            if small:
                return Turn(NEVER, 0, small)
            fresh = _Lease(list(known), places, inbox, time.time())
            lease = self._leases.setdefault(lease_id, fresh)
            self.call_next()
            if lease.until is not None:
                lease.until = time.monotonic() + lease_seconds
                return Turn(HELD, 0, unknown)
            if not wait:
                del self._leases[lease_id]
            return Turn(WAITS if wait else NO, ASK_AGAIN_SECONDS if wait else 0, unknown)

    def book(
        self, booking_id: str, names: Sequence[str], places: int, longest_seconds: float | None, strict: bool = False
    ) -> Turn:
        self._store.check()
        with self._store.changed:
            known, unknown = self._known(names)
            if strict and unknown:
                return Turn(UNKNOWN, 0, unknown)
            now = time.monotonic()
            if booking_id in self._booked:
                return Turn(HELD, max(0.0, self._booked[booking_id] - now), unknown)
            limited = {name: rules for name, rules in known.items() if rules.size != float("inf")}
            for how, bad in (
                (NO_DECAY, [name for name, rules in limited.items() if rules.decay <= 0]),
                (NEVER, [name for name, rules in limited.items() if 0 < rules.size < places]),
                (WAITS, [name for name, rules in limited.items() if rules.size <= 0]),
            ):
                if bad:
                    return Turn(how, ASK_AGAIN_SECONDS, bad)
            seconds = [(places - self._free(name, rules)) / rules.decay for name, rules in limited.items()]
            delay = max([0.0, *seconds])
            if longest_seconds is not None and delay > longest_seconds:
                return Turn(LATE, delay, unknown)
            for name, rules in limited.items():
                self._filled[name] = self._fill(name, rules) + places, now
            self._booked[booking_id] = now + delay
            return Turn(HELD, delay, unknown)

    def renew(self, leases: Mapping[str, float]) -> list[str]:
        self._store.check()
        with self._store.changed:
            self._forget_overdue()
            lost = [one for one in leases if one not in self._leases or self._leases[one].until is None]
            for lease_id in set(leases) - set(lost):
                self._leases[lease_id].until = time.monotonic() + leases[lease_id]
        return lost

    def release(self, lease_ids: Sequence[str]) -> int:
        self._store.check()
        with self._store.changed:
            there = [one for one in lease_ids if self._leases.pop(one, None) is not None]
            self.call_next()
        return len(there)

    def use(self, names: Sequence[str], most: int = 100) -> list[LimitUse]:
        with self._store.changed:
            self._forget_overdue()
            return [self._use(name, most) for name in names]

    def call_next(self) -> None:
        """Call up whoever fits, in order of arrival; also when a limit was changed."""
        with self._store.changed:
            self._forget_overdue()
            blocked: set[str] = set()
            for lease_id, lease in self._leases.items():
                if lease.until is not None:
                    continue
                known, _ = self._known(lease.names)
                short = [name for name, rules in known.items() if self._free(name, rules) < lease.places]
                if short or blocked & known.keys():
                    blocked |= {name for name in short if lease.places <= known[name].size}
                    continue
                lease.until = time.monotonic() + ASK_AGAIN_SECONDS
                reader = self._store.reader_of(lease.inbox) if lease.inbox else None
                if reader is not None:
                    reader.orders([("place", lease_id)])

    def _known(self, names: Sequence[str]) -> tuple[dict[str, _Rules], list[str]]:
        known: dict[str, _Rules] = {}
        unknown: list[str] = []
        for name, document in zip(names, self._documents.read(KIND, names), strict=True):
            if document is None:
                unknown.append(name)
                continue
            size = float(document.fields.get("limit", b"inf"))
            active = document.fields.get("active") != b"0"
            known[name] = _Rules(size if active else float("inf"), float(document.fields.get("decay", b"0")))
        return known, unknown

    def _fill(self, name: str, rules: _Rules) -> float:
        amount, at = self._filled.get(name, (0.0, 0.0))
        return max(0.0, amount - rules.decay * (time.monotonic() - at)) if rules.decay > 0 else 0.0

    def _free(self, name: str, rules: _Rules) -> float:
        return rules.size - self._taken(name) - self._fill(name, rules)

    def _taken(self, name: str) -> int:
        held = (lease for lease in self._leases.values() if lease.until is not None and name in lease.names)
        return sum(lease.places for lease in held)

    def _forget_overdue(self) -> None:
        now = time.monotonic()
        for lease_id in [one for one, lease in self._leases.items() if lease.until is not None and lease.until <= now]:
            del self._leases[lease_id]

    def _use(self, name: str, most: int) -> LimitUse:
        known, _ = self._known([name])
        rules = known.get(name, _Rules(float("inf"), 0.0))
        of_name = [(lease_id, lease) for lease_id, lease in self._leases.items() if name in lease.names]
        now = time.monotonic()
        holders = [
            Holder(one, True, lease.places, int(lease.since * 1000), int((time.time() + lease.until - now) * 1000))
            for one, lease in of_name
            if lease.until is not None
        ]
        waiting = sum(lease.until is None for _, lease in of_name)
        return LimitUse(self._taken(name) + self._fill(name, rules), 0, holders[:most], waiting, [])
