"""Run ids sort by age and never meet; outcomes come back as the states that were written, or say why not."""

from __future__ import annotations

import os
import re
import threading
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.block_ids import member_ids
from brokers.messages import FINAL_STATUSES, Status
from orchestrator import serializers
from orchestrator.errors import (
    RemoteTraceback,
    RunCancelled,
    RunCrashed,
    RunFailed,
    RunLost,
    TaskTimeout,
    UpstreamTaskError,
)
from orchestrator.runs.run_ids import created_at, new_block, new_run_id
from orchestrator.serializers.outcomes import open_state, pack_outcome, read_outcome, result_context
from orchestrator.states import StateType


def test_ids_are_uuids_of_version_7() -> None:
    made = uuid.UUID(new_run_id())
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    moment = created_at(str(made))
    assert moment is not None
    assert abs(moment - datetime.now(UTC)) < timedelta(seconds=5)


def test_the_moment_is_in_the_ids_of_calls_that_are_kept_together_too() -> None:
    for run_id in member_ids(new_block(), 2):
        moment = created_at(run_id)
        assert moment is not None
        assert abs(moment - datetime.now(UTC)) < timedelta(seconds=5)


FOREIGN = [
    "",
    "order-17",
    "x" * 14 + "7" + "x" * 21,
    "f" * 8 + "-ffff-7" + "f" * 21,
    "10f5c9b0-8d4e-4f7a-9a53-0d9b2a1c7e11",
]


@pytest.mark.parametrize("run_id", FOREIGN)
def test_there_is_no_moment_in_ids_of_others(run_id: str) -> None:
    assert created_at(run_id) is None


def test_ids_never_meet() -> None:
    made: list[str] = []
    threads = [threading.Thread(target=lambda: made.extend(new_run_id() for _ in range(5000))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 20_000
    assert [run_id[:13] for run_id in sorted(made)] == sorted(run_id[:13] for run_id in made)


def test_ids_of_a_forked_process_are_others() -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, "\n".join(new_run_id() for _ in range(50)).encode())
        os._exit(0)
    mine = {new_run_id()[14:] for _ in range(50)}
    os.close(writing)
    with os.fdopen(reading) as pipe:
        theirs = {run_id[14:] for run_id in pipe.read().split()}
    os.waitpid(child, 0)
    assert len(theirs) == 50
    assert not mine & theirs


RUN = new_run_id()


def packed(value: Any) -> bytes:
    return serializers.pack_value(value, context=lambda: result_context(RUN))


def test_a_completed_outcome() -> None:
    state = read_outcome(RUN, Status.COMPLETED, pack_outcome(None, "well", 1.0, 2.5, 3, packed({"x": (1,)})))
    assert (state.type, state.name, state.message) == (StateType.COMPLETED, "Completed", "well")
    assert (state.result(), state.run_count, state.task_run_id) == ({"x": (1,)}, 3, RUN)
    assert state.timestamp == datetime.fromtimestamp(2.5, UTC)
    cached = read_outcome(RUN, Status.COMPLETED, pack_outcome("Cached", None, 1.0, 2.0, 1, packed(None)))
    assert (cached.name, cached.result()) == ("Cached", None)


def test_a_failed_outcome_brings_its_exception() -> None:
    try:
        raise LookupError("what", 7)
    except LookupError as error:
        body = serializers.pack_exception(error, serializers.PayloadLimits())
    state = read_outcome(RUN, Status.FAILED, pack_outcome(None, "LookupError: what", 1.0, 2.0, 1, body))
    with pytest.raises(LookupError) as caught:
        state.result()
    assert caught.value.args == ("what", 7)
    assert isinstance(caught.value.__cause__, RemoteTraceback)


@pytest.mark.parametrize(
    ("status", "text", "name", "kind"),
    [
        (Status.CANCELLED, "cancelled before it started", "Cancelled", RunCancelled),
        (Status.CANCELLED, "it came too late\x1fE", "Expired", RunCancelled),
        (Status.CANCELLED, "expired\x1fK", "Cancelled", RunCancelled),
        (Status.FAILED, "it was too slow\x1fT", "TimedOut", TaskTimeout),
        (Status.FAILED, "timed out, it says\x1fX", "Failed", RunFailed),
        (Status.CANCELLED, "a reason of a later version\x1f~", "Cancelled", RunCancelled),
        (Status.CANCELLED, "expired before it started", "Expired", RunCancelled),
        (Status.CRASHED, "killed (3 times)", "Crashed", RunCrashed),
        (Status.NOT_READY, "the-upstream", "NotReady", UpstreamTaskError),
        (Status.UNKNOWN, "", "Lost", RunLost),
    ],
)
def test_an_end_that_a_script_wrote(status: bytes, text: str, name: str, kind: type[Exception]) -> None:
    state = read_outcome(RUN, status, b"\0" + text.encode())
    assert state.name == name
    assert state.is_settled()
    with pytest.raises(kind, match=re.escape(text.partition("\x1f")[0] or RUN)):
        state.result()


@given(st.sampled_from(sorted(FINAL_STATUSES)), st.binary(max_size=60))
def test_whatever_the_store_holds_can_be_read(status: bytes, outcome: bytes) -> None:
    state = read_outcome(RUN, status, outcome)
    assert state.is_settled()
    assert state.task_run_id == RUN


def test_an_outcome_that_cannot_be_read_is_a_crash_that_says_so() -> None:
    state = read_outcome(RUN, Status.COMPLETED, b"\xc1")
    assert (state.name, state.is_crashed()) == ("Unreadable", True)
    with pytest.raises(RunCrashed, match="cannot be read"):
        state.result()


@pytest.mark.parametrize(
    "parts",
    [
        (None, None, 1.0, 2e40, 1, None),  # an end beyond the calendar
        (None, None, 1.0, float("nan"), 1, None),
        (None, None, 1.0, "late", 1, None),
        (7, None, 1.0, 2.0, 1, None),
        (None, [], 1.0, 2.0, 1, None),
        (None, None, 1.0, 2.0, "once", None),
        (None, None, 1.0, 2.0, 1, 5),
    ],
)
def test_an_outcome_with_parts_that_make_no_sense_is_unreadable(parts: tuple[Any, ...]) -> None:
    import msgpack

    assert read_outcome(RUN, Status.COMPLETED, msgpack.packb(parts)).name == "Unreadable"


@given(st.binary(max_size=40))
def test_a_later_version_may_write_more(extra: bytes) -> None:
    import msgpack

    longer = msgpack.packb([None, None, 1.0, 2.0, 1, packed(5), extra])
    assert read_outcome(RUN, Status.COMPLETED, longer).result() == 5


@pytest.mark.parametrize(
    ("status", "retries", "name", "kind"),
    [
        (Status.PARKED, 0, "Pending", "PENDING"),
        (Status.QUEUED, 0, "Pending", "PENDING"),
        (Status.LIMITED, 0, "Pending", "PENDING"),
        (Status.DELAYED, 0, "Scheduled", "SCHEDULED"),
        (Status.DELAYED, 1, "AwaitingRetry", "SCHEDULED"),
        (Status.RUNNING, 0, "Running", "RUNNING"),
        (Status.RUNNING, 2, "Retrying", "RUNNING"),
        (Status.CANCELLING, 0, "Cancelling", "CANCELLING"),
    ],
)
def test_states_of_runs_that_go_on(status: bytes, retries: int, name: str, kind: str) -> None:
    state = open_state(RUN, status, retries, 1)
    assert (state.name, state.type.value) == (name, kind)
    assert not state.is_settled()
    assert state.run_count == retries + 1 + (status == Status.RUNNING)
