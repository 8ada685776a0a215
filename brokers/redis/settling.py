"""Which script takes the acks of deliveries: for most, ends of calls without anything special, a short one does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from brokers.block_ids import may_be_in_block
from brokers.messages import Ack, AckKind

from .blocks import in_pieces
from .scripts import Script, load
from .store import RedisStore, pack, unpack

MOST_SHORT: Final = 500  # acks in one short script, which hands them to one command
LONG_WAYS: Final = 20  # that are taken at once after the short one was of no use: such calls seldom come alone
_ENDS: Final = frozenset((AckKind.COMPLETED, AckKind.FAILED))


class Settling:
    """Acks on their way to the store.

    Args:
        store: where they go.
        acks: all that are sent at once.

    Attributes:
        call: the script, and its argument.
    """

    __slots__ = ("_acks", "_is_short", "_store", "call")

    def __init__(self, store: RedisStore, acks: Sequence[Ack]) -> None:
        self._store, self._acks = store, acks
        self._is_short = _may_be_short(store, acks)
        self.call: tuple[Script, bytes] = (
            (load("done"), pack(acks)) if self._is_short else (store.script("complete"), pack(in_pieces(acks)))
        )

    def refused(self, reply: Any) -> list[str]:
        """The run ids whose ack was refused, from the reply; may ask the store once more.

        Raises:
            BrokerError: acks that the short script has left are not stored.
        """
        if not self._is_short:
            return _run_ids(unpack(reply))
        left = [self._acks[position - 1] for position in reply]
        if not left:
            return []
        self._store.long_ways = LONG_WAYS
        return _run_ids(self._store.run("complete", in_pieces(left)))


def settle(store: RedisStore, acks: Sequence[Ack]) -> list[str]:
    """Store acks, on a shared wire; returns the run ids of those that were refused. Raises BrokerError."""
    settling = Settling(store, acks)
    (reply,) = store.wires.run(settling.call, prefix=store.keys.prefix)
    return settling.refused(reply)


def _run_ids(row: Sequence[bytes]) -> list[str]:
    return [run_id.decode() for run_id in row]


def _may_be_short(store: RedisStore, acks: Sequence[Ack]) -> bool:
    """Whether these look like ends of calls without anything special; the script sees whether they are."""
    if store.long_ways:
        store.long_ways -= 1
        return False
    return len(acks) <= MOST_SHORT and all(how in _ENDS and not may_be_in_block(run_id) for _, run_id, how, *_ in acks)
