"""One name for both worlds: called on an event loop, a function that has an async twin returns an awaitable.

Follows Prefect 3 (``async_dispatch``), which people's scripts rely on: ``run_deployment(...)`` and
``await run_deployment(...)``.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def on_event_loop() -> bool:
    """Whether this line runs on an event loop, below a coroutine."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def async_dispatch(twin: str) -> Callable[[Callable[P, R]], Callable[P, Any]]:
    """Have a function return the coroutine of its async twin where an event loop runs; ``_sync=True`` forbids it.

    Args:
        twin: name of the coroutine function beside it: in its module, or in its class for a method.

    >>> def double(x): return 2 * x
    >>> async def adouble(x): return 2 * x
    >>> either = async_dispatch("adouble")(double)
    >>> async def on_a_loop(): return await either(2), either(3, _sync=True)
    >>> either(1), asyncio.run(on_a_loop())
    (2, (4, 6))
    """

    def decorate(function: Callable[..., Any]) -> Any:
        is_method = "." in function.__qualname__.rpartition("<locals>.")[2]

        @functools.wraps(function)
        def either(*args: Any, _sync: bool | None = None, **kwargs: Any) -> Any:
            if _sync or (_sync is None and not on_event_loop()):
                return function(*args, **kwargs)
            if is_method:
                return getattr(args[0], twin)(*args[1:], **kwargs)
            return function.__globals__[twin](*args, **kwargs)

        return either

    return decorate
