"""One attempt at one call: what follows from how it ended, in which order things happen, the same for both drivers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator import task
from orchestrator.cache_policies import INPUTS
from orchestrator.errors import RunCancelled, TaskTimeout
from orchestrator.execution.attempt import Attempt, RunServices
from orchestrator.execution.drivers import run_attempt, run_attempt_async
from orchestrator.execution.interrupt import CancelRun
from orchestrator.execution.verdicts import Retry, Verdict, WaitForRun, decide, state_of_error
from orchestrator.runnables.retries import RetryPolicy
from orchestrator.runs.run_ids import new_run_id
from orchestrator.states import Cancelled, Completed, Crashed, Failed, Running, State, TimedOut
from orchestrator.tasks import Task

ONCE, NEVER, LISTED = RetryPolicy(1, (5,)), RetryPolicy(), RetryPolicy(3, (1, 10))

DECISIONS: list[tuple[RetryPolicy, State[Any], int, bool, float | str]] = [
    (NEVER, Completed(data=1), 0, True, "Completed"),
    (NEVER, Failed(), 0, True, "Failed"),
    (NEVER, TimedOut(), 0, True, "TimedOut"),
    (NEVER, Cancelled(), 0, True, "Cancelled"),
    (NEVER, Crashed(), 0, True, "Crashed"),
    (ONCE, Completed(), 0, True, "Completed"),
    (ONCE, Failed(), 0, True, 5.0),
    (ONCE, Failed(), 0, False, "Failed"),
    (ONCE, Failed(), 1, True, "Failed"),
    (ONCE, Failed(), 7, True, "Failed"),
    (ONCE, TimedOut(), 0, True, 5.0),
    (ONCE, TimedOut(), 1, True, "TimedOut"),
    (ONCE, Cancelled(), 0, True, "Cancelled"),
    (ONCE, Crashed(), 0, True, "Crashed"),
    (LISTED, Failed(), 0, True, 1.0),
    (LISTED, Failed(), 1, True, 10.0),
    (LISTED, Failed(), 2, True, 10.0),
    (LISTED, Failed(), 3, True, "Failed"),
    (RetryPolicy(2), Failed(), 1, True, 0.0),
]


@pytest.mark.parametrize(("policy", "state", "retries", "allowed", "expected"), DECISIONS)
def test_what_follows(policy: RetryPolicy, state: State[Any], retries: int, allowed: bool, expected: Any) -> None:
    verdict = decide(policy, state, retries, allowed)
    if isinstance(expected, str):
        assert verdict is state
        assert state.name == expected
    else:
        assert verdict == Retry(expected, state)


def test_the_state_of_an_error() -> None:
    error = ValueError("x")
    assert state_of_error(error).data is error
    assert state_of_error(error).message == "ValueError: x"
    assert state_of_error(TaskTimeout("too long")).name == "TimedOut"
    cancelled = state_of_error(CancelRun("enough"))
    assert cancelled.is_cancelled()
    assert isinstance(cancelled.data, RunCancelled)


def attempt_at(made: Task[..., Any], *args: Any, cache: Any = None, **more: Any) -> Attempt:
    return Attempt(made, new_run_id(), args, {}, services=RunServices(cache), **more)


def both(made: Task[..., Any], *args: Any, **more: Any) -> list[Verdict]:
    """What both drivers make of it."""
    alone = run_attempt(attempt_at(made, *args, **more))
    return [alone, asyncio.run(run_attempt_async(attempt_at(made, *args, **more)))]


VERDICTS: list[tuple[Callable[[], Any], str]] = [
    (lambda: 5, "Completed"),
    (lambda: None, "Completed"),
    (lambda: [1, "x"], "Completed"),
    (lambda: [Completed(), Failed()], "Failed"),
    (lambda: Failed(message="x"), "Failed"),
    (lambda: Cancelled(), "Cancelled"),
    (lambda: Running(), "Failed"),
    (lambda: 1 / 0, "Failed"),
    (lambda: (1 / n for n in [0]), "Failed"),
    (lambda: exit(1), "Failed"),
    (lambda: _raise(GeneratorLike()), "Failed"),
    (lambda: _raise(CancelRun()), "Cancelled"),
    (lambda: _raise(TaskTimeout("x")), "TimedOut"),
    (lambda: _raise(StopIteration(3)), "Failed"),
]


class GeneratorLike(BaseException):
    """Neither an Exception nor one that Python needs for itself."""


def _raise(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(("fn", "name"), VERDICTS)
def test_whatever_a_function_does_becomes_a_state(fn: Callable[[], Any], name: str) -> None:
    for verdict in both(task(fn)):
        assert isinstance(verdict, State)
        assert verdict.name == name


def test_ctrl_c_is_not_the_tasks_business() -> None:
    with pytest.raises(KeyboardInterrupt):
        run_attempt(attempt_at(task(lambda: _raise(KeyboardInterrupt()))))


def test_the_order_of_things() -> None:
    told: list[str] = []

    def note(what: str) -> Any:
        return lambda task, run, state: told.append(f"{what}:{state.name}:{run.run_count}")

    def work(good: bool) -> None:
        told.append("work")
        if not good:
            raise ValueError

    made = task(
        retries=1,
        on_running=[note("running")],
        on_completion=[note("completion")],
        on_failure=[note("failure")],
        retry_condition_fn=lambda task, run, state: bool(told.append("condition")) or True,
    )(work)
    run_attempt(attempt_at(made, True))
    assert told == ["running:Running:1", "work", "completion:Completed:1"]
    told.clear()
    assert isinstance(run_attempt(attempt_at(made, False)), Retry)
    assert told == ["running:Running:1", "work", "condition"]
    told.clear()
    run_attempt(attempt_at(made, False, retries=1, crashes=1))
    assert told == ["running:Running:3", "work", "condition", "failure:Failed:3"]


def test_hooks_and_conditions_may_be_async_and_may_break() -> None:
    told: list[str] = []

    async def hook(task: Any, run: Any, state: Any) -> None:
        await asyncio.sleep(0)
        told.append(run.name)

    def broken(task: Any, run: Any, state: Any) -> None:
        raise RuntimeError

    async def no(task: Any, run: Any, state: Any) -> bool:
        return False

    made = task(retries=1, retry_condition_fn=no, on_failure=[broken, hook], task_run_name="{x}!")(_divide)
    for verdict in both(made, 0):
        assert isinstance(verdict, State)
        assert verdict.is_failed()
    assert told == ["0!", "0!"]


def _divide(x: int) -> float:
    return 1 / x


class MemoryCache:
    """Results of this test only."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def get(self, key: str) -> tuple[bool, Any]:
        return key in self.values, self.values.get(key)

    def put(self, key: str, value: Any, ttl_seconds: float | None) -> None:
        self.values[key] = value

    def claim(self, key: str, run_id: str) -> str:
        return run_id

    def release(self, key: str, run_id: str) -> None: ...


def test_a_cached_result_is_not_computed() -> None:
    cache = MemoryCache()
    calls: list[int] = []

    def work(x: int) -> int:
        calls.append(x)
        return -x

    made = task(cache_policy=INPUTS)(work)
    names = [run_attempt(attempt_at(made, x, cache=cache)).name for x in (1, 1, 2, 1)]  # type: ignore[union-attr]
    assert (names, calls) == (["Completed", "Cached", "Completed", "Cached"], [1, 2])
    run_attempt(attempt_at(made.with_options(refresh_cache=True), 1, cache=cache))
    assert calls == [1, 2, 1]


class Priced:
    """Tasks as methods."""

    n = 7

    def __init__(self, base: int = 0) -> None:
        self.base = base

    @task(cache_policy=INPUTS, task_run_name="{self.n}-{a}")
    def plus(self, a: int) -> int:
        return self.base + a

    @task(cache_policy=INPUTS, task_run_name="{cls.__name__}-{a}")
    @classmethod
    def named(cls, a: int) -> str:
        return f"{cls.__name__} {a}"


class Discounted(Priced):
    pass


def attempt_of_method(bound: Task[..., Any], *args: Any, cache: Any = None) -> Attempt:
    return Attempt(bound, new_run_id(), bound.arguments(args, {}), {}, services=RunServices(cache))


def test_a_cached_method_is_cached_for_each_content_of_its_instance() -> None:
    cache = MemoryCache()
    states: Any = [run_attempt(attempt_of_method(Priced(base).plus, 5, cache=cache)) for base in (1, 100, 1)]
    assert [(state.name, state.data) for state in states] == [("Completed", 6), ("Completed", 105), ("Cached", 6)]
    states = [run_attempt(attempt_of_method(cls.named, 5, cache=cache)) for cls in (Priced, Discounted, Priced)]
    assert [(state.name, state.data) for state in states] == [
        ("Completed", "Priced 5"),
        ("Completed", "Discounted 5"),
        ("Cached", "Priced 5"),
    ]


def test_the_instance_is_among_the_parameters_of_a_method_and_in_its_name() -> None:
    attempt = attempt_of_method(Priced(3).plus, 5)
    assert list(attempt.parameters) == ["self", "a"]
    assert attempt.task_run(Running()).parameters["self"].base == 3
    assert attempt.name == "7-5"
    assert attempt_of_method(Discounted.named, 1).name == "Discounted-1"


def test_a_bound_task_that_was_pickled_takes_the_same_arguments() -> None:
    import pickle

    again = pickle.loads(pickle.dumps(Priced(3).plus))
    assert run_attempt(attempt_of_method(again, 5)).data == 8  # type: ignore[union-attr]


def test_a_cache_key_fn_may_ask_for_the_run() -> None:
    asked: list[Any] = []

    def of_run(context: Any, parameters: dict[str, Any]) -> str:
        asked.append((context.task_run.flow_run_id, context.run_id, context.task.name, context.parameters, parameters))
        return f"k {context.task_run.flow_run_id}"

    cache = MemoryCache()
    made = task(cache_key_fn=of_run)(_divide)
    states: Any = [
        run_attempt(Attempt(made, new_run_id(), (x,), {}, services=RunServices(cache), flow_run_id="f")) for x in (1, 2)
    ]
    assert [(state.name, state.data) for state in states] == [("Completed", 1.0), ("Cached", 1.0)]
    assert asked[0][0] == "f"
    assert asked[0][2:] == ("_divide", {"x": 1}, {"x": 1})


class Shared(MemoryCache):
    """A cache whose keys others may compute."""

    def __init__(self, holder: str | None = None, put_meanwhile: Any = None) -> None:
        super().__init__()
        self.holder, self.put_meanwhile, self.released = holder, put_meanwhile, 0

    def claim(self, key: str, run_id: str) -> str:
        if self.put_meanwhile is not None:
            self.put(key, self.put_meanwhile, None)
        return self.holder or run_id

    def release(self, key: str, run_id: str) -> None:
        self.released += 1


def test_a_call_waits_behind_one_that_computes_the_same() -> None:
    made = task(cache_policy=INPUTS, cache_isolation="serializable")(_divide)
    assert run_attempt(attempt_at(made, 1, cache=Shared("another"))) == WaitForRun("another")
    own = Shared()
    assert run_attempt(attempt_at(made, 1, cache=own)).name == "Completed"  # type: ignore[union-attr]
    assert own.released == 1


def test_a_result_that_was_put_between_a_look_and_a_claim_is_found() -> None:
    made = task(cache_policy=INPUTS, cache_isolation="serializable")(_divide)
    cache = Shared(put_meanwhile="put by another")
    verdict = run_attempt(attempt_at(made, 1, cache=cache))
    assert isinstance(verdict, State)
    assert (verdict.name, verdict.data, cache.released) == ("Cached", "put by another", 1)


def test_who_refreshes_lets_nobody_else_s_claim_go() -> None:
    made = task(cache_policy=INPUTS, cache_isolation="serializable", refresh_cache=True)(_divide)
    cache = Shared("another")
    run_attempt(attempt_at(made, 1, cache=cache))
    assert cache.released == 0


def test_a_failed_attempt_that_is_tried_again_keeps_its_claim() -> None:
    made = task(cache_policy=INPUTS, cache_isolation="serializable", retries=1)(_divide)
    cache = Shared()
    assert isinstance(run_attempt(attempt_at(made, 0, cache=cache)), Retry)
    assert cache.released == 0
    run_attempt(attempt_at(made, 0, cache=cache, retries=1))
    assert cache.released == 1


def test_a_timeout_names_the_task() -> None:
    import time

    async def slow() -> None:
        await asyncio.sleep(30)

    made = task(timeout_seconds=0.05, name="nap")(lambda: time.sleep(30))
    verdict = run_attempt(attempt_at(made))
    assert isinstance(verdict, State)
    assert (verdict.name, verdict.message) == ("TimedOut", "task nap ran longer than 0.05 s")
    alone = asyncio.run(run_attempt_async(attempt_at(task(timeout_seconds=0.05, name="nap")(slow))))
    assert isinstance(alone, State)
    assert (alone.name, alone.message) == ("TimedOut", "task nap ran longer than 0.05 s")


def test_a_coroutine_that_is_cancelled_from_outside_stays_cancelled() -> None:
    async def slow() -> None:
        await asyncio.sleep(30)

    async def main() -> None:
        running = asyncio.create_task(run_attempt_async(attempt_at(task(slow))))
        await asyncio.sleep(0)
        running.cancel()
        await running

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())


def test_a_cancellation_that_the_coroutine_made_itself_is_a_failure() -> None:
    async def confused() -> None:
        inner = asyncio.ensure_future(asyncio.sleep(30))
        inner.cancel()
        await inner

    verdict = asyncio.run(run_attempt_async(attempt_at(task(confused))))
    assert isinstance(verdict, State)
    assert verdict.is_failed()
