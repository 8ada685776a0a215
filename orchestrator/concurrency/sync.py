"""Limits on what goes on at once, and how often, for code that blocks; see :mod:`orchestrator.concurrency.asyncio`.

Follows ``prefect.concurrency.sync``. Limits are made with ``orchestrator gcl create NAME --limit N``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from orchestrator.client import slot_lending as lending
from orchestrator.client.wakers import Woken
from orchestrator.concurrency import lease_keeper
from orchestrator.concurrency.held_here import holding
from orchestrator.concurrency.requests import LeaseRequest, TurnRequest, Wish
from orchestrator.errors import (
    AcquireConcurrencySlotTimeoutError,
    ConcurrencyLeaseLost,
    ConcurrencySlotAcquisitionError,
)
from orchestrator.execution.interrupt import Interruptible


@contextmanager
def concurrency(
    names: str | Sequence[str],
    occupy: int = 1,
    timeout_seconds: float | None = None,
    max_retries: int | None = None,
    lease_duration: float = 300,
    strict: bool = False,
    raise_on_lease_renewal_failure: bool | None = None,
) -> Iterator[None]:
    """Hold places under limits for the length of a block.

    Whoever finds them full waits in order of arrival, and is woken by whoever leaves. Under several limits the places
    are taken together or not at all. They are free again when the block ends, when the task around it does (also if its
    worker dies), and at the latest ``lease_duration`` after its process has died.

    Args:
        names: one limit or several. One that nobody has declared holds nobody up, with a warning.
        occupy: how many places under each.
        timeout_seconds: how long to wait for them; ``None``: for ever. A task that waits lends its slot meanwhile.
        max_retries: how many more times to ask after waits in which no place became free; ``None``: any number; 0: do
            not wait at all.
        lease_duration: seconds (0.5 or more) that the places are held without being renewed; a process renews its
            leases at a third of that.
        strict: a limit that nobody has declared is an error.
        raise_on_lease_renewal_failure: raise in the block when the lease is lost, instead of a warning; ``None``: as
            ``strict``.

    Raises:
        ConcurrencySlotAcquisitionError: a limit has fewer places than ``occupy`` and than the blocks around this one
            hold already, which would wait for each other; or it is not declared (``strict``).
        AcquireConcurrencySlotTimeoutError: a TimeoutError as well.
        ConcurrencyLeaseLost: in the block, see above.
        BrokerError: the store does not answer.

    >>> from orchestrator.testing import inline
    >>> with inline():
    ...     with concurrency("db", occupy=2):
    ...         print("at most so many here at once")
    at most so many here at once

    Follows Prefect 3 (``prefect.concurrency.sync.concurrency``), which polls.
    """
    wish = Wish.of(names, occupy, timeout_seconds, strict)
    if not wish.names:
        yield
        return
    request = LeaseRequest(wish, lease_duration, max_retries)
    _take(request)
    raises = strict if raise_on_lease_renewal_failure is None else raise_on_lease_renewal_failure
    owner, keeper = os.getpid(), lease_keeper.keeper
    try:
        with Interruptible() as block, holding(request.fleet, wish.names, wish.occupy):
            error = ConcurrencyLeaseLost(f"the lease of the places under {', '.join(wish.names)} is lost")
            keeper.keep(request, (lambda: block.raise_in(error)) if raises else _nothing)
            yield
    finally:
        if os.getpid() == owner:  # a child that was forked in the block holds nothing
            keeper.let_go(request.lease_id)
            request.give_back()


def rate_limit(
    names: str | Sequence[str], occupy: int = 1, timeout_seconds: float | None = None, strict: bool = False
) -> None:
    """Block until it is this line's turn under limits whose places come back at a pace (``--slot-decay-per-second``).

    Turns are booked in order, under several limits in all of them at once; whoever waits knows for how long.

    Args:
        names: one limit or several. One that nobody has declared holds nobody up, with a warning.
        occupy: how many places of each.
        timeout_seconds: raise at once if the turn would come later than that; ``None``: wait however long.
        strict: a limit that nobody has declared is an error.

    Raises:
        ConcurrencySlotAcquisitionError: a limit has no decay, fewer places, or is not declared (``strict``).
        AcquireConcurrencySlotTimeoutError: a TimeoutError as well.
        BrokerError: the store does not answer.

    >>> from orchestrator.testing import inline
    >>> with inline():
    ...     rate_limit("mails")

    Follows Prefect 3 (``prefect.concurrency.sync.rate_limit``).
    """
    wish = Wish.of(names, occupy, timeout_seconds, strict)
    if wish.names:
        _wait(TurnRequest(wish))


def _take(request: LeaseRequest) -> None:
    taken = False
    request.wake_by(request.woken.set)
    try:
        _wait(request)
        taken = True
    finally:
        request.fleet.open_futures.place_calls.forget(request.lease_id)
        if not taken:
            request.leave()


def _wait(request: LeaseRequest | TurnRequest) -> None:
    seconds = request.ask()
    if seconds is None:
        return
    with lending.slot_lent():
        while seconds is not None:
            with Woken(request.woken.set):
                request.woken.wait(seconds)
            seconds = request.ask()


def _nothing() -> None:
    """The warning is enough."""


__all__ = [
    "AcquireConcurrencySlotTimeoutError",
    "ConcurrencyLeaseLost",
    "ConcurrencySlotAcquisitionError",
    "concurrency",
    "rate_limit",
]
