"""Flows that are sent inputs."""

from __future__ import annotations

from orchestrator import flow, task
from orchestrator.input import RunInput, receive_input


class Number(RunInput):
    """What is squared."""

    number: int


@flow(name="squares")
def squares() -> list[int]:
    """Answers each number with its square, until there is a zero."""
    seen = []
    for given in Number.receive(timeout=60):
        seen.append(given.number)
        if given.number == 0:
            break
        given.respond(Number(number=given.number**2))
    return seen


@flow(name="squares on a loop")
async def squares_on_a_loop() -> list[int]:
    seen = []
    async for given in Number.receive(timeout=60):
        seen.append(given.number)
        if given.number == 0:
            break
        await given.respond(Number(number=given.number**2))
    return seen


@task
def waits_in_a_task() -> str:
    """The inputs of the flow run that has sent this task."""
    given: str = receive_input(str, timeout=60).next()
    return given


@flow(name="task waits")
def has_a_task_wait() -> str:
    return waits_in_a_task.submit().result()
