"""Limits on what goes on at once, and how often, for coroutines; see :mod:`orchestrator.concurrency.sync`.

Follows ``prefect.concurrency.asyncio``. Limits are made with ``orchestrator gcl create NAME --limit N``.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

from orchestrator.client import slot_lending as lending
from orchestrator.concurrency import lease_keeper
from orchestrator.concurrency.held_here import held_here, holding
from orchestrator.concurrency.requests import LeaseRequest, TurnRequest, Wish
from orchestrator.errors import (
    AcquireConcurrencySlotTimeoutError,
    ConcurrencyLeaseLost,
    ConcurrencySlotAcquisitionError,
)


@asynccontextmanager
async def concurrency(
    names: str | Sequence[str],
    occupy: int = 1,
    timeout_seconds: float | None = None,
    max_retries: int | None = None,
    lease_duration: float = 300,
    strict: bool = False,
    raise_on_lease_renewal_failure: bool | None = None,
) -> AsyncIterator[None]:
    """Hold places under limits for the length of a block, without blocking the event loop while it waits for them.

    Arguments, errors and meaning are those of :func:`orchestrator.concurrency.sync.concurrency`; where the loss of the
    lease raises, the asyncio task of the block is cancelled and the block ends with ConcurrencyLeaseLost.

    >>> from orchestrator.testing import inline
    >>> async def main():
    ...     async with concurrency("db", occupy=2):
    ...         print("at most so many here at once")
    >>> with inline():
    ...     asyncio.run(main())
    at most so many here at once

    Follows Prefect 3 (``prefect.concurrency.asyncio.concurrency``), which polls.
    """
    wish = Wish.of(names, occupy, timeout_seconds, strict)
    if not wish.names:
        yield
        return
    request = await asyncio.to_thread(LeaseRequest, wish, lease_duration, max_retries, held=held_here())
    await _take(request)
    raises = strict if raise_on_lease_renewal_failure is None else raise_on_lease_renewal_failure
    owner, keeper, end = os.getpid(), lease_keeper.keeper, _Cancelling()
    try:
        keeper.keep(request, end.cancel if raises else _nothing)
        with holding(request.fleet, wish.names, wish.occupy):
            yield
    except asyncio.CancelledError:
        if not end.is_reason():
            raise
        raise ConcurrencyLeaseLost(f"the lease of the places under {', '.join(wish.names)} is lost") from None
    finally:
        if os.getpid() == owner:
            keeper.let_go(request.lease_id)
            await asyncio.shield(asyncio.to_thread(request.give_back))


async def rate_limit(
    names: str | Sequence[str], occupy: int = 1, timeout_seconds: float | None = None, strict: bool = False
) -> None:
    """Wait until it is this line's turn under limits whose places come back at a pace.

    Arguments, errors and meaning are those of :func:`orchestrator.concurrency.sync.rate_limit`.

    >>> from orchestrator.testing import inline
    >>> with inline():
    ...     asyncio.run(rate_limit("mails"))

    Follows Prefect 3 (``prefect.concurrency.asyncio.rate_limit``).
    """
    wish = Wish.of(names, occupy, timeout_seconds, strict)
    if wish.names:
        await _wait(await asyncio.to_thread(TurnRequest, wish), asyncio.Event())


class _Cancelling:
    """Cancels the asyncio task around the line that makes it, from another thread."""

    def __init__(self) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        self._cancelled = False

    def cancel(self) -> None:
        with suppress(RuntimeError):  # the loop is closed: nothing is left to be cancelled
            self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if self._task is not None and not self._task.done():
            self._cancelled = True
            self._task.cancel()

    def is_reason(self) -> bool:
        """Whether this has cancelled the task, and nobody else."""
        return self._cancelled and self._task is not None and self._task.uncancel() == 0


async def _take(request: LeaseRequest) -> None:
    woken, taken = asyncio.Event(), False
    request.wake_by(_setter(woken))
    try:
        await _wait(request, woken)
        taken = True
    finally:
        request.fleet.open_futures.place_calls.forget(request.lease_id)
        if not taken:
            await asyncio.shield(asyncio.to_thread(request.leave))


async def _wait(request: LeaseRequest | TurnRequest, woken: asyncio.Event) -> None:
    seconds = await asyncio.to_thread(request.ask)
    if seconds is None:
        return
    async with lending.slot_lent_async():
        while seconds is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(woken.wait(), seconds)
            woken.clear()
            seconds = await asyncio.to_thread(request.ask)


def _setter(event: asyncio.Event) -> Callable[[], None]:
    loop = asyncio.get_running_loop()

    def set_it() -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(event.set)

    return set_it


def _nothing() -> None:
    """The warning is enough."""


__all__ = [
    "AcquireConcurrencySlotTimeoutError",
    "ConcurrencyLeaseLost",
    "ConcurrencySlotAcquisitionError",
    "concurrency",
    "rate_limit",
]
