"""The calls that run in this process right now, and how to reach them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from brokers.messages import Delivery
from orchestrator.client.slot_lending import Place
from orchestrator.execution.attempt import Attempt
from orchestrator.execution.verdicts import policy_of
from orchestrator.serializers.outcomes import stored_name


class RunningCall(Place):
    """One call in a slot; ``place``: its row in the slot table."""

    __slots__ = ("attempt", "cancelled", "delivery", "hard_deadline", "interrupt", "noted", "place", "started")

    def __init__(self, delivery: Delivery, lane: Any, place: int, lent_to: frozenset[str] | None = None) -> None:
        super().__init__(lane, lent_to)
        self.delivery = delivery
        self.attempt: Attempt | None = None  # once it has been unpacked
        self.place = place
        self.started = time.monotonic()
        self.noted = False
        self.cancelled = False
        self.hard_deadline = 0.0
        self.interrupt: Callable[[], bool] | None = None

    @property
    def run_id(self) -> str:
        """The run that it is."""
        return self.delivery.run_id

    @property
    def is_sent_by_a_run(self) -> bool:
        """Whether a task has sent it, or a flow, which may have been called in a task."""
        parent = self.attempt.parent_task_run_id if self.attempt is not None else None
        return parent is not None or self.delivery.flow_run_id is not None

    def as_started(self) -> tuple[str, str, bytes]:
        """What the store knows of it while it runs: ticket, run, and the name it was given."""
        name = self.attempt.given_name if self.attempt is not None else None
        return self.delivery.ticket, self.delivery.run_id, stored_name(self.delivery.run_id, name)

    def stop(self) -> None:
        """Ask it to stop."""
        self.cancelled = True
        if self.interrupt is not None:
            self.interrupt()


def delay_after_kill(attempt: Attempt) -> float | None:
    """Seconds until the retry that follows if this attempt's process has to be killed; ``None``: none does.

    A task with a ``retry_condition_fn`` is not retried: the condition cannot be asked when the process is gone.
    """
    policy = policy_of(attempt.options)
    if attempt.options.retry_condition_fn is not None or not policy.allows(attempt.retries):
        return None
    return policy.delay_before(attempt.retries)
