"""Ends of calls on their way to the store."""

from __future__ import annotations

import pytest

from brokers.contract import Settlement
from orchestrator.slots.finished import MOST_BYTES, Finished


def settlement(run_id: str, size: int) -> Settlement:
    return Settlement(f"q:ds {run_id}", run_id, "C", b"x" * size, 1000)


def test_large_outcomes_are_sent_in_portions_that_a_server_takes() -> None:
    sent: list[list[str]] = []

    def complete(settlements: list[Settlement]) -> list[str]:
        sent.append([some.run_id for some in settlements])
        return []

    finished = Finished(complete)  # type: ignore[arg-type]
    for number in range(5):
        finished.add(settlement(str(number), MOST_BYTES * 2 // 5))
    finished.add(settlement("huge", MOST_BYTES * 3))
    finished.flush()
    assert sent == [["0", "1"], ["2", "3"], ["4"], ["huge"]]
    assert len(finished) == 0


def test_what_could_not_be_sent_stays_in_order_with_what_was_not_tried() -> None:
    def complete(settlements: list[Settlement]) -> list[str]:
        raise ConnectionError

    finished = Finished(complete)  # type: ignore[arg-type]
    for number in range(4):
        finished.add(settlement(str(number), MOST_BYTES * 2 // 5))
    with pytest.raises(ConnectionError):
        finished.flush()
    assert [some.run_id for some in finished.take() + finished.take()] == ["0", "1", "2", "3"]
