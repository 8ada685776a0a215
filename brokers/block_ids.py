"""Ids of runs that may be kept together in a block: UUIDs of version 8, of which the last 16 bits count.

From an id alone anybody knows whether its run may be in a block, in which, and where. RFC 9562 leaves the bits of
version 8 to us: 48 bits time (ids sort by age), version, 8 bits for the node of a cluster that may keep the block (0 as
long as there is one), 4 bits for the kind (0: calls of one frame), variant, 46 bits random, 16 bits place in the block.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, overload

MOST_IN_BLOCK: Final = 128
"""Calls in a block: what a worker with short calls takes at once, and small enough for one step of a script."""

LEAST_IN_BLOCK: Final = 4
"""Fewer calls are cheaper as records."""

LARGEST_BODY: Final = 2048
"""Bytes of a call on average; larger ones have records, so that no step of a script moves megabytes."""

BLOCK_CHARACTERS: Final = 32
"""How many of an id's characters name its block."""


def member_ids(block: str, count: int) -> list[str]:
    """The ids of the first calls of a block.

    >>> member_ids("0199f1c2-0000-8000-8000-00000000", 2)[1]
    '0199f1c2-0000-8000-8000-000000000001'
    """
    return [block + ending for ending in ENDINGS[:count]]


ENDINGS: Final[Sequence[str]] = [f"{place:04x}" for place in range(256)]
"""What follows the name of a block in the ids of its calls, by place."""

PLACES: Final[Mapping[str, int]] = {ending: place for place, ending in enumerate(ENDINGS)}
"""And back."""


class BlockRunIds(Sequence[str]):
    """The ids of the calls of a map, each made when somebody asks for it: 128 of them cost what one costs.

    Args:
        blocks: the characters that name each block; all of them are full but the last.
        in_blocks: how many calls are in blocks.
        singles: the ids of those that come after them, in no block.

    >>> run_ids = BlockRunIds(["0199f1c2-0000-8000-8000-00000000"], 5, ["0199f1c2-0000-7000-8000-000000000009"])
    >>> len(run_ids), run_ids[4], run_ids.position(run_ids[5]), run_ids[-1] in run_ids
    (6, '0199f1c2-0000-8000-8000-000000000004', 5, True)
    """

    __slots__ = ("_first_of", "blocks", "in_blocks", "singles")

    def __init__(self, blocks: Sequence[str], in_blocks: int, singles: Sequence[str]) -> None:
        self.blocks, self.in_blocks, self.singles = blocks, in_blocks, list(singles)
        self._first_of = {block: number * MOST_IN_BLOCK for number, block in enumerate(blocks)}
        self._first_of |= {run_id: in_blocks + at for at, run_id in enumerate(self.singles)}

    @property
    def names(self) -> Sequence[str]:
        """Under which :meth:`position_of` knows parts of it: blocks, and the ids of those that are in none."""
        return list(self._first_of)

    def position_of(self, name: str) -> int | None:
        """Where a block begins, or where the call is that is in none."""
        return self._first_of.get(name)

    def position(self, run_id: str) -> int | None:
        """Where a run is among them; ``None`` if it is none of them."""
        first = self._first_of.get(run_id[:BLOCK_CHARACTERS])
        if first is None:
            return self._first_of.get(run_id) if run_id in self.singles else None
        place = PLACES.get(run_id[BLOCK_CHARACTERS:], MOST_IN_BLOCK)
        return first + place if place < min(MOST_IN_BLOCK, self.in_blocks - first) else None

    def __len__(self) -> int:
        return self.in_blocks + len(self.singles)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            chosen = range(len(self))[index]
            return list(self._between(chosen.start, chosen.stop)) if chosen.step == 1 else [self[at] for at in chosen]
        if index < 0:
            index += len(self)
        if 0 <= index < self.in_blocks:
            number, place = divmod(index, MOST_IN_BLOCK)
            return self.blocks[number] + ENDINGS[place]
        if index < 0:
            raise IndexError(index)
        return self.singles[index - self.in_blocks]

    def __iter__(self) -> Iterator[str]:
        return self._between(0, len(self))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or len(other) != len(self):
            return False
        return all(one == another for one, another in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # as lists have none

    def __contains__(self, run_id: object) -> bool:
        return isinstance(run_id, str) and self.position(run_id) is not None

    def _between(self, first: int, last: int) -> Iterator[str]:
        while first < min(last, self.in_blocks):
            number, place = divmod(first, MOST_IN_BLOCK)
            begin = first - place
            end = min(last - begin, self.in_blocks - begin, MOST_IN_BLOCK)
            block = self.blocks[number]
            yield from [block + ending for ending in ENDINGS[place:end]]
            first = begin + end
        if first < last:
            yield from self.singles[first - self.in_blocks : last - self.in_blocks]


def fit_for_block(extras: Mapping[str, Any] | None) -> bool:
    """Whether calls with these extras may be in a block.

    >>> fit_for_block(None), fit_for_block({"y": "5"}), fit_for_block({"d": 1000})
    (True, True, False)
    """
    return not extras or extras.keys() == {"y"}  # how many deliveries its task allows


def fit_for_chain(extras: Mapping[str, Any] | None) -> bool:
    """Whether calls with these extras, that may wait for others, may be in a block.

    >>> fit_for_chain({"r": [("b", False)]}), fit_for_chain({"r": [("b", False)], "d": 1000})
    (True, False)
    """
    return not extras or extras.keys() <= {"y", "r"}


def may_be_in_block(run_id: str) -> bool:
    """Whether the run of an id may be kept in a block; any other has a record.

    >>> may_be_in_block("0199f1c2-0000-8000-8000-000000000005"), may_be_in_block("0199f1c2-0000-7000-8000-000000000005")
    (True, False)
    """
    return run_id[14:15] == "8"


def is_first_of_block(run_id: str) -> bool:
    """Whether a block may begin with this run.

    >>> is_first_of_block("0199f1c2-0000-8000-8000-000000000000"), is_first_of_block("short")
    (True, False)
    """
    return may_be_in_block(run_id) and run_id[BLOCK_CHARACTERS:] == ENDINGS[0]


def first_of_range(range_id: str, first: int) -> str:
    """The first run of a range of calls, such as ``<block>r003`` from place 48 on.

    >>> first_of_range("0199f1c2-0000-8000-8000-00000000r003", 48)
    '0199f1c2-0000-8000-8000-000000000030'
    """
    return range_id[:BLOCK_CHARACTERS] + ENDINGS[first]
