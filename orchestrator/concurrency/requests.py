"""A request for places under limits, from the first question to the end, for code that blocks and for coroutines."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from brokers.facets.limits import HELD, KIND, LATE, NEVER, NO, NO_DECAY, UNKNOWN, Around, Turn
from brokers.spans import LONGEST_SECONDS
from orchestrator.client.fleet import Fleet, current_fleet
from orchestrator.concurrency.held_here import Holding, held_here
from orchestrator.errors import (
    AcquireConcurrencySlotTimeoutError,
    BrokerError,
    BrokerUnavailable,
    ConcurrencySlotAcquisitionError,
)
from orchestrator.runs.current import current_attempt, current_flow_run

log = logging.getLogger("orchestrator.concurrency")
PATIENCE_SECONDS: Final = 25.0  # without an answer; after 30 the store takes whoever does not ask out of the line
SHORTEST_LEASE_SECONDS: Final = 0.5


class Wish(NamedTuple):
    """What is asked for."""

    names: tuple[str, ...]
    occupy: int
    timeout_seconds: float | None
    strict: bool

    @classmethod
    def of(cls, names: str | Sequence[str], occupy: int, timeout_seconds: float | None, strict: bool) -> Wish:
        """Raises ValueError for what cannot be one.

        >>> Wish.of(["db", "db", "mail"], 1, None, False).names
        ('db', 'mail')
        """
        given = [names] if isinstance(names, str) else list(names)
        for name in given:
            check_name(name)
        if isinstance(occupy, bool) or not isinstance(occupy, int) or occupy < 1:
            raise ValueError(f"occupy={occupy!r}: how many places, 1 or more")
        if timeout_seconds is not None and not timeout_seconds >= 0:
            raise ValueError(f"timeout_seconds={timeout_seconds!r}: seconds from 0 on, or None")
        within = None if timeout_seconds is None else min(timeout_seconds, LONGEST_SECONDS)
        return cls(tuple(dict.fromkeys(given)), occupy, within, strict)


def check_name(name: str) -> None:
    """Raise ValueError when this cannot be a limit's name."""
    if not isinstance(name, str) or not 0 < len(name) <= 200 or "|" in name or not name.isprintable():
        raise ValueError(f"{name!r} is no name of a limit: 1 to 200 printable characters, none of them '|'")


class Request(ABC):
    """One wish on its way, asked again and again until it is granted; blocks only for a question to the store.

    Args:
        wish: what is asked for.
        fleet: whom to ask.

    Attributes:
        lease_id: under which the places are held.
        woken: set when it is worth asking again at once.
    """

    def __init__(self, wish: Wish, fleet: Fleet | None = None) -> None:
        self.wish, self.fleet = wish, fleet or current_fleet()
        self.lease_id = secrets.token_hex(8)
        self.woken = threading.Event()
        self._deadline = None if wish.timeout_seconds is None else time.monotonic() + wish.timeout_seconds
        self._answered_at = time.monotonic()

    def ask(self) -> float | None:
        """Ask; returns how long to wait before asking again, ``None`` once it is granted.

        Raises:
            ConcurrencySlotAcquisitionError: it never will be; AcquireConcurrencySlotTimeoutError: not in time.
            BrokerError: the store refuses, or has not answered for long.
        """
        try:
            turn = self._question()
            self._answered_at = time.monotonic()
        except BrokerUnavailable:
            if self._is_over or time.monotonic() - self._answered_at > PATIENCE_SECONDS:
                raise
            return 1.0
        return self._after(turn)

    @abstractmethod
    def _question(self) -> Turn:
        """Put the question to the store."""

    @abstractmethod
    def _after(self, turn: Turn) -> float | None:
        """How long to wait after this answer before asking again; ``None``: it is granted."""

    @property
    def _left(self) -> float | None:
        return None if self._deadline is None else self._deadline - time.monotonic()

    @property
    def _is_over(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline

    def _until_next(self, seconds: float) -> float:
        left = self._left
        return max(0.0, seconds if left is None else min(seconds, left))

    def _refuse(self, turn: Turn) -> None:
        """Raises what an answer means that will never be another."""
        names = ", ".join(map(repr, turn.names))
        reasons = {
            NEVER: f"occupy={self.wish.occupy} is more than there is under the limit {names}: ask for fewer places, "
            "or raise it with `orchestrator gcl update NAME --limit N`",
            UNKNOWN: f"no limit {names} has been declared: `orchestrator gcl create NAME --limit N` makes one; "
            "with strict=False it holds nobody up",
            NO_DECAY: f"the limit {names} has no decay, so nothing would come back for rate_limit: "
            "`orchestrator gcl update NAME --slot-decay-per-second X`, or use concurrency",
        }
        if turn.how in reasons:
            raise ConcurrencySlotAcquisitionError(reasons[turn.how])
        if turn.how == HELD:
            for name in turn.names:
                _warn_once(name)

    def _too_late(self) -> AcquireConcurrencySlotTimeoutError:
        names, occupy = ", ".join(map(repr, self.wish.names)), self.wish.occupy
        what = f"{occupy} places" if occupy > 1 else "a place"
        within = f" within {self.wish.timeout_seconds:g} s" if self.wish.timeout_seconds else " now"
        return AcquireConcurrencySlotTimeoutError(f"{what} under the limit {names} did not become free{within}")


class LeaseRequest(Request):
    """Places for as long as a block of code runs.

    Args:
        lease_seconds: how long they are held without being renewed.
        max_retries: how often it may ask again; ``None``: any number of times.
        held: what the blocks around hold; ``None``: those around this line.
    """

    def __init__(
        self,
        wish: Wish,
        lease_seconds: float,
        max_retries: int | None = None,
        fleet: Fleet | None = None,
        held: tuple[Holding, ...] | None = None,
    ) -> None:
        super().__init__(wish, fleet)
        if isinstance(lease_seconds, bool) or not lease_seconds >= SHORTEST_LEASE_SECONDS:
            raise ValueError(f"lease_duration={lease_seconds!r}: seconds, {SHORTEST_LEASE_SECONDS} or more")
        self.lease_seconds = lease_seconds
        self._retries_left = max_retries
        self._in_line = False
        self._around = delivery_around()
        self._held_here = held_here() if held is None else held
        self._asking, self._has_left = threading.RLock(), False

    def wake_by(self, wake: Callable[[], None]) -> None:
        """Call this whenever it is worth asking again at once."""
        self.fleet.open_futures.place_calls.expect(self.lease_id, wake)

    def ask(self) -> float | None:
        with self._asking:
            return None if self._has_left else super().ask()

    def _question(self) -> Turn:
        self.woken.clear()
        may_wait = not self._is_over and self._retries_left != 0
        turn = self._acquire(wait=self._in_line and may_wait)
        if turn.how == NO and may_wait:  # the inbox is opened by whoever has to wait, and by nobody else
            self._in_line = True
            turn = self._acquire(wait=True)
        return turn

    def _acquire(self, wait: bool) -> Turn:
        wish = self.wish
        return self.fleet.broker.limits.acquire(
            self.lease_id,
            wish.names,
            wish.occupy,
            self.lease_seconds,
            inbox=self.fleet.open_inbox() if wait else "",
            strict=wish.strict,
            wait=wait,
            around=self._around,
        )

    def _after(self, turn: Turn) -> float | None:
        self._refuse(turn)
        if turn.how == HELD:
            return None
        if self._is_over or self._retries_left == 0:
            raise self._too_late()
        self._refuse_what_never_comes()
        if self._retries_left is not None and not self.woken.is_set():
            self._retries_left -= 1
        return self._until_next(turn.seconds)

    def _refuse_what_never_comes(self) -> None:
        """Raise if this would wait for places that the blocks around it hold until it has them."""
        mine = [one for one in self._held_here if one.fleet is self.fleet]
        held = {
            name: sum(one.places for one in mine if name in one.names)
            for name in self.wish.names
            if any(name in one.names for one in mine)
        }
        documents = self.fleet.broker.documents.read(KIND, list(held)) if held else []
        for (name, places), document in zip(held.items(), documents, strict=True):
            size = document.fields.get("limit", b"") if document is not None else b""
            if size.isdigit() and places + self.wish.occupy > int(size):
                message = (
                    f"this code holds {places} of the {int(size)} places under the limit {name!r} and asks for "
                    f"{self.wish.occupy} more, for which it would wait for ever: ask for all of them in the outer "
                    "block, or raise the limit"
                )
                late = self.wish.timeout_seconds is not None
                raise (AcquireConcurrencySlotTimeoutError if late else ConcurrencySlotAcquisitionError)(message)

    def leave(self) -> None:
        """Nobody waits any more; the places, should it hold them, are free.

        A coroutine may be cancelled while its question is under way in another thread: what that takes is given back.
        """
        with self._asking:
            self._has_left = True
        self.fleet.open_futures.place_calls.forget(self.lease_id)
        self.give_back()

    def give_back(self) -> None:
        """The block is over. What cannot be given back now is free after its lease."""
        try:
            self.fleet.broker.limits.release([self.lease_id])
        except BrokerError as error:
            log.warning(
                "the places under %s could not be given back, they are free in %g s: %s",
                ", ".join(self.wish.names),
                self.lease_seconds,
                error,
            )


class TurnRequest(Request):
    """A turn under a rate: granted with the moment at which it begins."""

    _booked = False

    def _question(self) -> Turn:
        left = self._left
        longest = None if left is None else max(0.0, left)
        wish = self.wish
        return self.fleet.broker.limits.book(self.lease_id, wish.names, wish.occupy, longest, wish.strict)

    def ask(self) -> float | None:
        return None if self._booked else super().ask()

    def _after(self, turn: Turn) -> float | None:
        self._refuse(turn)
        if turn.how == HELD:
            self._booked = True
            return turn.seconds or None
        if turn.how == LATE or self._is_over:
            raise self._too_late()
        return self._until_next(turn.seconds)


def delivery_around() -> Around | None:
    """The delivery around this line, with which its leases end: also if its worker dies."""
    here = current_attempt.get() or current_flow_run.get()
    return Around(here.run_id, here.ticket) if here is not None and here.ticket else None


_warned: set[str] = set()


def _warn_once(name: str) -> None:
    if name not in _warned:
        _warned.add(name)
        log.warning(
            "no limit %r has been declared: it holds nobody up (`orchestrator gcl create %s --limit N` makes one)",
            name,
            name,
        )
