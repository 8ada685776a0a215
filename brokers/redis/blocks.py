"""Calls of a map on their way to the store and back: one block instead of many records, see ``docs/design.md``.

Upper floors know calls, deliveries, acks and ends of runs, one each. Here several become one where the store keeps them
so, and one becomes several again. What comes from the store is checked before it is used.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any, Final

from brokers.block_ids import (
    BLOCK_CHARACTERS,
    ENDINGS,
    LARGEST_BODY,
    LEAST_IN_BLOCK,
    MOST_IN_BLOCK,
    fit_for_block,
    fit_for_chain,
    is_first_of_block,
    member_ids,
)
from brokers.framed_calls import FramedCalls
from brokers.messages import FINAL_STATUSES, Ack, AckKind, Delivery, Envelope
from brokers.schema import Extra, is_flow_call
from brokers.stored import text, text_or_none

from .sources import Brought, sources_of
from .store import pack

LARGEST_OUTCOME: Final = 16_384
LARGEST_PIECE: Final = 65_536
PIECE: Final = "B"
HANDED_BACK: Final = "G"
_WITH_PIECES: Final = frozenset((AckKind.COMPLETED, AckKind.FAILED))
_LETTERS: Final = frozenset(b"".join(FINAL_STATUSES))


def range_ticket(ticket: str) -> str:
    """The ticket of the range by which a call of a block came; any other as it is.

    >>> range_ticket("mail:ds 1700000000000-0/0a0199f1c2-0000-8000-8000-00000000r000")
    'mail:ds 1700000000000-0'
    """
    route, space, entry = ticket.partition(" ")
    return route + space + entry.partition("/")[0]


# -- submit ----------------------------------------------------------------------------------------------------------


def in_blocks(envelopes: Sequence[Envelope]) -> tuple[list[Envelope], list[list[Any]], list[int]]:
    """What is written as records, what as blocks, and the position (from 1) of each record among all."""
    records: list[Envelope] = []
    blocks: list[list[Any]] = []
    positions: list[int] = []
    at = 0
    if isinstance(envelopes, FramedCalls):
        at = _framed_in_blocks(envelopes, blocks)
        envelopes = envelopes if at == len(envelopes) else list(envelopes)
    while at < len(envelopes):
        count = _block_from(envelopes, at) if is_first_of_block(envelopes[at].run_id) else 0
        if count:
            blocks.append(_block(envelopes[at : at + count], len(records)))
            at += count
        else:
            records.append(envelopes[at])
            at += 1
            positions.append(at)
    return records, blocks, positions


def _block_from(envelopes: Sequence[Envelope], first: int) -> int:
    """How many calls from here on can be one block; 0 where they cannot."""
    run_id, task, route, _, flow_run, inbox, meta, extras = envelopes[first]
    if is_flow_call(task) or not fit_for_block(extras):
        return 0
    ids = member_ids(run_id[:BLOCK_CHARACTERS], MOST_IN_BLOCK)
    count = size = 0
    for envelope, expected in zip(envelopes[first : first + MOST_IN_BLOCK], ids, strict=False):
        its_id, its_task, its_route, body, its_flow_run, its_inbox, its_meta, its_extras = envelope
        same = its_meta == meta and its_extras == extras and its_task == task and its_route == route
        if its_id != expected or not same or its_flow_run != flow_run or its_inbox != inbox:
            break
        size += len(body)
        if size > LARGEST_BODY * max(count + 1, LEAST_IN_BLOCK):
            break
        count += 1
    return count if count >= LEAST_IN_BLOCK else 0


def _block(envelopes: Sequence[Envelope], records_before: int) -> list[Any]:
    bodies = [one.body for one in envelopes]
    return _packed_block(envelopes[0], envelopes[0].run_id[:BLOCK_CHARACTERS], bodies, records_before=records_before)


def _framed_in_blocks(calls: FramedCalls, blocks: list[list[Any]]) -> int:
    """Add the blocks with which these calls begin, without an envelope for each call; where others follow."""
    at, frame = 0, calls.frame
    if is_flow_call(frame.task) or not fit_for_chain(frame.extras):
        return 0
    while len(calls) - at >= LEAST_IN_BLOCK:
        some = calls[at : at + MOST_IN_BLOCK]
        block = some.run_ids[0][:BLOCK_CHARACTERS]
        if some.run_ids != member_ids(block, len(some)) or max(map(len, some.bodies)) > LARGEST_BODY:
            break
        sources = sources_of(frame.extras, some.upstreams, len(some))
        if sources is None:
            break
        blocks.append(_packed_block(frame, block, some.bodies, sources))
        at += len(some)
    return at


def whole_block(calls: FramedCalls) -> list[str | bytes] | None:
    """What ``send_block.lua`` takes, if these calls, which wait for nothing, are one block; ``None``: they are not."""
    blocks: list[list[Any]] = []
    if _framed_in_blocks(calls, blocks) != len(calls) or len(blocks) != 1:
        return None
    block, task, route, flow_run, inbox, meta, bodies, ends, count, deliveries, _, _ = blocks[0]
    given = (route[:-3], flow_run or "", inbox or "", meta or "", deliveries or "", str(count), bodies, ends)
    return [block, task, route, *given]


def wait_side_by_side(calls: FramedCalls) -> bool:
    """Whether blocks can say what all of these wait for, if they wait for anything."""
    if not calls.wait_for_others:
        return True
    parts = (calls[at : at + MOST_IN_BLOCK] for at in range(0, len(calls) - LEAST_IN_BLOCK + 1, MOST_IN_BLOCK))
    return all(sources_of(part.frame.extras, part.upstreams, len(part)) is not None for part in parts)


def _packed_block(
    frame: Envelope, block: str, bodies: Sequence[bytes], sources: Any = False, records_before: int = 0
) -> list[Any]:
    _, task, route, _, flow_run, inbox, meta, extras = frame
    packed_ends = struct.pack(f">{len(bodies)}I", *accumulate(map(len, bodies)))
    deliveries = extras.get(Extra.MAX_DELIVERIES, False) if extras else False
    same = [block, task, route, flow_run or False, inbox or False, meta or False]
    return [*same, b"".join(bodies), packed_ends, len(bodies), deliveries, sources, records_before]


# -- fetch and complete ----------------------------------------------------------------------------------------------


def deliveries_of(row: Sequence[Any]) -> Iterator[Delivery]:
    """The calls of a range, from a row of ``fetch.lua``, each with a ticket of its own."""
    ticket, range_id, task, bodies, ends, first, flow_run_id, meta, begun, results = row
    came_by, of_range = ticket.decode(), text(range_id)
    task, flow_run_id, meta, block = text(task), text_or_none(flow_run_id), meta or None, of_range[:BLOCK_CHARACTERS]
    brought = Brought(results) if results else None
    begin = 0
    for place, end in enumerate(struct.unpack(f">{len(ends) // 4}I", ends), first):
        end -= begun
        own = f"{came_by}/{place:02x}{of_range}"
        upstreams, at_hand = brought.of_call(place) if brought is not None else (None, None)
        body = bodies[begin:end]
        yield Delivery(own, block + ENDINGS[place], task, body, 0, 0, flow_run_id, meta, 1, upstreams, at_hand)
        begin = end


def in_pieces(acks: Sequence[Ack]) -> list[Any]:
    """Acks as ``complete.lua`` takes them: ends of calls of one range together, the others as they are."""
    rows: list[Any] = []
    open_pieces: dict[tuple[str, int], list[Any]] = {}
    for ack in acks:
        ticket, run_id, how, outcome, ttl_ms, _, behind, drop_body, name = ack
        came_by, slash, own = ticket.partition("/")
        if slash and how == AckKind.HAND_BACK and not behind:
            _add_handed_back(rows, open_pieces, ack)
            continue
        if not slash or how not in _WITH_PIECES or behind or drop_body or name or len(outcome) > LARGEST_OUTCOME:
            rows.append(ack)
            continue
        key = came_by, ttl_ms
        piece = open_pieces.get(key)
        if piece is None or piece[-1] + len(outcome) > LARGEST_PIECE:
            piece = open_pieces[key] = [came_by, own[2:], PIECE, bytearray(), bytearray(), ttl_ms, [], 0]
            rows.append(piece)
        piece[3].append(int(run_id[BLOCK_CHARACTERS:], 16))
        piece[4] += how.encode()
        piece[6].append(outcome)
        piece[7] += len(outcome)
    return [_packed(row) if type(row) is list else row for row in rows]


def _add_handed_back(rows: list[Any], open_pieces: dict[tuple[str, int], list[Any]], ack: Ack) -> None:
    """To those of its range that go back with it: they are one range again, as far as they are its last."""
    came_by, _, own = ack.ticket.partition("/")
    piece = open_pieces.get((came_by, -1))
    if piece is None:
        piece = open_pieces[came_by, -1] = [came_by, own[2:], HANDED_BACK, bytearray(), bytearray(), 0, [], 0]
        rows.append(piece)
    piece[3].append(int(ack.run_id[BLOCK_CHARACTERS:], 16))


def _packed(piece: list[Any]) -> list[Any]:
    came_by, range_id, how, places, letters, ttl_ms, outcomes, _ = piece
    return [came_by, range_id, how, bytes(places), bytes(letters), ttl_ms, pack(outcomes)]


# -- ends, and the journal -------------------------------------------------------------------------------------------


def letters_of(block: bytes, places: bytes, letters: bytes) -> list[tuple[str, bytes]]:
    """Which runs ended how. Raises ValueError: somebody damaged it."""
    if len(places) != len(letters) or not _LETTERS.issuperset(letters):
        raise ValueError("its statuses are not final")
    name = block.decode()
    return [(name + ENDINGS[place], bytes((letter,))) for place, letter in zip(places, letters, strict=True)]


def run_ids_of(block: bytes, count: int) -> list[str]:
    """The runs of a new block. Raises ValueError: somebody damaged it."""
    if not 0 < count <= MOST_IN_BLOCK:
        raise ValueError(f"no block has {count} calls")
    return member_ids(block.decode(), count)
