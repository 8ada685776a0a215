"""Calls of one frame that share a trip become a block: they get ids that stand side by side, and go as a map does.

A block costs the server a tenth of what as many records cost. Who sends one call at a time, from many threads or
coroutines, learns its id from the confirmation, so that it can be given when it is known who shares the trip. Others
need the id before (a flow that goes on at once): they take the next place of a block that is open, and here those are
brought together again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

from brokers.block_ids import (
    BLOCK_CHARACTERS,
    LARGEST_BODY,
    LEAST_IN_BLOCK,
    MOST_IN_BLOCK,
    fit_for_block,
    may_be_in_block,
    member_ids,
)
from brokers.framed_calls import FramedCalls
from brokers.messages import Envelope
from brokers.parcel import Parcel, have_upstreams
from brokers.schema import Extra, is_flow_call


class Section:
    """What stands together in a trip.

    Args:
        parcels: whose calls.
        calls: these calls, in the same order.
    """

    __slots__ = ("calls", "parcels")

    def __init__(self, parcels: Sequence[Parcel], calls: Sequence[Envelope]) -> None:
        self.parcels, self.calls = parcels, calls

    def settle_ids(self) -> None:
        """Whoever sends these calls again sends them under the ids that they have got."""
        if isinstance(self.calls, FramedCalls):
            for parcel, envelope in zip(self.parcels, self.calls, strict=True):
                parcel.envelopes, parcel.rebind = (envelope,), None


class Grouping:
    """Brings the calls of one trip into blocks.

    Args:
        new_block: makes what the ids of a new block begin with (``brokers.block_ids``); ``None``: there are no blocks.
    """

    def __init__(self, new_block: Callable[[], str] | None) -> None:
        self._new_block = new_block
        self.naming = threading.Lock()  # held while ids are given, and by who gives a call up and says its id

    def sections(self, parcels: Sequence[Parcel]) -> list[Section]:
        """The parcels in the order in which they are sent; calls that may have new ids have got them.

        Calls of a group stand where its first one stood. What they overtake was sent by others at the same moment, or
        waits for calls of the group.
        """
        if self._new_block is None:
            return [as_they_are(parcels)]
        sections: list[Section] = []
        for key, group in _groups(parcels).items():
            while type(key) is tuple and len(group) >= LEAST_IN_BLOCK:
                sections.append(self._block(group[:MOST_IN_BLOCK]))
                group = group[MOST_IN_BLOCK:]
            if group:
                sections.append(as_they_are(group))
        return sections

    def _block(self, parcels: list[Parcel]) -> Section:
        assert self._new_block is not None
        run_ids = member_ids(self._new_block(), len(parcels))
        bodies = [
            parcel.rebind(parcel.envelopes[0], run_id)
            for parcel, run_id in zip(parcels, run_ids, strict=True)
            if parcel.rebind is not None
        ]
        with self.naming:
            if any(parcel.done for parcel in parcels):  # given up meanwhile, under the id that it had
                return as_they_are(parcels)
            for parcel, run_id in zip(parcels, run_ids, strict=True):
                parcel.run_ids = (run_id,)
        return Section(parcels, FramedCalls(parcels[0].envelopes[0], run_ids, bodies))


def as_they_are(parcels: Sequence[Parcel]) -> Section:
    """Under the ids that they have."""
    return Section(parcels, list(chain.from_iterable(parcel.envelopes for parcel in parcels)))


def _groups(parcels: Sequence[Parcel]) -> dict[Any, list[Parcel]]:
    """Those that may be one block have a key in common: all but the body, a tuple; or the block that they are in."""
    groups: dict[Any, list[Parcel]] = {}
    last: Envelope | None = None
    group: list[Parcel] = []
    for parcel in parcels:
        if parcel.rebind is None or parcel.done:
            groups.setdefault(_block_of(parcel), []).append(parcel)
            continue
        (envelope,) = parcel.envelopes
        if last is None or not _is_as_before(envelope, last):
            key = _frame_of(parcel, envelope)
            group, last = groups.setdefault(key, []), envelope if type(key) is tuple else None
        group.append(parcel)
    return groups


def _is_as_before(envelope: Envelope, last: Envelope) -> bool:
    """A quick look at what most calls have in common with the one before."""
    _, task, route, body, flow_run_id, reply_to, meta, extras = envelope
    _, its_task, its_route, _, its_flow_run_id, its_reply_to, its_meta, its_extras = last
    same = task is its_task and route is its_route and meta is its_meta and extras is its_extras
    return same and flow_run_id is its_flow_run_id and reply_to is its_reply_to and len(body) <= LARGEST_BODY


def _frame_of(parcel: Parcel, envelope: Envelope) -> Any:
    _, task, route, body, flow_run_id, reply_to, meta, extras = envelope
    if len(body) > LARGEST_BODY or not fit_for_block(extras) or is_flow_call(task):
        return id(parcel)
    return task, route, flow_run_id, reply_to, meta, extras[Extra.MAX_DELIVERIES] if extras else None


def _block_of(parcel: Parcel) -> Any:
    if len(parcel.envelopes) != 1 or have_upstreams(parcel.envelopes):  # it must not overtake what it waits for
        return id(parcel)
    run_id = parcel.envelopes[0].run_id
    return run_id[:BLOCK_CHARACTERS] if may_be_in_block(run_id) else id(parcel)
