"""The calls of a map: packed at once, because nothing is sent when one cannot be, and kept small."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Any, overload

from brokers.block_ids import fit_for_chain
from brokers.framed_calls import FramedCalls, PackedBodies, Upstreams, with_upstreams
from brokers.messages import Envelope
from orchestrator.runs.run_ids import new_map_run_ids, new_run_id
from orchestrator.submission.envelopes import EnvelopeBuilder

if TYPE_CHECKING:
    from orchestrator.runnables.binding import Arguments, Rows


class PackedCalls(Sequence[Envelope]):
    """The envelopes of a map, made when they are asked for: what is kept of a call is its id and its body.

    A map of 1,000,000 holds 500 MB less so. All calls are packed at once, because nothing is sent when one cannot be.
    """

    def __init__(
        self, frame: EnvelopeBuilder, rows: Rows | Sequence[Arguments], run_ids: Sequence[str] | None = None
    ) -> None:
        self._frame = frame
        self.run_ids: Sequence[str] = _new_run_ids(frame, len(rows)) if run_ids is None else list(run_ids)
        self._bodies = PackedBodies()
        self._upstreams: list[Upstreams | None] | None = None  # of each call, once one of them takes results of others
        for run_id, (args, kwargs) in zip(self.run_ids, rows, strict=True):
            body, upstreams = frame.packed(run_id, args, kwargs)
            if upstreams and self._upstreams is None:
                self._upstreams = [None] * len(self._bodies)
            if self._upstreams is not None:
                self._upstreams.append(upstreams)
            self._bodies.append(body)

    @property
    def are_special(self) -> bool:
        """Whether there is a call that needs more than the frame says."""
        return self._upstreams is not None

    def framed(self) -> FramedCalls:
        """The same calls for the sender, around one frame."""
        return FramedCalls(self._frame.around("", b"", self._frame.extras), self.run_ids, self._bodies, self._upstreams)

    def __len__(self) -> int:
        return len(self.run_ids)

    @overload
    def __getitem__(self, index: int) -> Envelope: ...

    @overload
    def __getitem__(self, index: slice) -> list[Envelope]: ...

    def __getitem__(self, index: int | slice) -> Envelope | list[Envelope]:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        at = range(len(self))[index]
        return self._frame.around(self.run_ids[at], self._bodies[at], self._extras_of(at))

    def __iter__(self) -> Iterator[Envelope]:
        extras = map(self._extras_of, range(len(self))) if self._upstreams else repeat(self._frame.extras)
        return map(self._frame.around, self.run_ids, self._bodies, extras)

    def _extras_of(self, index: int) -> dict[str, Any] | None:
        return with_upstreams(self._frame.extras, self._upstreams[index] if self._upstreams else None)


def _new_run_ids(frame: EnvelopeBuilder, count: int) -> Sequence[str]:
    if fit_for_chain(frame.extras) and frame.fleet.broker.runs.keeps_blocks:
        return new_map_run_ids(count)
    return [new_run_id() for _ in range(count)]
