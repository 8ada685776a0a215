"""The places that blocks around this line hold: more of them may be wanted than there ever will be.

``concurrency("db")`` inside of ``concurrency("db")`` takes one more place, as in Prefect. Under a limit of 1 the inner
block would wait for the outer one, which waits for the inner one. Blocks count as around a line if they were entered by
the same thread and, on an event loop, by the same asyncio task: these cannot end before it does.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple


class Holding(NamedTuple):
    """Places under limits of one fleet."""

    fleet: Any
    names: tuple[str, ...]
    places: int


_Line = tuple[int, int]  # a thread, and an asyncio task or 0
_held: Final[dict[_Line, list[Holding]]] = defaultdict(list)


@contextmanager
def holding(fleet: Any, names: tuple[str, ...], places: int) -> Iterator[None]:
    """Within this block the line that entered it holds so many places under each of these limits."""
    line, mine = _here(), Holding(fleet, names, places)
    _held[line].append(mine)
    try:
        yield
    finally:
        left = [one for one in _held.pop(line, []) if one is not mine]
        if left:
            _held[line] = left


def held_here() -> tuple[Holding, ...]:
    """What the blocks around this line hold."""
    return tuple(_held.get(_here(), ()))


def _here() -> _Line:
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    return threading.get_ident(), id(task) if task is not None else 0


os.register_at_fork(after_in_child=_held.clear)  # a child that was forked in a block holds nothing
