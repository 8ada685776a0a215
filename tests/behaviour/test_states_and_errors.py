"""How runs end: states that tasks choose, exceptions that come back as themselves, and what can never come back."""

from __future__ import annotations

import traceback

import pytest

from orchestrator import task
from orchestrator.client.fleet import Fleet
from orchestrator.errors import (
    PayloadTooLarge,
    RemoteError,
    RunCancelled,
    RunCrashed,
    RunFailed,
    SerializationError,
)
from tests.support.apps import endings
from tests.support.apps.endings import OutOfTea

APP = "tests.support.apps.endings"
THREADS = 1
SETTINGS = {"max_payload_bytes": 1_000_000, "unknown_task_wait_seconds": 0}
pytestmark = pytest.mark.usefixtures("worker")


@task
def nobody_knows_this(x: int) -> int:
    return x


def test_a_task_chooses_to_complete() -> None:
    state = endings.ends_as.submit("completed", return_state=True)
    assert (state.name, state.message, state.result()) == ("Completed", "well", 7)
    assert state.task_run_id is not None
    assert state.timestamp.tzinfo is not None


@pytest.mark.smoke
def test_a_task_chooses_to_fail() -> None:
    with pytest.raises(RunFailed, match="no luck"):
        endings.ends_as.submit("failed").result(timeout=60)
    with pytest.raises(OutOfTea) as caught:
        endings.ends_as.submit("failed with data").result(timeout=60)
    assert (caught.value.kind, caught.value.left) == ("green", 2)


def test_a_task_chooses_other_ends() -> None:
    with pytest.raises(RunCancelled, match="not needed"):
        endings.ends_as.submit("cancelled").result(timeout=60)
    with pytest.raises(RunCrashed, match="the disk is gone"):
        endings.ends_as.submit("crashed").result(timeout=60)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("odd name", "5()"),
        ("odd message", "Failed('why')"),
        ("message whose text fails", "Failed('(NoText, which has no text: its __str__ failed)')"),
        ("lone surrogate", r"Failed('cannot read caf\\udce9.txt')"),
    ],
)
def test_names_and_messages_that_are_no_text_are_made_fit_and_cost_nothing(kind: str, told: str) -> None:
    assert repr(endings.ends_as.submit(kind, return_state=True)) == told


def test_a_long_message_is_cut_with_a_mark() -> None:
    state = endings.ends_as.submit("long", return_state=True)
    assert state.message is not None
    assert len(state.message) < 20_000
    assert state.message.endswith("... (5,000,000 characters, cut here)")


@pytest.mark.parametrize(("kind", "end"), [("surrogate", r"caf\udce9.txt"), ("long", "characters, cut here)")])
def test_an_error_whose_text_cannot_be_written_as_it_is_keeps_its_retries(kind: str, end: str) -> None:
    state = endings.raises_odd_text.submit(kind, return_state=True)
    assert (state.type, state.run_count) == ("FAILED", 3)
    assert state.message is not None
    assert state.message.endswith(end)
    assert len(state.message) < 20_000
    assert isinstance(state.data, ValueError)
    assert len(str(state.data)) < 300_000


@pytest.mark.parametrize("kind", ["paused", "running"])
def test_a_state_that_is_no_end_is_a_failure(kind: str) -> None:
    with pytest.raises(RunFailed, match="not an end"):
        endings.ends_as.submit(kind).result(timeout=60)
    with pytest.raises(RunFailed, match="not an end"):
        endings.ends_as(kind)


def test_an_exception_that_is_returned_is_a_value() -> None:
    state = endings.returns_an_exception.submit(return_state=True)
    assert state.is_completed()
    assert isinstance(state.result(), ValueError)


def test_an_exception_comes_back_as_its_own_type_with_the_remote_traceback() -> None:
    with pytest.raises(OutOfTea) as caught:
        endings.raises.submit("own").result(timeout=60)
    assert (caught.value.kind, caught.value.left, caught.value.args) == ("green", 2, ("green", 2))
    text = "".join(traceback.format_exception(caught.value))
    assert 'raise OutOfTea("green", 2)' in text
    assert "endings.py" in text
    with pytest.raises(OutOfTea):
        endings.raises_async.submit("own").result(timeout=60)


def test_the_traceback_tells_the_cause() -> None:
    with pytest.raises(OutOfTea) as caught:
        endings.raises.submit("chained").result(timeout=60)
    text = "".join(traceback.format_exception(caught.value))
    assert "KeyError: 'inner'" in text


def test_an_exception_group_comes_back_as_one() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        endings.raises.submit("group").result(timeout=60)
    assert [type(error) for error in caught.value.exceptions] == [ValueError, OutOfTea]


@pytest.mark.parametrize(
    ("kind", "told"), [("local", "nobody else knows me"), ("exit", "3"), ("odd", "base"), ("unprintable", "")]
)
def test_an_exception_that_cannot_be_itself_here_is_a_remote_error(kind: str, told: str) -> None:
    state = endings.raises.submit(kind, return_state=True)
    assert state.is_failed(), state
    error = state.result(raise_on_failure=False)
    assert told in str(error) if kind != "unprintable" else error is not None
    assert isinstance(error, RemoteError | endings.Unprintable)


@pytest.mark.parametrize("kind", ["exit", "cancelled"])
def test_an_async_task_that_raises_strange_things_fails(kind: str) -> None:
    state = endings.raises_async.submit(kind, return_state=True)
    assert state.is_failed(), state


def test_the_worker_survives_all_of_that() -> None:
    for kind in ("exit", "odd", "local") * 2:
        endings.raises.submit(kind).wait(20)
    assert endings.ends_as.submit("completed").result(timeout=60) == 7


def test_a_result_that_cannot_be_packed_fails_the_run_with_the_reason() -> None:
    with pytest.raises(SerializationError, match="lock"):
        endings.returns_what_cannot_be_packed.submit().result(timeout=60)


def test_a_result_that_is_too_large_fails_the_run_with_the_sizes() -> None:
    with pytest.raises(PayloadTooLarge, match=r"1,?000,?000"):
        endings.returns_too_much.submit(1_000_001).result(timeout=60)
    assert len(endings.returns_too_much.submit(900_000).result(timeout=60)) == 900_000


def test_a_generator_that_breaks_fails_the_run() -> None:
    with pytest.raises(ZeroDivisionError):
        endings.returns_a_broken_generator.submit().result(timeout=60)
    with pytest.raises(ZeroDivisionError):
        endings.returns_a_broken_generator()


def test_a_task_that_no_worker_knows_is_a_dead_letter(fleet: Fleet) -> None:
    future = nobody_knows_this.submit(1)
    with pytest.raises(RunCrashed, match="nobody_knows_this"):
        future.result(timeout=60)
    assert future.state.is_crashed()
    assert future.run_id in fleet.broker.dead_letters.newest()


def test_a_body_that_nobody_can_read_is_a_dead_letter(fleet: Fleet) -> None:
    from brokers.messages import Envelope
    from orchestrator.futures import PrefectFuture
    from orchestrator.runs.run_ids import new_run_id

    key = endings.ends_as.task_key
    bodies = [b"", b"\x01garbage", b"\xff" * 40, b"\x01\xc1"]
    envelopes = [Envelope(new_run_id(), key, "default:ds", body) for body in bodies]
    envelopes.append(Envelope(new_run_id(), key, "default:ds", b"\x01\x92\x90\x80", meta=b"\xc1"))
    fleet.calls.send(envelopes)
    for envelope in envelopes:
        with pytest.raises(RunCrashed):
            PrefectFuture(envelope.run_id).result(timeout=60)
        assert envelope.run_id in fleet.broker.dead_letters.newest()
    assert endings.ends_as.submit("completed").result(timeout=60) == 7


def test_arguments_that_do_not_fit_the_workers_version_fail_the_run(fleet: Fleet) -> None:
    from brokers.messages import Envelope
    from orchestrator.futures import PrefectFuture
    from orchestrator.runs.run_ids import new_run_id

    run_id = new_run_id()
    fleet.calls.send([Envelope(run_id, endings.hooked.task_key, "default:ds", b"\x01\x92\x91\x01\x80")])
    state = PrefectFuture(run_id)
    state.wait(20)
    assert state.state.is_failed() or state.state.is_crashed()
    assert endings.ends_as.submit("completed").result(timeout=60) == 7
