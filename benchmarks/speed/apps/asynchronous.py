"""What the apps of asyncio queues share: many coroutines, no more at once than a pool of connections likes."""

from __future__ import annotations

import asyncio

AT_ONCE = 64


async def all_of(function, rows):
    """The results of ``function(*row)`` for every row, in order."""
    rows = list(rows)
    found = [None] * len(rows)
    places = iter(range(len(rows)))

    async def hand():
        for place in places:
            found[place] = await function(*rows[place])

    await asyncio.gather(*(hand() for _ in range(AT_ONCE)))
    return found
