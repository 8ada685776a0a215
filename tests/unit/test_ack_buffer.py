"""Ends of calls on their way to the store."""

from __future__ import annotations

import pytest

from brokers.messages import Ack
from orchestrator.slots.ack_buffer import MAX_BYTES, AckBuffer


def ack(run_id: str, size: int) -> Ack:
    return Ack(f"q:ds {run_id}", run_id, "C", b"x" * size, 1000)


def test_large_outcomes_are_sent_in_portions_that_a_server_takes() -> None:
    sent: list[list[str]] = []

    def complete(acks: list[Ack]) -> list[str]:
        sent.append([some.run_id for some in acks])
        return []

    finished = AckBuffer(complete)  # type: ignore[arg-type]
    for number in range(5):
        finished.add(ack(str(number), MAX_BYTES * 2 // 5))
    finished.add(ack("huge", MAX_BYTES * 3))
    finished.flush()
    assert sent == [["0", "1"], ["2", "3"], ["4"], ["huge"]]
    assert len(finished) == 0


def test_what_could_not_be_sent_stays_in_order_with_what_was_not_tried() -> None:
    def complete(acks: list[Ack]) -> list[str]:
        raise ConnectionError

    finished = AckBuffer(complete)  # type: ignore[arg-type]
    for number in range(4):
        finished.add(ack(str(number), MAX_BYTES * 2 // 5))
    with pytest.raises(ConnectionError):
        finished.flush()
    assert [some.run_id for some in finished.take() + finished.take()] == ["0", "1", "2", "3"]
