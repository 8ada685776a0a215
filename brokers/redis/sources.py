"""For which calls the calls of a block wait: noted once for the block, where they wait side by side.

A *source* is ``[first, last, source, place, till, flags]``: call ``first`` of the block waits for the one at ``place``
of the block ``source``, the next one for the next one, and so on. With the flag ``SHARED`` each of them waits for all
from ``place`` to ``till``; then ``source`` may also be a run. ``scripts/lib/chains.lua`` releases the calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import msgpack

from brokers.block_ids import BLOCK_CHARACTERS, ENDINGS, MOST_IN_BLOCK, PLACES, may_be_in_block, member_ids
from brokers.messages import FINAL_STATUSES
from brokers.schema import Extra
from brokers.stored import text

from .store import unpack

GOES_ON: Final = 1  # also after a failure
IN_BODY: Final = 2  # the calls take the results
SHARED: Final = 4
MOST_SOURCES: Final = 16
Upstreams = Sequence[tuple[str, bool]]


class _Scattered(Exception):
    """What the calls wait for does not stand side by side."""


def sources_of(extras: dict[str, Any] | None, calls: Sequence[Upstreams | None] | None, count: int) -> Any:
    """The sources of a block.

    Args:
        extras: of the frame; what all of its calls wait for is in them.
        calls: of each call, the runs whose results it takes, and whether it goes on without.
        count: how many calls there are.

    Returns:
        ``False`` for calls that wait for nothing, ``None`` for calls that cannot be in a block.

    >>> block = "0199f1c2-0000-8000-8000-00000000"
    >>> sources_of(None, [[(f"{block}{place:04x}", False)] for place in range(10, 14)], 4)
    [[0, 3, '0199f1c2-0000-8000-8000-00000000', 10, 13, 2]]
    """
    waits = extras.get(Extra.UPSTREAMS, ()) if extras else ()
    if not waits and calls is None:
        return False
    found: list[list[Any]] = []
    try:
        for upstream in waits:
            _add_shared(found, upstream, count, SHARED)
        for column in zip(*(one or () for one in calls), strict=True) if calls is not None else ():
            _add_column(found, column)
    except (_Scattered, ValueError):  # ValueError: some wait for more than others
        return None
    return found


def _add(found: list[list[Any]], source: list[Any]) -> None:
    if len(found) >= MOST_SOURCES:
        raise _Scattered
    found.append(source)


def _add_shared(found: list[list[Any]], upstream: tuple[str, bool], count: int, flags: int) -> None:
    run_id, goes_on = upstream
    flags += GOES_ON if goes_on else 0
    place = _place_of(run_id)
    if place is None:
        return _add(found, [0, count - 1, run_id, 0, 0, flags])
    block, last = run_id[:BLOCK_CHARACTERS], found[-1] if found else None
    if last is not None and last[2] == block and last[4] == place - 1 and last[5] == flags:
        last[4] = place
    else:
        _add(found, [0, count - 1, block, place, place, flags])


def _add_column(found: list[list[Any]], column: Sequence[tuple[str, bool]]) -> None:
    """What one argument of each call brings along."""
    goes_on = column[0][1]
    run_ids = [run_id for run_id, _ in column]
    if any(also is not goes_on for _, also in column):
        raise _Scattered
    if run_ids.count(run_ids[0]) == len(run_ids):
        return _add_shared(found, column[0], len(column), IN_BODY + SHARED)
    at = 0
    while at < len(run_ids):
        block, place = run_ids[at][:BLOCK_CHARACTERS], _place_of(run_ids[at])
        if place is None:
            raise _Scattered
        count = _side_by_side(run_ids, at, block, place)
        _add(found, [at, at + count - 1, block, place, place + count - 1, IN_BODY + (GOES_ON if goes_on else 0)])
        at += count


def _side_by_side(run_ids: Sequence[str], at: int, block: str, place: int) -> int:
    """How many calls of a block stand one behind the other, from a position on."""
    expected = member_ids(block, MOST_IN_BLOCK)[place : place + len(run_ids) - at]
    if run_ids[at : at + len(expected)] == expected:
        return len(expected)
    count = 0
    while run_ids[at + count] == expected[count]:
        count += 1
    return count


def _place_of(run_id: str) -> int | None:
    """The place of a run in its block; ``None`` for one that is in none."""
    place = PLACES.get(run_id[BLOCK_CHARACTERS:], MOST_IN_BLOCK) if may_be_in_block(run_id) else MOST_IN_BLOCK
    return place if place < MOST_IN_BLOCK else None


# -- one call behind many ----------------------------------------------------------------------------------------------

MANY: Final = 16


def shortened(extras: dict[str, Any] | None) -> dict[str, Any] | None:
    """The extras of a call, with stretches of blocks in the place of many runs that it waits for.

    >>> block = "0199f1c2-0000-8000-8000-00000000"
    >>> shortened({"r": [(f"{block}{place:04x}", False) for place in range(100)]})
    {'r': [['0199f1c2-0000-8000-8000-00000000', 0, 99, False]]}
    """
    waits = extras.get(Extra.UPSTREAMS, ()) if extras else ()
    if extras is None or len(waits) <= MANY:
        return extras
    short = {**extras, Extra.UPSTREAMS: _stretches(waits)}
    packed = extras.get(Extra.BODY_UPSTREAMS)
    if packed is not None:
        stretches = _stretches([(run_id, False) for run_id in msgpack.unpackb(packed)])
        short[Extra.MANY_UPSTREAMS] = msgpack.packb([one[:3] if len(one) == 4 else one[0] for one in stretches])
    return short


def _stretches(waits: Upstreams) -> list[list[Any]]:
    """``[block, first, last, goes on]`` of those that stand side by side, ``[run, goes on]`` of others."""
    run_ids = [run_id for run_id, _ in waits]
    found: list[list[Any]] = []
    at = 0
    while at < len(run_ids):
        goes_on, place = waits[at][1], _place_of(run_ids[at])
        count = _side_by_side(run_ids, at, run_ids[at][:BLOCK_CHARACTERS], place) if place is not None else 1
        count = next((n for n in range(1, count) if waits[at + n][1] is not goes_on), count)
        if place is not None and count > 1:
            found.append([run_ids[at][:BLOCK_CHARACTERS], place, place + count - 1, goes_on])
        else:
            found.append([run_ids[at], goes_on])
        at += count
    return found


def stretches_of(run_ids: Sequence[str]) -> list[list[Any]]:
    """``[block, first, last]`` of the runs that stand side by side in blocks; others are left out."""
    return [one[:3] for one in _stretches([(run_id, False) for run_id in run_ids]) if len(one) == 4]


# -- what a worker gets ------------------------------------------------------------------------------------------------

Results = dict[str, tuple[bytes, bytes]]
"""Status and outcome of runs."""


def add_results(results: Results, of_block: Sequence[Any]) -> None:
    """Add the ends of calls of a block, from its pieces. One may be damaged: whoever misses an end reads it."""
    block, letters, *pieces = of_block
    ids = member_ids(text(block), len(letters))
    for places, outcomes in zip(pieces[::2], pieces[1::2], strict=True):
        with suppress(Exception):
            ends = [(ids[place], letters[place : place + 1]) for place in places]
            pairs = list(zip(ends, unpack(outcomes), strict=True))
            results |= {
                run_id: (status, outcome)
                for (run_id, status), outcome in pairs
                if status in FINAL_STATUSES and isinstance(outcome, bytes)
            }


class Brought:
    """What came along with the calls of a range: which runs each of them takes results of, and those at hand."""

    def __init__(self, row: Sequence[Any]) -> None:
        taken, pieces, singles = row
        self._sources: list[tuple[str, int, int, int, int, int]] = [
            (text(source), first, last, begin, till, flags) for first, last, source, begin, till, flags in taken
        ]
        self._results: Results = {}
        for of_block in pieces:
            add_results(self._results, of_block)
        for run_id, status, outcome in zip(singles[::3], singles[1::3], singles[2::3], strict=True):
            self._results[text(run_id)] = status, outcome

    def of_call(self, place: int) -> tuple[bytes | None, Results | None]:
        """The packed list of the runs whose results one of the calls takes; and these, if all are at hand."""
        run_ids: list[str] = []
        for source, first, last, begin, till, flags in self._sources:
            if first <= place <= last:
                some = range(begin, till + 1) if flags & SHARED else (begin + place - first,)
                run_ids += [source + ENDINGS[at] for at in some] if len(source) == BLOCK_CHARACTERS else [source]
        if not run_ids:
            return None, None
        whole = all(run_id in self._results for run_id in run_ids)
        return msgpack.packb(run_ids), self._results if whole else None
