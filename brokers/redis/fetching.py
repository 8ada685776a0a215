"""The scripts that hand out calls and acknowledge others on the way, and what they reply."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from brokers.block_ids import BLOCK_CHARACTERS
from brokers.errors import BrokerError
from brokers.messages import Ack, Delivery, NotSettled
from brokers.stored import text, text_or_none

from .blocks import deliveries_of
from .settling import Settling
from .store import RedisStore, pack, unpack
from .transport.wire import ScriptCall


class Runs(Protocol):
    """A wire, or all that are shared."""

    def run(self, *calls: ScriptCall, prefix: str) -> list[Any]: ...

    def run_beside(self, aside: ScriptCall, call: ScriptCall, *, prefix: str) -> list[Any]: ...


def fetch(
    store: RedisStore, wire: Runs, arguments: Sequence[Any], acks: Sequence[Ack]
) -> tuple[list[Delivery], list[str]]:
    """Store acks, and run ``fetch.lua`` in the same trip.

    Returns:
        The deliveries, and the run ids whose ack was refused.

    Raises:
        NotSettled: there are deliveries, and the acks may not be stored.
        BrokerError: there are none, and the acks may not be stored either.
    """
    call, prefix = (store.script("fetch"), pack(arguments)), store.keys.prefix
    if not acks:
        return _deliveries(wire.run(call, prefix=prefix)[0]), []
    settling = Settling(store, acks)
    settled, taken = wire.run_beside(settling.call, call, prefix=prefix)
    deliveries = _deliveries(taken)
    try:
        if isinstance(settled, BrokerError):
            raise settled
        return deliveries, settling.refused(settled)
    except BrokerError as error:
        if not deliveries:
            raise
        raise NotSettled(deliveries, error) from error


def _deliveries(reply: bytes) -> list[Delivery]:
    deliveries: list[Delivery] = []
    for row in unpack(reply):
        if row[1][BLOCK_CHARACTERS : BLOCK_CHARACTERS + 1] in (b"r", b"s"):  # a range of a block, see blocks.lua
            deliveries += deliveries_of(row)
        else:
            deliveries.append(delivery_of(row))
    return deliveries


def delivery_of(row: Sequence[Any]) -> Delivery:
    """A delivery from a row of ``fetch.lua``."""
    ticket, run_id, task, body, retries, crashes, flow_run_id, meta, deliveries, upstreams = row
    return Delivery(
        ticket.decode(),
        text(run_id),
        text(task),
        body,
        retries,
        crashes,
        text_or_none(flow_run_id),
        meta or None,
        deliveries,
        upstreams or None,
    )
