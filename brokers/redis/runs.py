"""Runs: queue them, cancel them, queue them again, forget them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeGuard

from brokers.block_ids import MOST_IN_BLOCK, fit_for_block, fit_for_chain, is_first_of_block, may_be_in_block
from brokers.errors import BrokerError
from brokers.framed_calls import FramedCalls
from brokers.messages import Envelope
from brokers.records import CALLS_AT_ONCE, in_portions
from brokers.stored import text

from .blocks import in_blocks, wait_side_by_side, whole_block
from .scripts import load
from .sources import shortened
from .store import RedisStore

WORK_OF_A_RECORD: Final = 4  # times that of a call in a block
MOST_WORK: Final = WORK_OF_A_RECORD * CALLS_AT_ONCE
CALLS_IN_BLOCKS: Final = MOST_WORK // MOST_IN_BLOCK * MOST_IN_BLOCK  # of one map that are sent at once
PORTION_BYTES: Final = 1 << 20  # of the bodies that one script takes


class RedisRuns:
    """See :class:`brokers.base.Runs`."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    @property
    def keeps_blocks(self) -> bool:
        return self._store.blocks

    def submit(self, envelopes: Sequence[Envelope]) -> Sequence[str]:
        if begins_a_block(envelopes):
            return self._submit_framed(envelopes)
        run_ids: list[str] = []
        some, store = envelopes, self._store
        try:
            if len(envelopes) == 1 and envelopes[0].run_id[14:15] != "8":  # one of a map may be in a block by now
                run_id, task, route, body, flow_run_id, reply_to, meta, extras = envelopes[0]
                if not (extras or store.queue_limit or store.external_carrier):
                    # The short way of a plain call: see ``send.lua``.
                    call = (run_id, task, route, body, route[:-3], flow_run_id or "", reply_to or "", meta or "")
                    store.wires.run((load("send"), *call), prefix=store.keys.prefix)
                    return [run_id]
            for some in portions(envelopes):
                known, _ = self.write(some)
                add_run_ids(run_ids, some, known)
        except BrokerError as error:
            note_queued(error, run_ids, some)
            raise
        return run_ids

    def _submit_framed(self, calls: FramedCalls) -> Sequence[str]:
        """Calls of blocks have the ids that they came with, so that no list of them is made."""
        sent = 0
        some: Sequence[Envelope] = calls
        try:
            for some in _framed_portions(calls):
                if not (len(some) <= MOST_IN_BLOCK and self._wrote_block(some)):
                    self.write(some)
                sent += len(some)
        except BrokerError as error:
            note_queued(error, calls.run_ids[:sent], some)
            raise
        return calls.run_ids

    def _wrote_block(self, calls: Sequence[Envelope]) -> bool:
        """Whether the short way was open to these calls, see ``send_block.lua``; else nothing was written."""
        store = self._store
        if store.queue_limit or store.external_carrier or not store.blocks:
            return False
        if not isinstance(calls, FramedCalls) or calls.wait_for_others:
            return False
        call = whole_block(calls)
        return call is not None and store.wires.run((load("send_block"), *call), prefix=store.keys.prefix) == [1]

    def write(
        self, envelopes: Sequence[Envelope], calls_per_range: Callable[[str], int] | None = None
    ) -> tuple[list[tuple[int, bytes]], list[list[Any]]]:
        """Write one portion.

        Args:
            envelopes: the calls.
            calls_per_range: where another broker carries them, how many of a block travel together, by task.

        Returns:
            (position from 1, run id) of those whose idempotency key was known, and rows of those that have to be
            published, see ``submit.lua``; none where no other broker carries the calls.
        """
        calls, blocks, positions = (envelopes, [], None) if not self._store.blocks else in_blocks(envelopes)
        calls = [shortened_call(call) if call.extras else call for call in calls]
        arguments: list[Any] = [self._store.queue_limit, calls, blocks]
        if calls_per_range is not None:
            arguments.append({task: calls_per_range(task) for task in {block[1] for block in blocks}})
        known, unpublished = self._store.run("submit", arguments)
        return (known if positions is None else [(positions[at - 1], run) for at, run in known]), unpublished

    def cancel(
        self, run_ids: Sequence[str], reason: str = "cancelled before it started", *, only_waiting: bool = False
    ) -> list[bytes]:
        before: list[bytes] = []
        for some in in_portions(run_ids):
            before += self._store.run_once("cancel", [some, self._store.ttl_ms, reason, only_waiting])
        return before

    def replay(self, run_ids: Sequence[str]) -> list[str]:
        return [run_id.decode() for some in in_portions(run_ids) for run_id in self._store.run_once("replay", some)]

    def run_now(self, run_ids: Sequence[str]) -> list[str]:
        done = (self._store.run_once("run_now", [some, self._store.ttl_ms]) for some in in_portions(run_ids))
        return [run_id.decode() for some in done for run_id in some]

    def delete(self, run_ids: Sequence[str]) -> list[str]:
        return [
            run_id.decode() for some in in_portions(run_ids) for run_id in self._store.run_once("delete", [some, 0])
        ]

    def move_due(self, limit: int = 200) -> float | None:
        wait_ms: int = self._store.run("move", [limit, self._store.ttl_ms])
        return None if wait_ms < 0 else wait_ms / 1000


def shortened_call(call: Envelope) -> Envelope:
    extras = shortened(call.extras)
    return call if extras is call.extras else call._replace(extras=extras)


def portions(envelopes: Sequence[Envelope]) -> Iterable[Sequence[Envelope]]:
    """Envelopes in portions that one script may take: it blocks the server for about 3 ms with so many.

    A portion ends where a block begins, so that a map is not cut in the middle of one.
    """
    if begins_a_block(envelopes):
        return _framed_portions(envelopes)
    return _portions_one_by_one(envelopes)


def begins_a_block(calls: Sequence[Envelope]) -> TypeGuard[FramedCalls]:
    """Whether these are calls of a map of which the first ones are a block."""
    if not isinstance(calls, FramedCalls) or not calls:
        return False
    return fit_for_chain(calls.frame.extras) and is_first_of_block(calls.run_ids[0])


def _framed_portions(calls: FramedCalls) -> Iterable[Sequence[Envelope]]:
    for first in range(0, len(calls), CALLS_IN_BLOCKS):
        some = calls[first : first + CALLS_IN_BLOCKS]
        fits = is_first_of_block(some.run_ids[0]) and sum(map(len, some.bodies)) <= PORTION_BYTES
        if fits and wait_side_by_side(some):
            yield some
        else:
            yield from _portions_one_by_one(some)


def _portions_one_by_one(envelopes: Sequence[Envelope]) -> Iterable[Sequence[Envelope]]:
    portion: list[Envelope] = []
    work = size = 0
    for envelope in envelopes:
        bytes_more = len(envelope.body)
        of_block = may_be_in_block(envelope.run_id) and fit_for_block(envelope.extras)
        begins_block = of_block and work > MOST_WORK - MOST_IN_BLOCK and is_first_of_block(envelope.run_id)
        if portion and (work >= MOST_WORK or begins_block or size + bytes_more > PORTION_BYTES):
            yield portion
            portion, work, size = [], 0, 0
        portion.append(envelope)
        work += 1 if of_block else WORK_OF_A_RECORD
        size += bytes_more
    if portion:
        yield portion


def add_run_ids(run_ids: list[str], some: Sequence[Envelope], known: Sequence[tuple[int, bytes]]) -> None:
    """Add the run ids of a portion that was written: another one where an idempotency key was known."""
    start = len(run_ids)
    run_ids += some.run_ids if isinstance(some, FramedCalls) else [envelope.run_id for envelope in some]
    for position, other in known:
        run_ids[start + position - 1] = text(other)


def note_queued(error: BrokerError, before: Sequence[str], some: Sequence[Envelope]) -> None:
    """Note what is queued although a portion could not be sent: what came before it, and perhaps the portion."""
    error.queued_run_ids = (*before, *error.queued_run_ids)
    if error.reply_lost and not error.doubtful_run_ids:
        error.doubtful_run_ids = tuple(envelope.run_id for envelope in some)
