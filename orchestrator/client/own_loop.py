"""Running an awaitable to its end from code that is not async."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any


def run_to_its_end(awaitable: Awaitable[Any]) -> Any:
    """Its result, from a loop of its own: in this thread, or beside it where this thread runs a loop already.

    >>> async def one(): return 1
    >>> run_to_its_end(one())
    1
    """

    async def outer() -> Any:
        return await awaitable

    if asyncio._get_running_loop() is None:
        return asyncio.run(outer())
    with ThreadPoolExecutor(1) as beside:
        return beside.submit(copy_context().run, asyncio.run, outer()).result()
