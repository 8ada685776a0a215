"""What automations have counted, how far events have been looked at, and the calls of their actions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from brokers.messages import Envelope

ACTION_QUEUE: Final = "s-actions"
"""The queue of the calls of actions; they never travel over another broker."""

FIRINGS_KEPT: Final = 1_000
"""Of each automation, the newest."""


class Reactor(NamedTuple):
    """How things stand. Moments are milliseconds by the server's clock.

    Attributes:
        now_ms: the moment.
        version: counts what reactors wrote.
        journal, events: how far each of the two streams was looked at; empty: not yet.
        partly: id of the last event of the next entry that was looked at already; empty: none.
        due: counts whose time is over, by their names.
        next_ms: when another one's is; ``None``: none waits.
        calls: how many calls of actions wait for somebody to take them.
        definitions: changes whenever an automation does.
    """

    now_ms: int
    version: int = 0
    journal: str = ""
    events: str = ""
    partly: str = ""
    due: Sequence[str] = ()
    next_ms: int | None = None
    calls: int = 0
    definitions: str = ""


class CountWrite(NamedTuple):
    """A count as it is now; ``value`` empty: it is forgotten. ``due_ms``: when its time is over; 0: never."""

    name: str
    value: bytes
    ttl_ms: int = 0
    due_ms: int = 0


class FiringWrite(NamedTuple):
    """A firing, for people; the event ``prefect.automation.triggered`` says the same."""

    automation_id: str
    row: bytes
    name: str = ""  # of the automation
    event_id: str = ""  # of the last event that counted


class Move(NamedTuple):
    """What one look at events came to.

    Attributes:
        version: as it was read: if somebody else has moved meanwhile, nothing is written.
        journal, events, partly: how far it went.
        counts: what is counted now.
        firings, calls: what fired, and the calls of its actions.
    """

    version: int
    journal: str
    events: str
    partly: str = ""
    counts: Sequence[CountWrite] = ()
    firings: Sequence[FiringWrite] = ()
    calls: Sequence[Envelope] = ()


class Reactions(Protocol):
    """Compare and move: any number of reactors look at events, and each step is written by one of them."""

    def look(self, most_due: int = 100) -> Reactor:
        """How things stand; reads only."""

    def counts(self, names: Sequence[str]) -> list[bytes | None]:
        """Counts by their names."""

    def keep(self, name: str, value: bytes, ttl_ms: int) -> None:
        """Write one of them beside all steps."""

    def move(self, move: Move) -> bool:
        """Write a step with all that comes of it, unless somebody else was first; whether it was written."""

    def firings(self, automation_id: str, first: int = 0, count: int = 50) -> tuple[int, list[bytes]]:
        """How many firings are known, and some of them, the newest first."""

    def forget(self, automation_id: str) -> None:
        """Forget the firings of an automation that was deleted."""
