"""Tasks for the tests of states, retries, timeouts, hooks and errors."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orchestrator import task
from orchestrator.runtime import task_run
from orchestrator.states import Cancelled, Completed, Crashed, Failed, Paused, Running, State
from orchestrator.tasks import exponential_backoff
from tests.support import signals


class OutOfTea(Exception):
    """An exception of the application, with more to it than a text."""

    def __init__(self, kind: str, left: int) -> None:
        super().__init__(kind, left)
        self.kind, self.left = kind, left


class Odd(BaseException):
    """Not an Exception."""


class NoText:
    """Whose str() fails."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


STATES = {
    "completed": lambda: Completed(data=7, message="well"),
    "failed": lambda: Failed(message="no luck"),
    "failed with data": lambda: Failed(data=OutOfTea("green", 2)),
    "cancelled": lambda: Cancelled(message="not needed"),
    "crashed": lambda: Crashed(message="the disk is gone"),
    "odd name": lambda: Completed(name=5),  # type: ignore[arg-type]
    "odd message": lambda: Failed(message=ValueError("why")),  # type: ignore[arg-type]
    "message whose text fails": lambda: Failed(message=NoText()),  # type: ignore[arg-type]
    "lone surrogate": lambda: Failed(message="cannot read " + os.fsdecode(b"caf\xe9.txt")),
    "long": lambda: Failed(message="x" * 5_000_000),
    "paused": lambda: Paused(),
    "running": lambda: Running(),
}


@task
def ends_as(kind: str) -> Any:
    return STATES[kind]()


@task(retries=2)
def raises_odd_text(kind: str) -> None:
    raise ValueError("x" * 5_000_000 if kind == "long" else "cannot read " + os.fsdecode(b"caf\xe9.txt"))


@task(name="with the name")
def raises(kind: str) -> None:
    if kind == "own":
        raise OutOfTea("green", 2)
    if kind == "chained":
        try:
            raise KeyError("inner")
        except KeyError as error:
            raise OutOfTea("black", 0) from error
    if kind == "group":
        raise ExceptionGroup("many", [ValueError("one"), OutOfTea("white", 1)])
    if kind == "local":

        class Local(Exception):
            pass

        raise Local("nobody else knows me")
    if kind == "exit":
        sys.exit(3)
    if kind == "odd":
        raise Odd("base")
    if kind == "unprintable":
        raise Unprintable


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@task
async def raises_async(kind: str) -> None:
    await asyncio.sleep(0)
    if kind == "exit":
        sys.exit(3)
    if kind == "cancelled":
        raise asyncio.CancelledError
    raise OutOfTea("green", 2)


@task
def returns_what_cannot_be_packed() -> Any:
    return threading.Lock()


@task
def returns_too_much(size: int) -> bytes:
    return bytes(size)


@task
def returns_a_broken_generator() -> Iterator[float]:
    return (1 / n for n in (2, 1, 0))


@task
def returns_an_exception() -> ValueError:
    return ValueError("just a value")


# -- retries -----------------------------------------------------------------------------------------------------


def flaky(sign: str, good_at: int) -> int:
    """Fails until it was called so often; returns the run count."""
    signals.give(sign)
    if signals.count(sign) < good_at:
        raise OutOfTea("green", signals.count(sign))
    count = task_run.run_count
    assert isinstance(count, int)
    return count


flaky_task = task(retries=3)(flaky)


@task(retries=2)
async def flaky_async(sign: str, good_at: int) -> int:
    return flaky(sign, good_at)


@task(retries=2)
def returns_failed(sign: str) -> State[Any]:
    signals.give(sign)
    return Failed(message="again")


@task(retries=1, retry_delay_seconds=60)
def retried_much_later(sign: str) -> None:
    signals.give(sign)
    raise OutOfTea("green", 1)


@task(retries=3, retry_delay_seconds=exponential_backoff(0.02), retry_jitter_factor=0.5)
def with_backoff(sign: str, good_at: int) -> int:
    return flaky(sign, good_at)


def only_green(task: Any, run: Any, state: State[Any]) -> bool:
    error = state.result(raise_on_failure=False)
    return isinstance(error, OutOfTea) and error.kind == "green"


async def never(task: Any, run: Any, state: State[Any]) -> bool:
    return False


def broken_condition(task: Any, run: Any, state: State[Any]) -> bool:
    raise RuntimeError("a broken condition")


@task(retries=2, retry_condition_fn=only_green)
def retried_if_green(sign: str, kind: str) -> None:
    signals.give(sign)
    raise OutOfTea(kind, 0)


# -- timeouts ----------------------------------------------------------------------------------------------------


def busy(seconds: float) -> None:
    """Sleeps so that it can be interrupted in any thread."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.005)


@task(timeout_seconds=0.1)
def slow(seconds: float = 30) -> str:
    busy(seconds)
    return "in time"


@task(timeout_seconds=0.1)
async def slow_async(seconds: float = 30) -> str:
    await asyncio.sleep(seconds)
    return "in time"


@task(timeout_seconds=0.1, retries=1)
def slow_once(sign: str) -> str:
    signals.give(sign)
    if signals.count(sign) == 1:
        busy(30)
    return "in time"


@task(timeout_seconds=0.1)
def cleans_up(sign: str) -> None:
    try:
        busy(30)
    finally:
        signals.give(sign)


@task(timeout_seconds=20)
def raises_its_own_timeout() -> None:
    raise TimeoutError("of the database")


# -- hooks -------------------------------------------------------------------------------------------------------


def _note(what: str) -> Any:
    def hook(task: Any, run: Any, state: State[Any]) -> None:
        with open(run.parameters["book"], "a") as book:
            book.write(f"{what} {task.name} {run.name} {run.run_count} {state.name}\n")

    return hook


def broken_hook(task: Any, run: Any, state: State[Any]) -> None:
    raise RuntimeError("a broken hook")


async def async_note(task: Any, run: Any, state: State[Any]) -> None:
    await asyncio.sleep(0)
    _note("async")(task, run, state)


@task(
    name="hooked",
    task_run_name="run of {what}",
    retries=1,
    on_running=[_note("running")],
    on_completion=[broken_hook, _note("completion")],
    on_failure=[_note("failure"), async_note],
)
def hooked(book: str, what: str) -> str:
    if what == "bad":
        raise ValueError("bad")
    return what


@task
def hooked_later(book: str, bad: bool = False) -> None:
    if bad:
        raise ValueError("bad")


@hooked_later.on_failure
def noted(task: Any, run: Any, state: State[Any]) -> None:
    _note("decorated")(task, run, state)


hooked_later.on_completion(async_note)


@task(task_run_name="{no_such_parameter}", on_completion=[async_note], on_failure=[async_note])
def with_a_broken_name(book: str) -> str:
    return "done"


class Kitchen:
    """Methods as tasks."""

    def __init__(self, tea: str) -> None:
        self.tea = tea

    @task(on_completion=[_note("method")], task_run_name="{self.tea} for {guest}")
    def serve(self, guest: str, book: str = "/dev/null") -> str:
        return f"{self.tea} for {guest}"

    @classmethod
    def plain(cls) -> str:
        return cls.__name__

    @task(on_completion=[_note("class method")])
    @classmethod
    def name(cls, suffix: str, book: str = "/dev/null") -> str:
        return cls.__name__ + suffix

    @task
    @staticmethod
    def boil(minutes: int) -> str:
        return f"boiled {minutes} minutes"


@task
def ends_its_process() -> None:
    os._exit(9)


@task
def own_tags() -> list[str]:
    return sorted(task_run.tags or ())


@task
def notes_when_awake(folder: str) -> None:
    Path(folder, "begun").touch()
    time.sleep(0.8)
    Path(folder, "ended").touch()


@task
def depth(levels: int) -> int:
    return 1 + depth.submit(levels - 1).result() if levels else 0
