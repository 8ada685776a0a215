"""Tasks for the tests of calls, futures and dependencies."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from orchestrator import task
from tests.support import signals


@task
def add(x: int, y: int = 1) -> int:
    return x + y


@task
def echo(value: Any) -> Any:
    return value


@task
def halve(value: int) -> int:
    if value % 2:
        raise ValueError(f"{value} is odd")
    return value // 2


@task
def pair(one: Any, other: Any = None) -> list[Any]:
    return [one, other]


@task
async def echo_async(value: Any) -> Any:
    await asyncio.sleep(0)
    return value


@task
def total(*numbers: int, **named: int) -> int:
    return sum(numbers) + sum(named.values())


@task
def keywords_only(*, a: int, b: int = 2) -> tuple[int, int]:
    return a, b


@task
def fail(message: str = "as it should") -> None:
    raise ValueError(message)


@task(name="weighing", task_run_name="weigh {value}")
def weigh(value: str, entered: str = "", go_on: str = "") -> str:
    if entered:
        signals.give(entered)
        signals.wait_for(go_on)
    return value


@task
def process_id() -> int:
    return os.getpid()


@task
def leave(sign: str) -> None:
    """Give a sign."""
    signals.give(sign)


@task
def write(book: str, text: str) -> None:
    with open(book, "a") as file:
        file.write(text)


@task
def hold(entered: str, go_on: str) -> str:
    """Give a sign, wait for another."""
    signals.give(entered)
    signals.wait_for(go_on)
    return "went on"


@task
async def hold_async(entered: str, go_on: str) -> str:
    signals.give(entered)
    while not signals.count(go_on):
        await asyncio.sleep(0.01)
    return "went on"


@task(queue="elsewhere")
def in_another_queue() -> str:
    return "done"


@task(validate_parameters=True)
def strict(count: int, names: list[str] | None = None) -> int:
    return count + len(names or ())


@dataclass
class Basket:
    owner: str
    items: Any


class Order(BaseModel):
    number: int
    lines: Any


@task
def makes_a_lock() -> Any:
    return threading.Lock()


@task
def kind_of(value: Any) -> str:
    return type(value).__name__


@task
def contents(value: Any) -> Any:
    """What a basket or order holds, to see whether the futures inside were replaced."""
    return value.items if isinstance(value, Basket) else value.lines


@task
def submit_inside(count: int) -> list[int]:
    """Submits other tasks and waits for them."""
    return [future.result() for future in [add.submit(index) for index in range(count)]]


@task(max_deliveries=2)
def kill_worker(sign: str) -> None:
    """The worker that runs this is gone, as if it had run out of memory."""
    signals.give(sign)
    os.kill(os.getpid(), signal.SIGKILL)
