"""Running an awaitable to its end from code that is not async."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from typing import Any, TypeVar

T = TypeVar("T")


def run_to_its_end(awaitable: Awaitable[Any]) -> Any:
    """Its result, from a loop of its own: in this thread, or beside it where this thread runs a loop already.

    Whoever is interrupted meanwhile (Ctrl-C, a timeout) cancels it, and does not wait for what it does about that.

    >>> async def one(): return 1
    >>> run_to_its_end(one())
    1
    """
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = []
    is_wanted = True

    async def outer() -> Any:
        task = asyncio.current_task()
        assert task is not None
        running.append((asyncio.get_running_loop(), task))
        if not is_wanted:  # since before it began
            task.cancel()
        return await awaitable

    def cancel() -> None:
        nonlocal is_wanted
        is_wanted = False
        for loop, task in running:
            with suppress(RuntimeError):  # the loop is closed: it is over
                loop.call_soon_threadsafe(task.cancel)

    if asyncio._get_running_loop() is None:
        return asyncio.run(outer())
    context = copy_context()
    return beside_this_thread(lambda: context.run(asyncio.run, outer()), cancel)


def beside_this_thread(call: Callable[[], T], cancel: Callable[[], None] = lambda: None) -> T:
    """What a call returns in another thread, or raises. Interrupted meanwhile, it is left alone, after ``cancel()``.

    >>> beside_this_thread(lambda: 1)
    1
    """
    thread = ThreadPoolExecutor(1)
    called = thread.submit(call)
    try:
        return called.result()
    except BaseException:
        if not called.done():
            called.cancel()
            cancel()
        raise
    finally:
        thread.shutdown(wait=called.done())
