"""Plain calls of one frame that the coroutines of a loop send in the same turn of it: one parcel for all of them.

A call then needs no envelope, no parcel and no id of its own before it is sent: it is a body and a future in two lists.
The group is closed when the loop has run whatever is ready, and goes as a block: under ids that stand side by side.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

from brokers.block_ids import LEAST_IN_BLOCK, MOST_IN_BLOCK, member_ids
from brokers.framed_calls import FramedCalls
from brokers.loop_waiters import LoopsOfThreads, LoopWaiters
from brokers.messages import Envelope
from brokers.parcel import Parcel, copy_for
from brokers.sender import Sender


class LoopGroups:
    """Those of one sender.

    Args:
        sender: sends them, in its thread.
        new_block: makes what the ids of a new block begin with.
        new_run_id: makes the id of a call that goes alone.
    """

    def __init__(self, sender: Sender, new_block: Callable[[], str], new_run_id: Callable[[], str]) -> None:
        self._sender, self._new_block, self._new_run_id = sender, new_block, new_run_id
        self._loops: LoopsOfThreads[_OpenGroups] = LoopsOfThreads(_OpenGroups)

    def post(self, frame: Envelope, body: bytes) -> asyncio.Future[str]:
        """Send a call that has nothing of its own but its body; for coroutines, which await the run id.

        Args:
            frame: what it has in common with others: the same object for all of them.
            body: at most ``LARGEST_BODY`` bytes, and the same under any run id.

        Returns:
            Raises BrokerError when it is awaited, as :meth:`brokers.sender.Sender.asend` does.
        """
        here = self._loops.here()
        loop, group = here.loop, here.groups.get(id(frame))
        if group is None:
            group = here.groups[id(frame)] = _Group(frame)
            loop.call_soon(self._close, here, group)
        sent: asyncio.Future[str] = loop.create_future()
        group.bodies.append(body)
        group.futures.append(sent)
        return sent

    def _close(self, here: _OpenGroups, group: _Group) -> None:
        """All that was ready in the loop has been run: whoever comes now begins another group."""
        del here.groups[id(group.frame)]
        try:
            self._send_group(here, group)
        except Exception as error:  # no thread can be started, for example; the loop would only log it
            for future in group.futures:
                if not future.done():
                    future.set_exception(error)

    def _send_group(self, here: _OpenGroups, group: _Group) -> None:
        frame, bodies, futures = group.frame, group.bodies, group.futures
        until = time.monotonic() + self._sender.seconds
        for first in range(0, len(bodies), MOST_IN_BLOCK):
            some, theirs = bodies[first : first + MOST_IN_BLOCK], futures[first : first + MOST_IN_BLOCK]
            if len(some) >= LEAST_IN_BLOCK:
                calls = FramedCalls(frame, member_ids(self._new_block(), len(some)), some)
                self._send(here, Parcel(calls, None, until, is_block=True), theirs)
                continue
            _, task, route, _, flow_run_id, reply_to, meta, extras = frame
            for body, future in zip(some, theirs, strict=True):
                run_id = self._new_run_id()
                envelope = Envelope(run_id, task, route, body, flow_run_id, reply_to, meta, extras)
                self._send(here, Parcel((envelope,), None, until, rebind=_same_body), [future])

    def _send(self, here: LoopWaiters, parcel: Parcel, futures: Sequence[asyncio.Future[str]]) -> None:
        here.expect(parcel, _Answers(parcel, futures, self._sender))
        self._sender.begin(parcel)


class _OpenGroups(LoopWaiters):
    """The groups of one loop that others may still join, and the parcels that are on their way."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.groups: dict[int, _Group] = {}  # by the identity of their frame, which they keep


class _Group:
    __slots__ = ("bodies", "frame", "futures")

    def __init__(self, frame: Envelope) -> None:
        self.frame = frame
        self.bodies: list[bytes] = []
        self.futures: list[asyncio.Future[str]] = []


class _Answers:
    """Gives each call of a parcel its run id or its error; it stands where one future would, see ``LoopWaiters``."""

    __slots__ = ("_futures", "_is_done", "_parcel", "_sender")

    def __init__(self, parcel: Parcel, futures: Sequence[asyncio.Future[str]], sender: Sender) -> None:
        self._parcel, self._futures, self._sender, self._is_done = parcel, futures, sender, False

    def done(self) -> bool:
        return self._is_done

    def set_result(self, _: Any) -> None:
        self._is_done, parcel = True, self._parcel
        if not parcel.done:  # its time is over
            self._sender.give_up(parcel)
        error = parcel.error
        if error is None:
            for future, run_id in zip(self._futures, parcel.run_ids, strict=True):
                if not future.done():  # cancelled: the call is sent all the same
                    future.set_result(run_id)
            return
        for future, run_id in zip(self._futures, parcel.given_ids, strict=True):
            if not future.done():
                future.set_exception(copy_for(error, {run_id}) if len(self._futures) > 1 else error)


def _same_body(envelope: Envelope, _: str) -> bytes:
    return envelope.body
