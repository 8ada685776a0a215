"""What happens before an application serves, and after."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from orchestrator.errors import BrokerError
from orchestrator.fleet import current_fleet, known_fleet, use_fleet

log = logging.getLogger("orchestrator.web")
Lifespan = Callable[[Any], AbstractAsyncContextManager[Any]]


@asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[None]:
    """``FastAPI(lifespan=lifespan)``: connect before the first request, and close in peace at the end.

    Nothing needs it: without it the first call connects. A server that is not there now is logged, not an error.
    """
    ours = known_fleet() is None
    await asyncio.to_thread(_warm)
    try:
        yield
    finally:
        await asyncio.to_thread(_close, ours)


def lifespan_with(own: Lifespan) -> Lifespan:
    """``FastAPI(lifespan=lifespan_with(mine))``: ours around yours; the state that yours yields is kept."""

    @asynccontextmanager
    async def both(app: Any) -> AsyncIterator[Any]:
        async with lifespan(app), own(app) as state:
            yield state

    return both


def _warm() -> None:
    try:
        current_fleet().open_inbox()
    except BrokerError as error:
        log.warning("calls cannot be taken yet: %s", error)


def _close(ours: bool) -> None:
    fleet = known_fleet()
    if fleet is None:
        return
    if ours:  # made for this application; whoever calls after this gets a new one
        fleet.close()
        use_fleet(None)
        return
    try:
        fleet.sender.flush()
    except BrokerError as error:
        log.warning("not everything could be sent: %s", error)
