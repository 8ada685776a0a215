"""Places under named limits, taken by blocks of code for a while; who holds them, who waits.

How many places a limit has is a document of the kind ``limit`` (:mod:`brokers.facets.documents`), with its name as id:
``limit`` places, ``active`` ("0": it holds nobody up), ``decay`` places that come back per second, ``strategy``.
Writing or deleting it queues what fits now. Runs take their places when they are fetched (``Extra.LIMIT``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Protocol

KIND: Final = "limit"
"""The kind of document that declares a limit."""


class Turn(NamedTuple):
    """An answer to who asks for places.

    Attributes:
        how: one of the words below.
        seconds: until a booked turn begins (``HELD``), or until to ask again at the latest (``WAITS``).
        names: the limits that are the reason; with ``HELD`` and ``WAITS`` those that nobody has declared.
    """

    how: str
    seconds: float
    names: list[str]


HELD: Final = "held"
WAITS: Final = "waits"
NO: Final = "no"  # nothing is free, and it may not wait
LATE: Final = "late"  # its turn would come later than it may wait
NEVER: Final = "never"  # a limit has fewer places
NO_DECAY: Final = "no decay"  # its places do not come back by themselves
UNKNOWN: Final = "unknown"  # not declared


class Around(NamedTuple):
    """The delivery around a block of code: when it is over, so is the block's lease."""

    run_id: str
    ticket: str


class Holder(NamedTuple):
    """Who holds places under a limit.

    Attributes:
        who: run id, or the id of a lease.
        is_lease: which of them.
        places: how many.
        since_ms: by the server's clock.
        until_ms: when the places are free unless the lease is renewed; 0: when the run's delivery is over.
    """

    who: str
    is_lease: bool
    places: int
    since_ms: int
    until_ms: int


class LimitUse(NamedTuple):
    """What goes on under a limit.

    Attributes:
        taken: places that are not free, those of ``rate_limit`` that have not come back included.
        admitted: runs of a deployment that are due and not over.
        holders: the first of them.
        waiting: how many wait.
        waiting_runs: run ids of the first of those.
    """

    taken: float
    admitted: int
    holders: list[Holder]
    waiting: int
    waiting_runs: list[str]


class Limits(Protocol):
    """Places under named limits."""

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
        """Take places under all of these limits, or stand in line for them; ask again under the same id.

        The inbox gets the order (``place``, lease id) when its turn has come; whoever waits asks again then, and after
        :attr:`Turn.seconds` at the latest: one that does not ask for half a minute waits no more.

        Raises:
            BrokerError: it is not known whether places are held: ask again, or :meth:`release`.
        """

    def book(
        self, booking_id: str, names: Sequence[str], places: int, longest_seconds: float | None, strict: bool = False
    ) -> Turn:
        """Take the next turn under limits with decay, all of them at once; nothing has to be given back."""

    def renew(self, leases: Mapping[str, float]) -> list[str]:
        """Lease id -> seconds from now; returns those that are lost: their places may be another's."""

    def release(self, lease_ids: Sequence[str]) -> int:
        """Give places back, or leave the line; returns how many leases there were. Repeating it is harmless."""

    def use(self, names: Sequence[str], most: int = 100) -> list[LimitUse]:
        """What goes on under each of these limits; of holders and of those who wait at most ``most`` are named."""
