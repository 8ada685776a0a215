"""What the supervisor's main thread handles, one event at a time, from signals, the inbox and threads of children."""

from __future__ import annotations

import queue
from dataclasses import dataclass

from task_workers.supervisor.managed_process import ManagedChild
from task_workers.supervisor.messages import ChildMessage


@dataclass(frozen=True, slots=True)
class ChildSaid:
    """A message of a child."""

    child: ManagedChild
    message: ChildMessage


@dataclass(frozen=True, slots=True)
class ChildDied:
    """The process of a child is gone."""

    child: ManagedChild


@dataclass(frozen=True, slots=True)
class StopRequested:
    """Finish what runs and end; a second one kills."""

    why: str | None = None


@dataclass(frozen=True, slots=True)
class ReloadRequested:
    """Replace the children by some with new code."""

    why: str = "SIGHUP"


@dataclass(frozen=True, slots=True)
class PauseRequested:
    """Take no new calls, or take calls again."""

    paused: bool


@dataclass(frozen=True, slots=True)
class StarterReady:
    """Children that had to wait for their template can be started."""


Event = ChildSaid | ChildDied | StarterReady | StopRequested | ReloadRequested | PauseRequested
Events = queue.SimpleQueue[Event]
