"""How the runs of a map have ended: a letter for each, and the outcomes in the pieces in which they came.

Nothing here knows handles, and nothing is locked; see :mod:`orchestrator.client.map_runs`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from brokers.block_ends import BlockEnds, outcomes_in
from brokers.block_ids import MOST_IN_BLOCK, BlockRunIds

_EVERY_PLACE: Final = bytes(range(256))
_Piece = tuple[bytes, bytes]  # places, packed outcomes


class MapEnds:
    """The ends of the runs of one map. Where a run is among them is its position.

    What is read without a lock is written last: a letter stands for an outcome that is here already.

    Args:
        run_ids: of all calls.

    Attributes:
        letters: how each run has ended; 0 where it has not.
        left: how many have not ended.
    """

    __slots__ = ("_again", "_alone", "_last_read", "_pieces", "left", "letters", "run_ids")

    def __init__(self, run_ids: BlockRunIds) -> None:
        self.run_ids = run_ids
        self.letters = bytearray(len(run_ids))
        self.left = len(run_ids)
        self._pieces: dict[int, list[_Piece]] = {}  # by the position at which their block begins
        self._alone: dict[int, bytes] = {}  # outcomes that came alone, by position
        self._again: set[int] = set()  # positions of runs that were replayed: what a piece says of them is over
        self._last_read: tuple[range, list[bytes]] = range(0), []  # who goes through a map reads each piece once

    def add_piece(self, piece: BlockEnds) -> Sequence[int]:
        """Ends of some runs of a block; the first end of a run counts. Returns the positions of those that ended now.

        Places that the block does not have (somebody damaged the piece) are those of no run.
        """
        first = self.run_ids.position_of(piece.block)
        if first is None:
            return ()
        size = min(MOST_IN_BLOCK, self.run_ids.in_blocks - first)
        places, letters = piece.places, piece.letters
        run = _as_run(first, places)
        if run is not None and places[-1] < size and not self._again and not any(self.letters[run.start : run.stop]):
            self._pieces.setdefault(first, []).append((places, piece.packed))
            self.letters[run.start : run.stop] = letters
            self.left -= len(run)
            return run
        return self._add_some(first, size, piece)

    def _add_some(self, first: int, size: int, piece: BlockEnds) -> Sequence[int]:
        new: dict[int, int] = {}  # position -> at which place in the piece
        for at, place in enumerate(piece.places):
            if place < size and not self.letters[first + place]:
                new.setdefault(first + place, at)
        if len(new) == len(piece.places) and self._again.isdisjoint(new):
            self._pieces.setdefault(first, []).append((piece.places, piece.packed))
        else:
            outcomes = outcomes_in(piece.packed)
            self._alone.update((position, outcomes[at]) for position, at in new.items())
        for position, at in new.items():
            self.letters[position] = piece.letters[at]
        self.left -= len(new)
        return list(new)

    def add(self, position: int, letter: int, outcome: bytes) -> bool:
        """The end of one run; whether it had not ended before."""
        if self.letters[position]:
            return False
        self._alone[position] = outcome
        self.letters[position] = letter
        self.left -= 1
        return True

    def forget(self, position: int) -> None:
        """The run was replayed: it has not ended."""
        if self.letters[position]:
            self._again.add(position)
            self._alone.pop(position, None)
            self.letters[position] = 0
            self.left += 1

    def count_left(self) -> None:
        """Count again: a process was forked while another thread wrote."""
        self.left = self.letters.count(0)

    def outcome_of(self, position: int) -> bytes:
        """The outcome of a run that has ended."""
        if position in self._alone:
            return self._alone[position]
        run, outcomes = self._last_read
        if position in run:
            return outcomes[position - run.start]
        first = position - position % MOST_IN_BLOCK
        places, packed = next(piece for piece in self._pieces[first] if position - first in piece[0])
        outcomes = outcomes_in(packed)
        run_of_piece = _as_run(first, places)
        if run_of_piece is not None:
            self._last_read = run_of_piece, outcomes
        return outcomes[places.index(position - first)]

    def in_pieces(self) -> Iterator[tuple[int, bytes, list[bytes]]]:
        """All outcomes that came in pieces and count: position of their block, places, outcomes."""
        for first, pieces in list(self._pieces.items()):
            for places, packed in pieces:
                outcomes = outcomes_in(packed)
                if self._again:
                    kept = [at for at, place in enumerate(places) if first + place not in self._again]
                    places, outcomes = bytes(places[at] for at in kept), [outcomes[at] for at in kept]
                yield first, places, outcomes

    def alone(self) -> list[tuple[int, bytes]]:
        """All outcomes that came alone: position, outcome."""
        return list(self._alone.items())

    def open_from(self, start: int) -> Iterator[int]:
        """The positions of runs that have not ended, from one on; those before it come last."""
        for begin, end in ((start, len(self.letters)), (0, start)):
            position = self.letters.find(0, begin, end)
            while position >= 0:
                yield position
                position = self.letters.find(0, position + 1, end)


def _as_run(first: int, places: bytes) -> range | None:
    """The positions of places that follow each other, as those of a piece mostly do."""
    if not places or places != _EVERY_PLACE[places[0] : places[0] + len(places)]:
        return None
    return range(first + places[0], first + places[0] + len(places))
