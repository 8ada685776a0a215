"""Receiving inputs: a handler gives each input of a flow run once, and waits for the next one.

It is notified by the inbox of this process; should that be lost, it looks by itself every ``poll_interval`` seconds.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final, Generic, Self, TypeVar
from uuid import UUID

from brokers.errors import BrokerUnavailable
from brokers.facets.inputs import FIRST
from orchestrator.client import slot_lending as lending
from orchestrator.client.async_dispatch import async_dispatch
from orchestrator.client.fleet import current_fleet
from orchestrator.client.schemas.run_objects import FlowRunInput
from orchestrator.client.waiting import check_timeout
from orchestrator.pausing.stored_inputs import be_known, ensure_flow_run_id, input_of

T = TypeVar("T")
SHORTEST_POLL_SECONDS: Final = 0.05
LONGEST_BLOCK_SECONDS: Final = 1.0  # whoever cancels this run has to get through


class GetInputHandler(Generic[T]):
    """Gives the inputs of one kind that a flow run gets: a loop over it, ``for`` or ``async for``, or :meth:`next`.

    Args:
        to_value: what is given, from what is stored. Raises ParameterTypeError: it does not fit.
        key_prefix: how keys begin of what is received; or whether a key is one of these.
        timeout: seconds to wait for each; ``None``: however long it takes.
        poll_interval: seconds after which it looks although nobody has notified it.
        raise_timeout_error: end a loop with TimeoutError, rather than without an error.
        exclude_keys: of inputs that are passed over.
        flow_run_id: whose; the flow run around this line unless given.

    Attributes:
        exclude_keys: what was given, and the keys of all that was received.

    Follows Prefect 3 (``prefect.input.run_input.GetInputHandler``).
    """

    def __init__(
        self,
        to_value: Callable[[FlowRunInput], T],
        key_prefix: str | Callable[[str], bool],
        timeout: float | None = 3600,
        poll_interval: float = 10,
        raise_timeout_error: bool = False,
        exclude_keys: Iterable[str] | None = None,
        flow_run_id: UUID | str | None = None,
    ) -> None:
        check_timeout(timeout)
        if not poll_interval >= 0:
            raise ValueError(f"poll_interval={poll_interval!r}: seconds from 0 on")
        self.timeout, self.poll_interval = timeout, poll_interval
        self.raise_timeout_error = raise_timeout_error
        self.exclude_keys: set[str] = set(exclude_keys or ())
        self.flow_run_id = UUID(ensure_flow_run_id(flow_run_id))
        self.key_prefix = key_prefix if isinstance(key_prefix, str) else None
        self._fits = key_prefix if callable(key_prefix) else lambda key: key.startswith(self.key_prefix or "")
        self._to_value = to_value
        self._id = secrets.token_hex(8)
        self._position = FIRST
        self._found: deque[FlowRunInput] = deque()
        self._lock = threading.Lock()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        try:
            return self._next()
        except TimeoutError:
            if self.raise_timeout_error:
                raise
            raise StopIteration from None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        try:
            return await self.anext()
        except TimeoutError:
            if self.raise_timeout_error:
                raise
            raise StopAsyncIteration from None

    @async_dispatch("anext")
    def next(self) -> T:
        """The next input; on an event loop it returns an awaitable. A task that waits lends its slot meanwhile.

        Raises:
            TimeoutError: none came in time.
            ParameterTypeError: it does not fit; it counts as received.
            BrokerError: the server has not answered for the whole time.
        """
        return self._next()

    def _next(self) -> T:
        deadline, woken = self._deadline(), threading.Event()
        found = self._look(woken.set, wait=False)
        try:
            while found is None:
                woken.clear()
                found = self._look(woken.set, late=_is_over(deadline))
                if found is None:
                    self._check(deadline)
                    with lending.slot_lent():
                        _block(woken, self._seconds(deadline))
        finally:
            self._forget()
        return self._to_value(found)

    async def anext(self) -> T:
        """:meth:`next` for coroutines."""
        loop, woken = asyncio.get_running_loop(), asyncio.Event()
        deadline = self._deadline()

        def wake() -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(woken.set)

        found = await asyncio.to_thread(self._look, wake, wait=False)
        try:
            while found is None:
                woken.clear()
                found = await asyncio.to_thread(self._look, wake, late=_is_over(deadline))
                if found is None:
                    self._check(deadline)
                    async with lending.slot_lent_async():
                        with suppress(TimeoutError):
                            await asyncio.wait_for(woken.wait(), self._seconds(deadline))
        finally:
            self._forget()
        return self._to_value(found)

    # -- looking -----------------------------------------------------------------------------------------------------

    def _look(self, wake: Callable[[], None], *, wait: bool = True, late: bool = False) -> FlowRunInput | None:
        """The next input that is there. ``None``: none is, and ``wake`` is called when there is one."""
        fleet = current_fleet()
        run_id, inbox = str(self.flow_run_id), ""
        try:
            if wait:
                inbox = fleet.open_inbox()
                fleet.open_futures.place_calls.expect(self._id, wake)
            else:
                be_known(fleet)
            with self._lock:
                while not self._found:
                    some = fleet.broker.inputs.after(run_id, self._position, 100, inbox, self._id)
                    if not some:
                        return None
                    self._position = some[-1].position
                    wanted = [one for one in some if self._fits(one.key) and one.key not in self.exclude_keys]
                    self._found += [read for one in wanted if (read := input_of(run_id, one)) is not None]
                found = self._found.popleft()
                self.exclude_keys.add(found.key)
                return found
        except BrokerUnavailable:
            if late:
                raise
            return None

    def _deadline(self) -> float | None:
        return None if self.timeout is None else time.monotonic() + self.timeout

    def _check(self, deadline: float | None) -> None:
        if _is_over(deadline):
            raise TimeoutError(f"no input came to flow run {self.flow_run_id} within {self.timeout:g} s")

    def _forget(self) -> None:
        current_fleet().open_futures.place_calls.forget(self._id)

    def _seconds(self, deadline: float | None) -> float:
        left = max(self.poll_interval, SHORTEST_POLL_SECONDS)
        return left if deadline is None else max(0.0, min(left, deadline - time.monotonic()))


def _is_over(deadline: float | None) -> bool:
    return deadline is not None and time.monotonic() >= deadline


def _block(woken: threading.Event, seconds: float) -> None:
    until = time.monotonic() + seconds
    while not woken.wait(max(0.0, min(LONGEST_BLOCK_SECONDS, until - time.monotonic()))):
        if time.monotonic() >= until:
            return
