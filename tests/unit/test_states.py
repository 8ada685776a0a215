from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import states
from orchestrator.errors import MissingResult, RunCancelled, RunCrashed, RunFailed, RunLost, UpstreamTaskError
from orchestrator.states import (
    ALLOWED_MOVES,
    TERMINAL,
    AwaitingRetry,
    Cached,
    Cancelled,
    Cancelling,
    Completed,
    Crashed,
    Expired,
    Failed,
    NotReady,
    Paused,
    Pending,
    Retrying,
    Running,
    Scheduled,
    State,
    StateType,
    TimedOut,
    aggregate_states,
    may_move,
    return_value_to_state,
    settle_states,
)


class Future:
    """As much of a future as states.py asks for."""

    def __init__(self, end: State[Any]) -> None:
        self.state: State[Any] = Pending()
        self.end = end

    def wait(self, timeout: float | None = None) -> None:
        self.state = self.end


@pytest.mark.parametrize(
    ("make", "type_", "name", "predicate"),
    [
        (Scheduled, "SCHEDULED", "Scheduled", "is_scheduled"),
        (AwaitingRetry, "SCHEDULED", "AwaitingRetry", "is_scheduled"),
        (Pending, "PENDING", "Pending", "is_pending"),
        (NotReady, "PENDING", "NotReady", "is_pending"),
        (Running, "RUNNING", "Running", "is_running"),
        (Retrying, "RUNNING", "Retrying", "is_running"),
        (Completed, "COMPLETED", "Completed", "is_completed"),
        (Cached, "COMPLETED", "Cached", "is_completed"),
        (Failed, "FAILED", "Failed", "is_failed"),
        (TimedOut, "FAILED", "TimedOut", "is_failed"),
        (Cancelled, "CANCELLED", "Cancelled", "is_cancelled"),
        (Expired, "CANCELLED", "Expired", "is_cancelled"),
        (Crashed, "CRASHED", "Crashed", "is_crashed"),
        (Cancelling, "CANCELLING", "Cancelling", "is_cancelling"),
        (Paused, "PAUSED", "Paused", "is_paused"),
    ],
)
def test_each_constructor_makes_its_type_and_name(
    make: Callable[..., State[Any]], type_: str, name: str, predicate: str
) -> None:
    state = make(message="why", data=1, run_count=3, task_run_id="t", flow_run_id="f")
    told = (state.name, state.message, state.data, state.run_count, state.task_run_id, state.flow_run_id)
    assert told == (name, "why", 1, 3, "t", "f")
    assert state.type == type_
    assert state.type is StateType(type_)
    predicates = [each for each in dir(State) if each.startswith("is_") and getattr(state, each)()]
    assert predicate in predicates
    assert state.is_final() is (state.type in TERMINAL)
    assert set(predicates) <= {predicate, "is_final", "is_settled", "is_not_ready"}
    assert state.timestamp.tzinfo is UTC


def test_the_picture_in_the_docstring_is_the_table_of_moves() -> None:
    lines = re.findall(r"^    ([A-Z]+) +-> (.+)$", states.__doc__ or "", re.MULTILINE)
    drawn = {before: set() if "end" in after else set(after.split()) for before, after in lines}
    assert drawn == {before.value: {after.value for after in allowed} for before, allowed in ALLOWED_MOVES.items()}


def test_a_run_ends_once() -> None:
    assert not any(may_move(end, other) for end, other in product(TERMINAL, StateType))


@pytest.mark.parametrize(
    ("before", "after", "allowed"),
    [
        (None, Scheduled(), True),
        (Pending(), Running(), True),
        (Running(), AwaitingRetry(), True),
        (Running(), Completed(), True),
        (Cancelling(), Running(), False),
        (Completed(), Failed(), False),
        (StateType.PAUSED, StateType.COMPLETED, False),
    ],
)
def test_may_move_takes_types_and_states(before: Any, after: Any, allowed: bool) -> None:
    assert may_move(before, after) is allowed


def test_a_completed_state_gives_its_data_also_none() -> None:
    assert Completed(data=[1]).result() == [1]
    assert Completed().result() is None


ORIGINAL = KeyError("x")


@pytest.mark.parametrize(
    ("state", "kind", "text"),
    [
        (Failed(data=ORIGINAL), KeyError, "x"),
        (Failed(message="no tea"), RunFailed, "no tea"),
        (Failed(data="no tea"), RunFailed, "no tea"),
        (Failed(), RunFailed, "the run failed"),
        (Failed(data=[Completed(), Failed(data=ORIGINAL)]), KeyError, "x"),
        (Failed(message="1 of 1", data=[NotReady(message="up")]), UpstreamTaskError, "up"),
        (Failed(data=Failed(data=ORIGINAL)), KeyError, "x"),
        (TimedOut(data=TimeoutError("late")), TimeoutError, "late"),
        (Cancelled(message="stop"), RunCancelled, "stop"),
        (Expired(message="too late"), RunCancelled, "too late"),
        (Crashed(message="killed"), RunCrashed, "killed"),
        (Crashed(data=RunLost("gone")), RunLost, "gone"),
        (NotReady(message="upstream failed", data="run-7"), UpstreamTaskError, "upstream failed"),
    ],
)
def test_what_did_not_complete_raises_or_returns_its_error(
    state: State[Any], kind: type[BaseException], text: str
) -> None:
    with pytest.raises(kind, match=re.escape(text)) as caught:
        state.result()
    returned = state.result(raise_on_failure=False)
    assert type(returned) is type(caught.value) is kind
    assert type(state.error()) is kind


def test_errors_carry_what_is_known() -> None:
    crashed = Crashed(message="killed", data=ORIGINAL)
    error = crashed.error()
    assert isinstance(error, RunCrashed)
    assert error.state is crashed
    assert error.__cause__ is ORIGINAL
    upstream = NotReady(data="run-7").error()
    assert isinstance(upstream, UpstreamTaskError)
    assert upstream.upstream_run_id == "run-7"


@pytest.mark.parametrize("state", [Pending(), Running(), Scheduled(), Paused(), Cancelling()], ids=repr)
@pytest.mark.parametrize("raise_on_failure", [True, False])
def test_what_has_not_ended_has_no_result(state: State[Any], raise_on_failure: bool) -> None:
    with pytest.raises(MissingResult, match=state.name):
        state.result(raise_on_failure)


def test_repr_reads_like_the_constructor() -> None:
    assert [repr(Completed()), repr(Failed(message="it's out"))] == ["Completed()", 'Failed("it\'s out")']


def test_a_state_does_not_change() -> None:
    state = Completed()
    with pytest.raises(AttributeError, match=r"copy\(name="):
        state.name = "Other"
    with pytest.raises(AttributeError):
        del state.data
    assert state.name == "Completed"


def test_a_copy_changes_what_it_is_told_to() -> None:
    before = Failed(message="x", run_count=2, task_run_id="t")
    after = before.copy(type=StateType.SCHEDULED, message="again")
    assert (after.type, after.name, after.message, after.run_count) == (StateType.SCHEDULED, "Scheduled", "again", 2)
    assert after.timestamp is before.timestamp
    assert before.copy(name="Broken").name == "Broken"
    with pytest.raises(TypeError, match="colour"):
        before.copy(colour="red")


@given(
    kind=st.sampled_from(StateType),
    message=st.none() | st.text(),
    data=st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner), max_leaves=5),
    run_count=st.integers(0, 100),
)
def test_states_survive_pickling_and_copying(kind: StateType, message: str | None, data: Any, run_count: int) -> None:
    state: State[Any] = State(kind, message=message, data=data, run_count=run_count, task_run_id="t")
    copies = [copy.copy(state), copy.deepcopy(state), state.copy()]
    copies += [pickle.loads(pickle.dumps(state, protocol)) for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)]
    assert all(again == state and hash(again) == hash(state) for again in copies)


def test_a_scheduled_time_may_be_relative_and_must_know_its_zone() -> None:
    soon = Scheduled(scheduled_time=timedelta(hours=1)).scheduled_time
    assert soon is not None
    assert timedelta(minutes=59) < soon - datetime.now(UTC) <= timedelta(hours=1)
    with pytest.raises(ValueError, match="time zone"):
        Scheduled(scheduled_time=datetime(2030, 1, 1))


@pytest.mark.parametrize(
    ("members", "type_", "message"),
    [
        ([Completed(), Cached()], "COMPLETED", "all 2 states completed"),
        ([Completed(), Failed(), Crashed()], "FAILED", "2 of 3 states failed"),
        ([Failed(), Cancelled()], "FAILED", "1 of 2 states failed"),
        ([Completed(), Cancelled()], "CANCELLED", "1 of 2 states cancelled"),
        ([Completed(), Paused()], "PAUSED", "1 of 2 states paused"),
        ([Completed(), NotReady()], "FAILED", "1 of 2 states did not complete"),
    ],
)
def test_several_states_are_summed_up(members: list[State[Any]], type_: str, message: str) -> None:
    state = aggregate_states(members, data=members)
    assert (state.type.value, state.message, state.data) == (type_, message, members)


@pytest.mark.parametrize(
    "value",
    [None, 0, "text", [], (), {}, [1, Completed()], {"a": Failed()}, ValueError("returned"), [ValueError()]],
    ids=repr,
)
def test_a_plain_value_completes(value: Any) -> None:
    state = return_value_to_state(value)
    assert state.is_completed()
    assert state.data is value


class _Neither(list[int]):
    def __bool__(self) -> bool:
        raise ValueError("neither true nor false")


@pytest.mark.parametrize("value", [_Neither([1]), _Neither()])
def test_nobody_asks_a_returned_collection_whether_it_is_true(value: Any) -> None:
    assert return_value_to_state(value).data is value


def test_a_returned_state_is_the_state() -> None:
    chosen = Failed(message="I say so")
    assert return_value_to_state(chosen) is chosen


def test_a_returned_future_is_the_state_it_ends_in() -> None:
    end = Failed(message="no")
    assert return_value_to_state(Future(end)) is end


@pytest.mark.parametrize("collection", [list, tuple, set])
def test_returned_futures_and_states_are_waited_for_and_summed_up(collection: Callable[[Any], Any]) -> None:
    good, bad = Completed(data=1), Failed(message="no")
    state = return_value_to_state(collection([Future(good), bad]))
    assert (state.type, state.message) == (StateType.FAILED, "1 of 2 states failed")
    assert type(state.data) is collection
    assert set(state.data) == {good, bad}


def test_a_returned_generator_is_emptied() -> None:
    assert return_value_to_state(number for number in range(3)).data == [0, 1, 2]


def test_settling_waits_for_nothing_when_something_else_is_among_them() -> None:
    future = Future(Completed())
    assert settle_states([future, 3]) is None
    assert future.state.is_pending()


def test_names_and_messages_become_text() -> None:
    class NoText:
        def __str__(self) -> str:
            raise RuntimeError

    assert Completed(name=5).name == "5"  # type: ignore[arg-type]
    assert Failed(message=ValueError("why")).message == "why"  # type: ignore[arg-type]
    assert "NoText" in str(Failed(message=NoText()).message)  # type: ignore[arg-type]
    assert Failed(name="").name == "Failed"


def test_an_id_names_one_state_wherever_it_is_read() -> None:
    state = Completed(task_run_id="0198c1c3-0000-7000-8000-000000000001")
    assert state.id == pickle.loads(pickle.dumps(state)).id
    assert state.id not in (state.copy(name="Other").id, state.copy(run_count=2).id, Failed().id)


def test_the_fields_that_pydantic_gives_prefects_states() -> None:
    when = datetime(2026, 1, 1, tzinfo=UTC)
    state = states.Scheduled(scheduled_time=when, flow_run_id="0198c1c3-0000-7000-8000-000000000001", data=[1])
    assert state.state_details.scheduled_time == when
    assert str(state.state_details.flow_run_id) == state.flow_run_id
    assert Failed(task_run_id="no id").state_details.task_run_id is None
    dumped = state.model_dump()
    assert (dumped["id"], dumped["type"], dumped["data"]) == (state.id, "SCHEDULED", [1])
    assert state.model_dump(mode="json")["state_details"]["scheduled_time"] == when.isoformat()
    assert "message" not in state.model_dump(exclude_none=True)
    shallow, deep = state.model_copy(update={"message": "m"}), state.model_copy(deep=True)
    assert (shallow.message, shallow.name) == ("m", "Scheduled")
    assert shallow.data is state.data
    assert deep.data == state.data
    assert deep.data is not state.data


def test_text_as_the_data_of_a_failed_state_is_what_its_error_says() -> None:
    error = Failed(message="m", data="hello!").result(raise_on_failure=False)
    assert (type(error), str(error)) == (RunFailed, "hello!")


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (states.Submitting, "PENDING"),
        (states.InfrastructurePending, "PENDING"),
        (states.Suspended, "PAUSED"),
        (states.Late, "SCHEDULED"),
        (states.AwaitingConcurrencySlot, "SCHEDULED"),
    ],
)
def test_states_that_only_prefect_has_by_itself(make: Callable[..., State[Any]], kind: str) -> None:
    state = make(message="m")
    assert (state.name, state.type, state.message) == (make.__name__, kind, "m")


def test_the_exception_of_a_state_is_raised_or_given() -> None:
    import asyncio

    async def waits() -> Any:
        return await states.raise_state_exception(Completed())

    error = KeyError("x")
    with pytest.raises(KeyError):
        states.raise_state_exception(Failed(data=error))
    assert states.get_state_exception(Failed(data=error)) is error
    assert not states.raise_state_exception(Completed())
    assert asyncio.run(waits()) is None
    with pytest.raises(ValueError, match="has no exception"):
        states.get_state_exception(Completed())


def test_a_group_of_states_counts_them() -> None:
    group = states.StateGroup([Completed(), Failed(), Crashed(), Running(), Cancelled(), Paused()])
    counts = (group.total_count, group.fail_count, group.cancelled_count, group.paused_count, group.final_count)
    assert counts == (6, 2, 1, 1, 4)
    assert group.not_final_count == 2
    assert group.type_counts[states.StateType.RUNNING] == 1
    assert (group.any_failed(), group.any_cancelled(), group.any_paused()) == (True, True, True)
    assert not group.all_final()
    assert not group.all_completed()
    assert "total=6" in repr(group)
    assert states.StateGroup([Completed()]).all_completed()


@pytest.mark.parametrize("kind", [states.State, states.StateDetails, states.StateGroup, states.StateType])
def test_a_pickled_state_names_the_place_that_users_import_from(kind: type) -> None:
    assert pickle.loads(pickle.dumps(kind)) is kind
    assert kind.__module__ == "orchestrator.states"
