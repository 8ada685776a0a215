"""Never run: mypy reads it (see ``test_types.py``). Wrong calls have an ignore; one without an error is an error."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, assert_type

from orchestrator import Flow, PrefectFuture, State, Task, flow, tags, task, unmapped, wait
from orchestrator.futures import DoneAndNotDone, PrefectFutureList, as_completed


@task
def plain(x: int, y: str = "") -> float:
    return x


@task(retries=2, queue="other")
def with_options(x: int) -> list[str]:
    return [str(x)]


@task
async def asynchronous(x: int) -> bytes:
    return bytes(x)


@flow
def a_flow(n: int) -> dict[str, int]:
    return {"n": n}


@flow(retries=1)
async def async_flow(n: int) -> bool:
    return bool(n)


def tasks_keep_their_types() -> None:
    assert_type(plain(1, y="a"), float)
    assert_type(plain.submit(1, "a"), PrefectFuture[float])
    assert_type(plain.submit(1).result(), float)
    assert_type(plain.submit(1).result(timeout=3), float)
    assert_type(plain.submit(1).result(raise_on_failure=False), float | BaseException)
    assert_type(plain.delay(1), PrefectFuture[float])
    assert_type(plain.map([1, 2]), PrefectFutureList[float])
    assert_type(plain.map([1, 2], y=unmapped("a")).result(), list[float])
    assert_type(plain.submit(1, return_state=True), State[float])
    assert_type(plain(1, return_state=True), State[float])
    assert_type(plain.submit(1, return_state=True).result(), float)
    assert_type(with_options(1), list[str])
    assert_type(with_options.submit(1).result(), list[str])
    assert_type(with_options.with_options(retries=3).submit(1), PrefectFuture[list[str]])
    assert_type(plain.fn(1, "a"), float)


async def async_tasks_too() -> None:
    coroutine = assert_type(asynchronous(1), Coroutine[Any, Any, bytes])
    assert_type(await coroutine, bytes)
    assert_type(await asynchronous(1), bytes)
    assert_type(asynchronous.submit(1), PrefectFuture[bytes])
    assert_type(await asynchronous.submit(1), bytes)
    assert_type(asynchronous.submit(1).result(), bytes)
    assert_type(asynchronous.delay(1), PrefectFuture[bytes])
    assert_type(asynchronous.map([1]), PrefectFutureList[bytes])
    assert_type(await plain.submit(1), float)
    assert_type(await plain.adelay(1), PrefectFuture[Any])


def flows_keep_theirs() -> None:
    assert_type(a_flow(1), dict[str, int])
    assert_type(a_flow(n=1), dict[str, int])
    assert_type(a_flow(1, return_state=True), State[dict[str, int]])
    assert_type(a_flow.with_options(name="x")(1), dict[str, int])
    coroutine = assert_type(async_flow(1), Coroutine[Any, Any, bool])
    del coroutine


def helpers_keep_them_as_well() -> None:
    futures = plain.map([1, 2])
    assert_type(wait(futures), DoneAndNotDone[float])
    assert_type(wait(futures).done, set[PrefectFuture[float]])
    for future in as_completed(futures):
        assert_type(future, PrefectFuture[float])
    with tags("a") as now:
        assert_type(now, frozenset[str])
    flow_object: Flow[[int], dict[str, int]] = a_flow
    task_object: Task[[int], list[str]] = with_options
    del flow_object, task_object


def wrong_calls_are_errors() -> None:
    plain("one")  # type: ignore[call-overload]
    plain(1, z=2)  # type: ignore[call-overload]
    plain.submit()  # type: ignore[call-overload]
    plain.submit("one")  # type: ignore[call-overload]
    plain.delay("one")  # type: ignore[arg-type]
    plain.delay(1, 2)  # type: ignore[arg-type]
    asynchronous.submit("one")  # type: ignore[call-overload]
    asynchronous.delay("one")  # type: ignore[call-overload]
    with_options(1, 2)  # type: ignore[call-overload]
    a_flow("one")  # type: ignore[call-overload]
    result: str = plain.submit(1).result()  # type: ignore[assignment]
    del result
