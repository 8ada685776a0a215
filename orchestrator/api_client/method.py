"""One function, two doors: a client that waits has it as a function, one for event loops as a coroutine function."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar, overload

from orchestrator.api_client.api import Api

P = ParamSpec("P")
T = TypeVar("T")


class AsyncDoor(Protocol):
    """A client whose methods are awaited."""

    api: Api
    awaits: None


class SyncDoor(Protocol):
    """A client whose methods wait."""

    api: Api
    waits: None


class Method(Generic[P, T]):
    """A method of both clients, from a coroutine function whose first argument is the :class:`Api`.

    A client that waits has an ``Api`` whose coroutines never suspend, so that they can be run without an event loop.
    """

    def __init__(self, function: Callable[Concatenate[Api, P], Coroutine[Any, Any, T]]) -> None:
        self._function = function
        self.__doc__ = function.__doc__

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...

    @overload
    def __get__(self, client: AsyncDoor, owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...

    @overload
    def __get__(self, client: SyncDoor, owner: type) -> Callable[P, T]: ...

    def __get__(self, client: Any, owner: type) -> Any:
        if client is None:
            return self
        call = functools.partial(self._function, client.api)
        if hasattr(client, "awaits"):
            return functools.update_wrapper(call, self._function)
        return functools.update_wrapper(functools.partial(_wait_for, call), self._function)


def _wait_for(call: Callable[..., Coroutine[Any, Any, T]], *args: Any, **kwargs: Any) -> T:
    """The result of a coroutine that never suspends."""
    coroutine = call(*args, **kwargs)
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    coroutine.close()
    raise RuntimeError("a client that waits has met an event loop: please report this")
