"""The calls that run in this process right now, and how to reach them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from brokers.contract import Delivery


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
