"""Whether the caller is about to await what it gets, for values that are given with and without ``await``."""

from __future__ import annotations

import asyncio
import dis
import functools
import sys
from types import CodeType


def is_awaited_by_caller() -> bool:
    """Whether the function that called this one was itself called as ``await function(...)``, on an event loop.

    Prefect's ``state.result()`` is written with ``await`` in async code and without it elsewhere; here it is a plain
    call everywhere, and this lets the other way of writing it work as well.
    """
    if asyncio._get_running_loop() is None:
        return False
    frame = sys._getframe(2)
    return _is_awaited(frame.f_code, frame.f_lasti)


@functools.lru_cache(maxsize=512)
def _is_awaited(code: CodeType, position: int) -> bool:
    following = (step.opname for step in dis.get_instructions(code) if step.offset > position)
    return next((name for name in following if name not in ("CACHE", "NOP", "EXTENDED_ARG")), "") == "GET_AWAITABLE"
