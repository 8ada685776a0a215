"""What the policy of a supervisor needs of the process that it decides for."""

from __future__ import annotations

from typing import Protocol

from task_workers.supervisor.managed_process import ManagedChild


class PoolHost(Protocol):
    """What the pool needs of the process that it lives in."""

    def can_start_children(self) -> bool:
        """Whether a child can be started now; if not, the event :class:`StarterReady` follows."""

    def start_child(self, number: int, paused: bool) -> ManagedChild:
        """Start a process. Raises OSError when the system does not let us."""

    def code_changed(self) -> None:
        """Children that start from now on must have the code as it is now."""

    def import_failed(self) -> None:
        """A child could not import the app: those that start later must try again."""

    def child_exited(self, child: ManagedChild, charged: bool) -> bool:
        """It is dead: its calls go to others, charged for it or not. Returns whether any ran in it."""

    def first_child_ready(self, tasks: list[str]) -> None:
        """The worker has begun."""

    def facts_changed(self) -> None:
        """What the heartbeat says of the children is out of date."""

    def queues_are_empty(self, consumers: list[str]) -> bool:
        """Whether there is nothing left to do for a worker in a burst."""

    def resident_mb(self, pid: int) -> float:
        """The resident memory of a process in MiB."""
