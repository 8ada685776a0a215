"""Tasks and flows for the tests of caching, logs, tags, runtime, kinds of tasks and flows."""

from __future__ import annotations

import asyncio
import logging.config
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from orchestrator import flow, get_run_logger, task
from orchestrator.cache_policies import FLOW_PARAMETERS, INPUTS, RUN_ID, TASK_SOURCE
from orchestrator.runtime import flow_run, task_run
from orchestrator.states import State
from tests.support import signals

# -- caching -----------------------------------------------------------------------------------------------------


@task(cache_policy=INPUTS - "sign")
def computed(x: int, sign: str) -> int:
    signals.give(sign)
    return x * 10


@task(cache_policy=INPUTS - "sign", cache_expiration=timedelta(milliseconds=150))
def computed_for_a_moment(x: int, sign: str) -> int:
    signals.give(sign)
    return x


@task(cache_key_fn=lambda context, parameters: f"{context.task.name}-{parameters['x'] % 2}", cache_policy=INPUTS)
def computed_by_parity(x: int, sign: str) -> int:
    signals.give(sign)
    return x


@task(cache_policy=INPUTS - "sign")
def fails_first(x: int, sign: str) -> int:
    signals.give(sign)
    if signals.count(sign) == 1:
        raise ValueError("the first time")
    return x


@task(cache_policy=RUN_ID + TASK_SOURCE)
def computed_per_flow_run(sign: str) -> None:
    signals.give(sign)


@task(cache_policy=FLOW_PARAMETERS)
def computed_per_flow_parameters(sign: str) -> None:
    signals.give(sign)


@task(cache_policy=INPUTS)
def takes_anything(value: Any) -> str:
    return "computed"


@task(cache_policy=INPUTS - "sign" - "go_on", cache_isolation="serializable")
def computed_once(x: int, sign: str, go_on: str) -> int:
    signals.give(sign)
    signals.wait_for(go_on)
    return x


@task(cache_policy=INPUTS - "sign" - "go_on", cache_isolation="serializable")
async def computed_once_async(x: int, sign: str, go_on: str) -> int:
    signals.give(sign)
    while not signals.count(go_on):
        await asyncio.sleep(0.01)
    return x


@task(cache_policy=INPUTS - "sign", cache_isolation="serializable")
def fails_once(x: int, sign: str) -> int:
    signals.give(sign)
    if signals.count(sign) == 1:
        raise ValueError("the first time")
    return x


# -- logs, tags, runtime -----------------------------------------------------------------------------------------


@task(log_prints=True)
def talks(name: str) -> None:
    print("hello", name, sep=", ")
    logger = get_run_logger()
    logger.info("info about %s", name)
    logger.debug("not kept")
    logger.warning("a warning")


@task(log_prints=True)
async def talks_async(name: str) -> None:
    print("hello", name)
    await asyncio.sleep(0)
    get_run_logger().error("an error of %s", name)


@task
def prints(text: str) -> None:
    print(text)


@task
def talks_a_lot(lines: int) -> None:
    for line in range(lines):
        get_run_logger().info("line %d", line)


@task(tags=["own"], task_run_name="around {x}")
def around(x: int = 1) -> dict[str, Any]:
    """What a task can know about itself."""
    return {
        "id": task_run.id,
        "name": task_run.name,
        "task_name": task_run.task_name,
        "parameters": task_run.parameters,
        "tags": task_run.tags,
        "run_count": task_run.run_count,
        "flow_run_id": task_run.flow_run_id,
        "flow": flow_run.id,
        "parent": task_run.parent_task_run_id,
    }


@task
def parent() -> tuple[str, dict[str, Any]]:
    run_id = task_run.id
    assert isinstance(run_id, str)
    return run_id, around.submit().result()


# -- kinds of tasks ----------------------------------------------------------------------------------------------


@dataclass
class Shop:
    """Methods as tasks; a dataclass travels as it is."""

    name: str

    @task
    def greet(self, guest: str) -> str:
        return f"{self.name} greets {guest}"

    @task
    async def greet_async(self, guest: str) -> str:
        return f"{self.name} greets {guest}"

    @task
    @classmethod
    def kind(cls, suffix: str = "") -> str:
        return cls.__name__ + suffix

    @task
    @staticmethod
    def price(pounds: int) -> int:
        return pounds * 2


class Branch(Shop):
    """Inherits the tasks."""


@task
def counts(n: int) -> Iterator[int]:
    yield from range(n)


@task
async def counts_async(n: int) -> AsyncIterator[int]:
    for number in range(n):
        yield number


@task
async def doubled(x: int) -> int:
    await asyncio.sleep(0)
    return 2 * x


@task
async def meets(mine: str, other: str) -> str:
    """Two of these can only end together."""
    signals.give(mine)
    while not signals.count(other):
        await asyncio.sleep(0.005)
    return "met"


@task
async def awaits_others(count: int) -> int:
    return sum(await asyncio.gather(*[doubled.submit(n) for n in range(count)]))


@task
async def blocks_its_loop() -> int:
    return doubled.apply_async((1,), countdown=3600).result()  # one that had ended would block nobody


@flow
def inner_flow(n: int) -> int:
    return sum(future.result() for future in square.map(range(n)))


@task
def square(x: int) -> int:
    return x * x


@task
def runs_a_flow(n: int) -> int:
    return inner_flow(n)


@task
def note(state: State[Any] | None = None) -> str:
    return "noted"


@task
def talks_in_threads() -> None:
    logger = get_run_logger()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(logger.info, "from a thread").result()


@task
def configures_logging(config: dict[str, Any]) -> None:
    get_run_logger().info("before")
    logging.config.dictConfig({"version": 1, **config})
    get_run_logger().info("after")
