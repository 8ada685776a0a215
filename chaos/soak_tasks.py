"""The tasks of the soak that watches sizes: one of each kind that leaves something in the store."""

from __future__ import annotations

from datetime import timedelta

import orchestrator.progress as progress
from orchestrator import task
from orchestrator.cache_policies import INPUTS
from orchestrator.runtime import task_run


@task
def nothing(number: int) -> int:
    return number


@task
def both(one: int, other: int) -> int:
    return one + other


@task(retries=1, retry_delay_seconds=0.2)
def second_time(number: int) -> int:
    if task_run.run_count == 1:
        raise ConnectionError("the first attempt fails")
    return number


@task
def fails(number: int) -> None:
    raise ValueError(number)


@task(log_prints=True)
def prints(number: int) -> None:
    print("a line", number)
    progress.set(number % 10, total=10)


@task(cache_policy=INPUTS, cache_expiration=timedelta(seconds=5))
def cached(number: int) -> int:
    return number


@task(concurrency=4)
def few_at_once(number: int) -> int:
    return number


@task(rate_limit="1000/s")
def at_a_rate(number: int) -> int:
    return number


@task(queue="low-rate", priority="low", result_ttl=1)
def elsewhere(number: int) -> bytes:
    return bytes(2000)
