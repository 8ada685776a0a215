"""The thread that interrupts blocks whose time is over."""

from __future__ import annotations

import pytest

from orchestrator.errors import TaskTimeout
from orchestrator.execution.interrupt import soft_deadline
from tests.support.waiting import wait_until


def test_a_deadline_that_no_clock_can_count_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    with soft_deadline(1e300, "the long one"):
        with pytest.raises(TaskTimeout, match="the short one"), soft_deadline(0.01, "the short one"):
            wait_until(lambda: False, 20, "the deadline")
        with pytest.raises(TaskTimeout, match="the next one"), soft_deadline(0.01, "the next one"):
            wait_until(lambda: False, 20, "the deadline")
    assert [record.getMessage() for record in caplog.records] == []
