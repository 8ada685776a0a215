"""The calls that run in this process right now, and how to reach them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from brokers.contract import Delivery
from orchestrator.engine import Attempt, policy_of


class RunningCall:
    """One call in a slot."""

    __slots__ = ("cancelled", "delivery", "hard_deadline", "interrupt", "lane", "noted", "place", "started")

    def __init__(self, delivery: Delivery, lane: Any, place: int) -> None:
        self.delivery = delivery
        self.lane = lane
        self.place = place
        self.started = time.monotonic()
        self.noted = False
        self.cancelled = False
        self.hard_deadline = 0.0
        self.interrupt: Callable[[], bool] | None = None

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
