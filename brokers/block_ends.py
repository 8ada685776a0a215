"""Ends of calls of one block that came together, kept as they came: 128 of them cost what one costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgpack

from brokers.block_ids import ENDINGS
from brokers.messages import FINAL_STATUSES, RunEnd

_LETTERS: Final = frozenset(b"".join(FINAL_STATUSES))


class BlockEnds(NamedTuple):
    """How some calls of a block have ended.

    Attributes:
        block: the characters that their ids have in common, see :mod:`brokers.block_ids`.
        places: where each of them is in the block; a byte each.
        letters: how each has ended; a byte each.
        packed: their outcomes, see :func:`outcomes_in`; empty where all of them have to be read from the store.
    """

    block: str
    places: bytes
    letters: bytes
    packed: bytes

    @classmethod
    def checked(cls, piece: Sequence[Any]) -> BlockEnds:
        """From what the store has written.

        Raises:
            ValueError: somebody damaged it.
        """
        block, places, letters, packed = piece
        if not all(isinstance(part, bytes) for part in (block, places, letters, packed)):
            raise ValueError("its parts are not bytes")
        if len(places) != len(letters) or not _LETTERS.issuperset(letters):
            raise ValueError("its statuses are not final")
        if packed and len(outcomes_in(packed)) != len(places):
            raise ValueError("its outcomes are not those of its runs")
        return cls(block.decode(), places, letters, packed)

    @property
    def is_whole(self) -> bool:
        """Whether all outcomes are in it: an empty one has to be read from the store."""
        return bool(self.packed) and all(outcomes_in(self.packed))

    def each(self) -> list[RunEnd]:
        """The ends one by one; without outcomes where they have to be read."""
        outcomes = outcomes_in(self.packed) if self.packed else [b""] * len(self.places)
        return [
            (self.block + ENDINGS[place], bytes((letter,)), outcome)
            for place, letter, outcome in zip(self.places, self.letters, outcomes, strict=True)
        ]


def outcomes_in(packed: bytes) -> list[bytes]:
    """The outcomes of a piece. Raises ValueError: somebody damaged it."""
    outcomes = msgpack.unpackb(packed, raw=True)
    if not isinstance(outcomes, list) or any(type(outcome) is not bytes for outcome in outcomes):
        raise ValueError("its outcomes are not bytes")
    return outcomes
