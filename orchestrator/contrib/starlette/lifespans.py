"""Connects before an application serves, closes after."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from orchestrator.client.fleet import current_fleet, known_fleet, use_fleet
from orchestrator.errors import BrokerError

log = logging.getLogger("orchestrator.web")
Lifespan = Callable[[Any], AbstractAsyncContextManager[Any]]


@asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[None]:
    """``FastAPI(lifespan=lifespan)``: connect before the first request, flush and close at shutdown.

    Optional: without it the first call connects. An unreachable store is logged and no error.
    """
    ours = known_fleet() is None
    await asyncio.to_thread(_connect)
    try:
        yield
    finally:
        await asyncio.to_thread(_close, ours)


def lifespan_with(own: Lifespan) -> Lifespan:
    """``FastAPI(lifespan=lifespan_with(mine))``: this lifespan around your own; the state that yours yields is kept."""

    @asynccontextmanager
    async def both(app: Any) -> AsyncIterator[Any]:
        async with lifespan(app), own(app) as state:
            yield state

    return both


def _connect() -> None:
    try:
        current_fleet().open_inbox()
    except BrokerError as error:
        log.warning("cannot send calls yet: %s", error)


def _close(ours: bool) -> None:
    fleet = known_fleet()
    if fleet is None:
        return
    if ours:  # created for this application; a later call creates a new one
        fleet.close()
        use_fleet(None)
        return
    try:
        fleet.sender.flush()
    except BrokerError as error:
        log.warning("could not send all buffered calls: %s", error)
