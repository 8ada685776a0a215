"""The status of a run for web clients says why an open run waits."""

from __future__ import annotations

from brokers.messages import Record, Status
from brokers.schema import Reason, ScriptedEnd
from orchestrator.contrib.starlette.status import RunSnapshot, status_of
from orchestrator.runs.run_ids import new_run_id


def test_a_run_whose_task_no_worker_knows_says_so() -> None:
    why = ScriptedEnd("no live worker knows shop.load", Reason.UNKNOWN_TASK).pack()
    told = status_of(RunSnapshot(Record(new_run_id(), Status.LIMITED, why), None))
    assert (told.ended, told.message) == (False, "no live worker knows shop.load")
    assert not status_of(RunSnapshot(Record(new_run_id(), Status.LIMITED, b""), None)).ended
