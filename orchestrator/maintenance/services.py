"""What a fleet needs beside its workers, for processes that are none, such as the dashboard's server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from orchestrator.client.fleet import Fleet
from orchestrator.maintenance.chore import Chore
from orchestrator.maintenance.event_watch import EventWatch
from orchestrator.maintenance.flow_watch import FlowWatch
from orchestrator.maintenance.heartbeat import Heartbeat
from orchestrator.maintenance.mover import Mover
from orchestrator.maintenance.reactor import Reactor
from orchestrator.maintenance.rescue import Rescue
from orchestrator.maintenance.ticker import Ticker


@contextmanager
def running_services(
    fleet: Fleet, wanted: bool = True, action_runner: Callable[[Fleet, Reactor], Chore] | None = None
) -> Iterator[None]:
    """Fire schedules, look at events, do actions, queue what is due and end silent flow runs while the block runs.

    Workers do the same; so the schedules of a fleet are fired while a worker or a server lives.

    Args:
        fleet: whose.
        wanted: false: nothing of it.
        action_runner: what does the actions.
    """
    chores: list[Chore] = []
    if wanted:
        rescue, reactor = Rescue(fleet), Reactor(fleet)
        chores += [Mover(fleet), Ticker(fleet), FlowWatch(fleet), EventWatch(fleet)]
        chores += [Heartbeat(fleet, dict, rescue.take_over), rescue]
        chores += [reactor, *([action_runner(fleet, reactor)] if action_runner is not None else ())]
    for chore in chores:
        chore.start()
    try:
        yield
    finally:
        for chore in chores:
            chore.stop()
