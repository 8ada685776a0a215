"""Inputs of flow runs: values under keys that others send to them, and that anybody may read."""

from __future__ import annotations

from typing import NamedTuple, Protocol

FIRST = "0"
"""The position before the first input."""
INPUT_ORDER = "input"
"""What comes to the inbox of whoever waits: there is another input."""


class StoredInput(NamedTuple):
    """One input, and the position from which to read on."""

    position: str
    key: str
    value: bytes


class Inputs(Protocol):
    """Kept as long as the record of their flow run."""

    def add(self, flow_run_id: str, key: str, value: bytes) -> bool:
        """Add one; whether there is such a flow run.

        Raises:
            BrokerConflict: it has another input of that key.
        """

    def after(
        self, flow_run_id: str, position: str = FIRST, count: int = 100, inbox: str = "", receiver: str = ""
    ) -> list[StoredInput]:
        """At most ``count`` inputs after a position, the oldest first.

        Args:
            flow_run_id: whose.
            position: of the last one that was read.
            count: how many at most.
            inbox: gets :data:`INPUT_ORDER` with ``receiver`` for the next one, if there is none; empty: nobody does.
            receiver: for whom, in that process.
        """

    def read(self, flow_run_id: str, key: str) -> StoredInput | None:
        """The input of this key."""

    def delete(self, flow_run_id: str, key: str) -> bool:
        """Delete the input of this key; whether there was one."""
