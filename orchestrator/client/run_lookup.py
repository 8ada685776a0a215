"""Asks the store for runs by their ids, and stops them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from brokers.base import Broker
from brokers.deadline import deadline, within
from brokers.messages import FINAL_STATUSES, Status
from brokers.records import CALLS_AT_ONCE
from brokers.schema import ScriptedEnd
from brokers.sender import Sender
from orchestrator.client.open_futures import OpenFutures
from orchestrator.serializers.outcomes import open_state, read_outcome
from orchestrator.states import Pending, State


class RunLookup:
    """Looks runs up for a process; what the process is sending is sent first.

    Args:
        broker: where the runs are.
        sender: flushed before.
        open_futures: knows which runs are being sent.
        seconds: how long a verb may take.
    """

    def __init__(self, broker: Broker, sender: Sender, open_futures: OpenFutures, seconds: float) -> None:
        self._broker, self._sender, self._open_futures, self._seconds = broker, sender, open_futures, seconds

    def latest_state(self, run_id: str) -> State[Any]:
        """The state of a run. One that the store does not know is Crashed, named Lost. Raises BrokerError."""
        being_sent = self._open_futures.being_sent()
        with self._one_deadline() as until:
            self._sender.flush(until)
            record = self._broker.records.read([run_id])[0]
        if record.status == Status.UNKNOWN and any(run_id in run_ids for run_ids in being_sent):
            return Pending(message="it is being sent", task_run_id=run_id)
        if record.status in FINAL_STATUSES or record.status == Status.UNKNOWN:
            return read_outcome(run_id, record.status, record.outcome or b"\0")
        state = open_state(run_id, record.status, record.retries, record.crashes, record.due_at)
        if record.status == Status.LIMITED and (waits := ScriptedEnd.unpack(record.outcome)) is not None:
            return state.copy(message=waits.text)  # no worker knows its task
        return state

    def cancel(self, run_ids: list[str]) -> list[bool]:
        """Ask runs to stop; whether there was anything left to stop. Raises BrokerError."""
        with self._one_deadline(len(run_ids)) as until:
            self._sender.flush(until)
            return [
                status not in FINAL_STATUSES and status != Status.UNKNOWN
                for status in self._broker.runs.cancel(run_ids)
            ]

    @contextmanager
    def _one_deadline(self, count: int = 1) -> Iterator[float]:
        """What is done in the block shares the time of one verb; of many runs each portion has its own."""
        until = within(self._seconds)
        with deadline(until if count <= CALLS_AT_ONCE else None):
            yield until
