"""What users of Prefect write, and what they get: without a server, in this process."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from orchestrator import Flow, Task, allow_failure, flow, get_run_logger, runtime, tags, task
from orchestrator import exceptions as names
from orchestrator.context import (
    FlowRunContext,
    SettingsContext,
    TagsContext,
    TaskRunContext,
    get_run_context,
)
from orchestrator.errors import (
    MissingContextError,
    MissingFlowError,
    OrchestratorError,
    ParameterTypeError,
    ScriptError,
    UnspecifiedFlowError,
)
from orchestrator.flows import (
    is_entrypoint_async,
    load_flow_from_entrypoint,
    load_flow_from_script,
    load_flow_from_text,
    load_function_and_convert_to_flow,
)
from orchestrator.futures import PrefectFutureList, as_completed, resolve_futures_to_results, wait
from orchestrator.runnables.annotations import freeze, opaque, quote, unmapped
from orchestrator.runs.nested_values import replace_nested
from orchestrator.settings import ORCHESTRATOR_TASK_DEFAULT_RETRIES, current, temporary_settings, use
from orchestrator.states import Cancelled, Cancelling, Completed, Failed, State
from orchestrator.task_runners import ThreadPoolTaskRunner
from orchestrator.testing import inline
from orchestrator.utilities import annotations as prefects_annotations

here = functools.partial(flow, task_runner=ThreadPoolTaskRunner(2))


@task
def inc(x: int) -> int:
    return x + 1


@task
def boom() -> None:
    raise ValueError("no")


# -- callables -----------------------------------------------------------------------------------------------------


class Adder:
    def __init__(self, by: int) -> None:
        self.by = by
        self.options = "of the user"  # not ours

    def __call__(self, x: int) -> int:
        return x + self.by


class Waiter:
    async def __call__(self) -> int:
        return 7


def add(x: int, y: int) -> int:
    return x + y


def test_callable_objects_and_partials_are_tasks_and_flows() -> None:
    assert task(Adder(2))(1) == 3
    assert task(functools.partial(add, 1))(2) == 3
    assert (task(Adder(1)).name, task(functools.partial(add, 1)).name) == ("Adder", "add")
    assert here(Adder(2))(1) == 3
    assert asyncio.run(task(Waiter())()) == 7


def test_a_flow_as_a_task() -> None:
    @here
    def child() -> int:
        return 5

    @here
    async def async_child() -> int:
        return 6

    assert task(child)() == 5
    assert asyncio.run(task(async_child)()) == 6


def test_flows_of_a_class() -> None:
    class Office:
        base = 10

        @here()
        @classmethod
        def of_class(cls, x: int) -> int:
            return cls.base + x

        @here()
        @staticmethod
        def of_nothing(x: int) -> int:
            return x

        @here()
        def of_self(self, x: int) -> int:
            return self.base * x

    class Branch(Office):
        base = 20

    assert (Office.of_class(1), Branch.of_class(1), Branch().of_class(2)) == (11, 21, 22)
    assert (Office.of_nothing(1), Office().of_nothing(2)) == (1, 2)
    assert Branch().of_self(2) == 40


# -- options -------------------------------------------------------------------------------------------------------


def test_options_are_attributes() -> None:
    made = Task(fn=add, name="sum", retries=2, retry_delay_seconds=3, version="v", timeout_seconds=4, log_prints=True)
    assert (made.name, made.retries, made.retry_delay_seconds, made.version) == ("sum", 2, 3, "v")
    assert (made.timeout_seconds, made.log_prints, made.persist_result) == (4, True, None)
    flown = Flow(fn=add, name="all", retries=1, version="w", timeout_seconds=9)
    assert (flown.name, flown.retries, flown.version, flown.timeout_seconds) == ("all", 1, "w", 9)
    with pytest.raises(AttributeError, match="colour"):
        made.colour  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(TypeError, match="colour"):
        Flow(fn=add, colour="red")
    assert flow(lambda: 1).name == "unknown-lambda"


def test_a_timeout_of_zero_is_none() -> None:
    assert task(timeout_seconds=0)(lambda: 1)() == 1
    assert here(timeout_seconds=0)(lambda: 1)() == 1
    assert task(lambda: 1).with_options(timeout_seconds=0).timeout_seconds is None
    for make in (task, flow):
        with pytest.raises(ValueError, match="timeout_seconds=-1"):
            make(timeout_seconds=-1)


@pytest.mark.parametrize("seconds", [-1, -0.001, float("nan")])
@pytest.mark.parametrize(
    "ask",
    [
        lambda seconds: as_completed([], timeout=seconds),
        lambda seconds: wait([], timeout=seconds),
        lambda seconds: PrefectFutureList().result(timeout=seconds),
        lambda seconds: PrefectFutureList().wait(timeout=seconds),
        lambda seconds: PrefectFutureList().result(timeout=seconds, raise_on_failure=False),
    ],
)
def test_negative_timeouts_are_refused(ask: Callable[[float], object], seconds: float) -> None:
    with pytest.raises(ValueError, match="no time to wait"):
        ask(seconds)


def test_negative_timeouts_of_one_future_are_refused() -> None:
    @here
    def asks() -> list[str]:
        future = inc.submit(1)
        future.wait()
        told = []
        for ask in (future.wait, future.result):
            with pytest.raises(ValueError, match="no time to wait"):
                ask(-1)
            told.append(ask.__name__)
        return told

    assert asks() == ["wait", "result"]


# -- states --------------------------------------------------------------------------------------------------------


def test_return_state_never_raises_for_a_failed_upstream() -> None:
    @here
    def child(x: object) -> None: ...

    @task
    async def async_inc(x: int) -> int:
        return x

    @here
    def asks() -> dict[str, State[Any]]:
        failed = boom.submit()
        coroutine: Any = async_inc(failed, return_state=True)  # type: ignore[call-overload]
        return {
            "task": inc(failed, return_state=True),
            "flow": child(failed, return_state=True),
            "async": asyncio.run(coroutine),
            "waits": inc(1, wait_for=[failed], return_state=True),  # type: ignore[call-overload]
        }

    assert {name: state.name for name, state in asks().items()} == dict.fromkeys(
        ("task", "flow", "async", "waits"), "NotReady"
    )


def test_await_before_the_result_of_a_state() -> None:
    @task
    async def one() -> int:
        return 1

    @here
    async def asks() -> list[int]:
        state = await one(return_state=True)  # type: ignore[call-overload]
        kept = state.result()
        both = await asyncio.gather(state.aresult(), state.aresult())
        return [await state.result(), kept, state.result(raise_on_failure=False), *both]

    assert asyncio.run(asks()) == [1, 1, 1, 1, 1]

    async def failing() -> None:
        await Failed(data=ValueError("no")).result()

    with pytest.raises(ValueError, match="no"):
        asyncio.run(failing())


def test_hooks_are_told_the_state_that_the_caller_gets() -> None:
    told: list[State[Any]] = []
    hooked = task(on_completion=[lambda task, run, state: told.append(state)])(lambda: 1)
    state = hooked(return_state=True)
    assert told == [state]
    assert told[0].task_run_id is not None


def test_hooks_of_a_flow_whose_parameters_do_not_fit() -> None:
    told: list[tuple[str, dict[str, Any]]] = []

    @here(on_failure=[lambda flow, run, state: told.append((state.name, run.parameters))], flow_run_name="of {x}")
    def strict(x: int) -> None: ...

    assert strict(x="nope", return_state=True).is_failed()  # type: ignore[arg-type]
    with pytest.raises(ParameterTypeError):
        strict("nope")  # type: ignore[arg-type]
    assert told == [("Failed", {"x": "nope"})] * 2


def test_a_flow_that_returns_cancelling_or_cancelled_calls_its_hook() -> None:
    told: list[str] = []
    for make in (Cancelling, Cancelled):
        here(on_cancellation=[lambda flow, run, state: told.append(state.name)])(lambda make=make: make())(
            return_state=True
        )
    assert told == ["Cancelling", "Cancelled"]


class Model(BaseModel):
    x: int


def test_defaults_of_a_flow_are_validated() -> None:
    @here
    def typed(model: Model = {"x": "1"}, n: int = "3") -> dict[str, Any]:  # type: ignore[assignment]  # noqa: B006
        return {"model": model, "n": n}

    assert typed() == {"model": Model(x=1), "n": 3}
    with pytest.raises(ParameterTypeError, match="model"):
        typed(model=5)  # type: ignore[arg-type]


# -- generators ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [task, here])
def test_a_generator_runs_as_far_as_it_is_gone_through(kind: Any) -> None:
    made: list[tuple[int, bool]] = []

    @kind
    def numbers() -> Iterator[int]:
        for number in range(3):
            made.append((number, (runtime.task_run.id or runtime.flow_run.id) is not None))
            yield number

    values = iter(numbers())
    assert next(values) == 0
    assert made == [(0, True)]
    assert (runtime.task_run.id, runtime.flow_run.id) == (None, None)  # the consumer is in no run
    assert list(values) == [1, 2]
    if kind is task:
        assert numbers(return_state=True).result() == [0, 1, 2]


@pytest.mark.parametrize("kind", [task, here])
def test_an_async_generator(kind: Any) -> None:
    @kind
    async def numbers(n: int) -> AsyncIterator[int]:
        for number in range(n):
            await asyncio.sleep(0)
            yield number

    async def all_of() -> list[int]:
        return [number async for number in numbers(3)]

    assert asyncio.run(all_of()) == [0, 1, 2]


@pytest.mark.parametrize("kind", [task, here])
def test_a_generator_that_fails_begins_again_and_tells_its_hooks(kind: Any) -> None:
    told: list[str] = []
    attempts: list[int] = []

    @kind(retries=1, on_failure=[lambda *about: told.append(about[2].name)])
    def flaky(failures: int) -> Iterator[int]:
        attempts.append(1)
        yield 1
        if len(attempts) <= failures:
            raise ValueError("again")
        yield 2

    assert list(flaky(1)) == [1, 1, 2]
    assert told == []
    attempts.clear()
    values = iter(flaky(2))
    assert [next(values), next(values)] == [1, 1]
    with pytest.raises(ValueError, match="again"):
        next(values)
    assert told == ["Failed"]


def test_a_generator_that_is_left_early_is_closed() -> None:
    closed: list[str | None] = []

    @task
    def numbers() -> Iterator[int]:
        try:
            yield 1
            yield 2
        finally:
            closed.append(runtime.task_run.name)

    values: Any = numbers()
    assert next(values) == 1
    values.close()
    assert len(closed) == 1
    assert closed[0] is not None


def test_a_generators_results_are_a_list_elsewhere() -> None:
    @task
    def numbers() -> Iterator[int]:
        yield from (1, 2)

    assert here(lambda: numbers.submit().result())() == [1, 2]


def test_an_async_call_that_a_flow_returns_is_awaited() -> None:
    @task
    async def one() -> int:
        return 1

    @here
    async def asynchronous() -> Any:
        return one()

    assert asyncio.run(asynchronous()) == 1
    assert here(lambda: one())() == 1


# -- child flows, maps, names --------------------------------------------------------------------------------------


def test_a_child_flow_that_completed_is_not_run_again_when_its_parent_is_retried() -> None:
    runs: list[str] = []

    @here
    def child(name: str) -> str:
        runs.append(name)
        return name.upper()

    @here(retries=1)
    def parent() -> list[str]:
        answers = [child("a"), child("a"), child(f"attempt {runtime.flow_run.run_count}")]
        if runtime.flow_run.run_count == 1:
            raise ValueError("again")
        return answers

    assert parent() == ["A", "A", "ATTEMPT 2"]
    assert runs == ["a", "a", "attempt 1", "attempt 2"]
    runs.clear()
    fresh = child.with_options(persist_result=False)

    @here(retries=1)
    def parent_of_fresh() -> str:
        answer = fresh("a")
        if runtime.flow_run.run_count == 1:
            raise ValueError("again")
        return answer

    assert (parent_of_fresh(), runs) == ("A", ["a", "a"])


def test_a_run_is_named_once_and_with_text() -> None:
    calls: list[int] = []

    @task(task_run_name=lambda: str(calls.append(1)), retries=1)
    def twice() -> int:
        get_run_logger().info("named already")
        if runtime.task_run.run_count == 1:
            raise ValueError("again")
        return 1

    assert (twice(), len(calls)) == (1, 1)
    with pytest.raises(TypeError, match=r"_run_name=.* must be text"):
        task(task_run_name=lambda: 5)(lambda: 1)()  # type: ignore[arg-type, return-value]
    with pytest.raises(TypeError, match=r"_run_name=.* must be text"):
        here(flow_run_name=lambda: 5)(lambda: 1)()
    named = here(flow_run_name=lambda parameters: f"of {parameters['x']}")(lambda x: runtime.flow_run.name)
    assert named(3) == "of 3"


def test_futures_as_keys_are_resolved() -> None:
    @here
    def keys() -> dict[Any, Any]:
        answer: dict[Any, Any] = resolve_futures_to_results({inc.submit(1): [inc.submit(2)]})
        return answer

    assert keys() == {2: [3]}


def test_a_value_that_contains_itself_is_gone_through_once() -> None:
    value: list[Any] = [1]
    value.append(value)
    assert replace_nested(value, lambda part: 2 if part == 1 and part is not True else part)[0] == 2
    returned = here(lambda: value)()
    assert returned is value


def test_a_runner_as_a_context_manager() -> None:
    with ThreadPoolTaskRunner(1) as runner:
        futures = [runner.submit(inc, (number,), {}) for number in range(3)]
        futures += [runner.submit(inc, {"x": 3}), runner.submit(inc, parameters={"x": 4})]
    assert [future.result() for future in futures] == [1, 2, 3, 4, 5]


# -- around a run --------------------------------------------------------------------------------------------------


def test_nothing_is_told_outside_a_run() -> None:
    told = [runtime.flow_run, runtime.task_run]
    assert [(each.id, each.tags, each.parameters, each.run_count) for each in told] == [(None, [], {}, 0)] * 2
    assert {"id", "root_flow_run_id", "flow_version"} <= set(dir(runtime.flow_run))
    with pytest.raises(AttributeError, match="colour"):
        runtime.flow_run.colour  # noqa: B018


def test_what_a_flow_run_is_told_of_itself() -> None:
    @here(version="7")
    def child() -> list[Any]:
        run = runtime.flow_run
        return [run.flow_version, run.parent_flow_run_id, run.root_flow_run_id, run.scheduled_start_time is not None]

    @here
    def parent() -> list[Any]:
        run = runtime.flow_run
        return [child() == ["7", run.id, run.id, True], run.parent_flow_run_id, run.flow_version != ""]

    assert parent() == [True, None, True]


def test_records_of_run_loggers_have_prefects_fields() -> None:
    fields = ("flow_run_id", "flow_run_name", "flow_name", "task_run_id", "task_run_name", "task_name")
    told: list[list[bool]] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append([hasattr(record, field) for field in fields])

    handler = Keep()
    loggers = [logging.getLogger(f"orchestrator.{name}") for name in ("task_runs", "flow_runs")]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        writes = task(lambda: get_run_logger().info("hi"))
        here(lambda: (get_run_logger().info("hi"), writes())[1])()
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
    assert told == [[True, True, True, False, False, False], [True] * 6]


def test_the_context_objects() -> None:
    with pytest.raises(MissingContextError):
        get_run_context()
    assert (FlowRunContext.get(), TaskRunContext.get()) == (None, None)

    @task
    def inner(x: int) -> list[Any]:
        context = get_run_context()
        assert isinstance(context, TaskRunContext)
        return [context.task.name, context.parameters, context.task_run.run_count]

    @here
    def outer(y: int) -> list[Any]:
        context = get_run_context()
        assert isinstance(context, FlowRunContext)
        assert context.flow_run.id == runtime.flow_run.id
        with tags("a", "b"):
            assert TagsContext.get().current_tags == {"a", "b"}
        return [context.flow.name, context.parameters, inner(1)]

    assert outer(2) == ["outer", {"y": 2}, ["inner", {"x": 1}, 1]]
    assert SettingsContext.get().settings is current()


def test_temporary_settings() -> None:
    before = current().task_default_retries
    with temporary_settings({ORCHESTRATOR_TASK_DEFAULT_RETRIES: 5, "beat_seconds": 1.5}):
        assert (ORCHESTRATOR_TASK_DEFAULT_RETRIES.value(), current().beat_seconds) == (5, 1.5)
        with temporary_settings(restore_defaults={ORCHESTRATOR_TASK_DEFAULT_RETRIES}, set_defaults={"beat_seconds": 9}):
            assert (current().task_default_retries, current().beat_seconds) == (before, 1.5)
    assert current().task_default_retries == before
    with pytest.raises(ValueError, match="no setting"), temporary_settings({"colour": 1}):
        pass


def test_the_names_of_prefects_errors() -> None:
    told = [
        getattr(names, name) for name in names.__all__ if name != "Pause"
    ]  # a signal, which is no Exception there either
    assert all(issubclass(kind, OrchestratorError) for kind in told)
    with pytest.raises(names.FailedRun):
        Failed(message="x").result()
    with pytest.raises(names.CancelledRun):
        Cancelled().result()
    with pytest.raises(names.UnfinishedRun):
        Cancelling().result()


# -- annotations ---------------------------------------------------------------------------------------------------


def test_quote_freeze_and_opaque_as_arguments() -> None:
    assert prefects_annotations.quote is quote

    @task
    def kind_of(value: Any) -> str:
        return type(value[0] if isinstance(value, list) else value).__name__

    @here
    def gives() -> list[str]:
        future = inc.submit(1)
        return [
            kind_of(quote([future])),
            kind_of([future]),
            kind_of(opaque(future)),
            kind_of(freeze(3)),
            kind_of.submit(opaque(future)).result(),
            kind_of.submit(quote([3])).result(),
            *kind_of.map(
                [1, 2],
            ).result(),
        ]

    told = gives()
    assert (told[0].endswith("Future"), told[1:]) == (True, ["int"] * 7)
    assert [type(each).__name__ for each in (unmapped(1), allow_failure(1))] == ["unmapped", "allow_failure"]


def test_quote_and_opaque_on_the_way_to_a_worker() -> None:
    @task
    def kind_of(value: Any) -> str:
        return type(value[0] if isinstance(value, list) else value).__name__

    with inline():
        future = inc.submit(1)
        kinds = [
            kind_of.submit(value).result()
            for value in (quote([future]), [future], opaque(future), freeze([future]), quote([3]), freeze(3))
        ]
    assert kinds == ["PrefectFuture", "int", "int", "PrefectFuture", "int", "int"]


# -- loading -------------------------------------------------------------------------------------------------------

SCRIPT = """
from orchestrator import flow
@flow
def first(): return 1
@flow(name="second one")
async def second(): return 2
def plain(): return 3
class Group:
    @flow
    @staticmethod
    def inside(): return 4
"""


def test_flows_by_their_entrypoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "flows_to_load.py"
    script.write_text(SCRIPT)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load_flow_from_entrypoint(f"{script}:first").name == "first"
    assert load_flow_from_entrypoint("flows_to_load:second").name == "second one"
    assert load_flow_from_entrypoint("flows_to_load.first") is load_flow_from_entrypoint(f"{script}:first")
    assert load_flow_from_entrypoint(f"{script}:Group.inside").name == "inside"
    assert load_function_and_convert_to_flow(f"{script}:plain").name == "plain"
    assert is_entrypoint_async(f"{script}:second")
    assert load_flow_from_script(script, "second one").name == "second one"
    assert load_flow_from_text(SCRIPT, "first").name == "first"
    for wrong in (f"{script}:plain", f"{script}:nothing", "no_such_module:f", f"{tmp_path / 'none.py'}:f", "x"):
        with pytest.raises(MissingFlowError):
            load_flow_from_entrypoint(wrong)
    with pytest.raises(UnspecifiedFlowError, match="first, second one"):
        load_flow_from_script(script)
    (tmp_path / "broken_flows.py").write_text("1 / 0")
    with pytest.raises(ScriptError, match="ZeroDivisionError"):
        load_flow_from_entrypoint(f"{tmp_path / 'broken_flows.py'}:f")


def test_a_completed_state_that_a_flow_makes_is_its_result() -> None:
    assert here(lambda: Completed(data=5))() == 5
    assert here(lambda: quote(Completed(data=5)))().data == 5
    assert inspect.isgenerator(task(lambda: (yield 1))())


def test_a_printed_line_is_told_to_come_from_the_function_that_printed_it(caplog: pytest.LogCaptureFixture) -> None:
    def speaks() -> None:
        print("said")

    with caplog.at_level("INFO", logger="orchestrator.flow_runs"):
        flow(speaks, log_prints=True)()
    assert [record.funcName for record in caplog.records if record.getMessage() == "said"] == ["speaks"]


def test_a_run_knows_its_addresses_where_the_settings_say_where_the_server_is() -> None:
    @task
    def step() -> list[str | None]:
        of_flow, of_task = runtime.flow_run, runtime.task_run
        return [of_flow.api_url, of_flow.ui_url, of_task.api_url, of_task.ui_url, of_flow.id, of_task.id]

    whole = here(lambda: step())
    assert whole()[:4] == [None] * 4
    server = {"api_url": "http://host:4200/api", "ui_url": "http://host:4200/"}
    with use(current().model_copy(update=server)):
        *urls, flow_run_id, task_run_id = whole()
    assert urls == [
        f"http://host:4200/api/flow_runs/{flow_run_id}",
        f"http://host:4200/flows/{flow_run_id}",
        f"http://host:4200/api/task_runs/{task_run_id}",
        f"http://host:4200/runs/{task_run_id}",
    ]
    assert runtime.flow_run.ui_url is None


def test_loggers_are_where_prefect_has_them() -> None:
    import orchestrator
    from orchestrator.logging import get_logger, get_run_logger

    assert get_run_logger is orchestrator.get_run_logger
    assert get_logger().name == "orchestrator"
    assert get_logger("loading").name == get_logger("orchestrator.loading").name == "orchestrator.loading"
