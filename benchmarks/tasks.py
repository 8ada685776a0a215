"""The tasks that the benchmarks run."""

from orchestrator import task


@task
def noop(x: int) -> int:
    return x


@task
async def anoop(x: int) -> int:
    return x


@task
def add(a: int, b: int) -> int:
    return a + b
