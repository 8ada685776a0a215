"""Flows that wait for people."""

from __future__ import annotations

from typing import Any

from orchestrator import flow, pause_flow_run, suspend_flow_run, task
from orchestrator.errors import FlowPauseTimeout
from orchestrator.input import RunInput
from tests.support import signals


class Approval(RunInput):
    """What is asked for."""

    approved: bool
    note: str = ""


@task
def step(name: str, folder: str) -> str:
    """Says that it has worked."""
    signals.give(f"{folder}/{name}")
    return name.upper()


@flow(name="asks")
def asks(folder: str) -> list[Any]:
    """Two steps, a suspension, a third."""
    first = step("first", folder)
    second = step.submit("second", folder)
    second.wait()
    step.delay("noted", folder)
    given = suspend_flow_run(wait_for_input=Approval.with_initial_data(note="well", description="Go on?"), timeout=600)
    third = step("third", folder)
    return [first, second.result(), third, given.approved, given.note]


@flow(name="asks on a loop")
async def asks_on_a_loop(folder: str) -> list[Any]:
    """The same on an event loop, for a plain type."""
    first = step("first", folder)
    second = await (await step.asubmit("second", folder))
    given = await suspend_flow_run(wait_for_input=int)
    return [first, second, given]


@flow(name="asks in vain")
def asks_in_vain() -> str:
    """Nobody answers."""
    suspend_flow_run(timeout=0.5)
    return "never"


@flow(name="asks twice")
def asks_twice(folder: str) -> list[int]:
    """Two suspensions, each with a step after it."""
    one = suspend_flow_run(wait_for_input=int)
    step("between", folder)
    two = suspend_flow_run(wait_for_input=int)
    return [one, two]


@flow(name="pauses")
def pauses() -> Any:
    """Waits in its process."""
    return pause_flow_run(wait_for_input=int)


@flow(name="works on")
def works_on(folder: str) -> str:
    """Calls tasks until it is told to stop, with pauses between."""
    for number in range(400):
        step(f"step {number}", folder)
        signals.give(f"{folder}/steps")
        signals_pause()
        if signals.count(f"{folder}/enough"):
            return "enough"
    raise FlowPauseTimeout("nobody has told it to stop")


def signals_pause() -> None:
    """A moment between two steps."""
    import time

    time.sleep(0.05)


@task
def suspends() -> None:
    """Not the flow itself."""
    suspend_flow_run()
