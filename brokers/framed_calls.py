"""Calls of one map: envelopes that differ in their run ids and bodies only, and are made when somebody asks for one."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, repeat
from typing import Any, Final, overload

import msgpack

from brokers.block_ids import MOST_IN_BLOCK
from brokers.messages import Envelope
from brokers.schema import Extra

Upstreams = Sequence[tuple[str, bool]]
"""Runs that a call waits for, and whether it goes on when they fail."""


def with_upstreams(extras: dict[str, Any] | None, upstreams: Upstreams | None) -> dict[str, Any] | None:
    """The extras of a call that takes results of other runs, from those of its frame."""
    if not upstreams:
        return extras
    own = dict(extras or {})
    own[Extra.UPSTREAMS] = [*own.get(Extra.UPSTREAMS, ()), *upstreams]
    own[Extra.BODY_UPSTREAMS] = msgpack.packb([upstream for upstream, _ in upstreams])
    return own


SMALL: Final = 1024  # bytes on average: what larger bodies would save by being joined is little beside themselves
_FOUR_BYTES: Final = "I"
_Part = tuple[bytes, Sequence[int]] | list[bytes]


class PackedBodies(Sequence[bytes]):
    """The bodies of the calls of a map, small ones joined: a bytes object costs 33 bytes and a place in a list.

    >>> bodies = PackedBodies(b"%d" % number for number in range(300))
    >>> len(bodies), bodies[299], bodies[127:130]
    (300, b'299', [b'127', b'128', b'129'])
    """

    __slots__ = ("_last", "_parts")

    def __init__(self, bodies: Iterable[bytes] = ()) -> None:
        self._parts: list[_Part] = []  # of as many as a block has
        self._last: list[bytes] = []
        for body in bodies:
            self.append(body)

    def append(self, body: bytes) -> None:
        """One more."""
        self._last.append(body)
        if len(self._last) == MOST_IN_BLOCK:
            joined = b"".join(self._last)
            small = len(joined) <= SMALL * MOST_IN_BLOCK
            self._parts.append((joined, array(_FOUR_BYTES, accumulate(map(len, self._last)))) if small else self._last)
            self._last = []

    def __len__(self) -> int:
        return len(self._parts) * MOST_IN_BLOCK + len(self._last)

    @overload
    def __getitem__(self, index: int) -> bytes: ...

    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...

    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        chosen = range(len(self))[index]
        if isinstance(chosen, int):
            return self._body(*divmod(chosen, MOST_IN_BLOCK))
        if chosen.step != 1:
            return [self[at] for at in chosen]
        found: list[bytes] = []
        first = chosen.start
        while first < chosen.stop:
            number, place = divmod(first, MOST_IN_BLOCK)
            found += self._part(number)[place : place + chosen.stop - first]
            first = (number + 1) * MOST_IN_BLOCK
        return found

    def __iter__(self) -> Iterator[bytes]:
        for number in range(len(self._parts) + 1):
            yield from self._part(number)

    def _body(self, number: int, place: int) -> bytes:
        part = self._parts[number] if number < len(self._parts) else self._last
        if isinstance(part, list):
            return part[place]
        joined, ends = part
        return joined[ends[place - 1] if place else 0 : ends[place]]

    def _part(self, number: int) -> list[bytes]:
        part = self._parts[number] if number < len(self._parts) else self._last
        if isinstance(part, list):
            return part
        joined, ends = part
        return [joined[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]


class FramedCalls(Sequence[Envelope]):
    """Envelopes around one frame. Whoever keeps them as blocks needs no envelope of any.

    Args:
        frame: what is the same for all; its own run id and body mean nothing.
        run_ids: of each call.
        bodies: of each call.

        upstreams: of each call, the runs whose results it takes, and whether it goes on when they fail; ``None`` for
            calls that take none.

    >>> calls = FramedCalls(Envelope("", "shop.order", "default:ds", b"", None, None, None), ["a", "b"], [b"1", b"2"])
    >>> [(call.run_id, call.task, call.body) for call in calls]
    [('a', 'shop.order', b'1'), ('b', 'shop.order', b'2')]
    """

    __slots__ = ("bodies", "frame", "run_ids", "upstreams")

    def __init__(
        self,
        frame: Envelope,
        run_ids: Sequence[str],
        bodies: Sequence[bytes],
        upstreams: Sequence[Upstreams | None] | None = None,
    ) -> None:
        self.frame, self.run_ids, self.bodies, self.upstreams = frame, run_ids, bodies, upstreams

    @property
    def wait_for_others(self) -> bool:
        """Whether one of the calls waits for others."""
        return self.upstreams is not None or Extra.UPSTREAMS in (self.frame.extras or ())

    def __len__(self) -> int:
        return len(self.run_ids)

    @overload
    def __getitem__(self, index: int) -> Envelope: ...

    @overload
    def __getitem__(self, index: slice) -> FramedCalls: ...

    def __getitem__(self, index: int | slice) -> Envelope | FramedCalls:
        if isinstance(index, slice):
            upstreams = self.upstreams[index] if self.upstreams is not None else None
            return FramedCalls(self.frame, self.run_ids[index], self.bodies[index], upstreams)
        return self._around(
            self.run_ids[index], self.bodies[index], self.upstreams[index] if self.upstreams is not None else None
        )

    def __iter__(self) -> Iterator[Envelope]:
        return map(self._around, self.run_ids, self.bodies, self.upstreams or repeat(None))

    def _around(self, run_id: str, body: bytes, upstreams: Upstreams | None) -> Envelope:
        _, task, route, _, flow_run_id, reply_to, meta, extras = self.frame
        extras = with_upstreams(extras, upstreams)
        return Envelope(run_id, task, route, body, flow_run_id, reply_to, meta, extras)
