"""The options of one call, as users give them and as an envelope needs them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from brokers.spans import LONGEST_SECONDS
from orchestrator.runnables.options import check_priority, check_queue


@dataclass(frozen=True, slots=True)
class CallOptions:
    """Options of one call; times in milliseconds from now."""

    delay_ms: int = 0
    expires_ms: int | None = None
    priority: str | None = None
    queue: str | None = None
    idempotency_key: str | None = None

    @property
    def is_due_at_once(self) -> bool:
        """Whether nothing but workers has to be waited for."""
        return not self.delay_ms

    @classmethod
    def checked(
        cls,
        countdown: float | timedelta | None,
        eta: datetime | None,
        expires: float | timedelta | datetime | None,
        priority: str | None,
        queue: str | None,
        idempotency_key: str | None,
    ) -> CallOptions:
        """From what users give. Raises ValueError naming the option."""
        if countdown is not None and eta is not None:
            raise ValueError("give countdown or eta, not both")
        when = countdown if countdown is not None else eta
        name = "countdown" if countdown is not None else "eta"
        check_queue(queue)
        if priority is not None:
            check_priority(priority)
        if idempotency_key is not None and not (isinstance(idempotency_key, str) and 0 < len(idempotency_key) <= 512):
            raise ValueError(f"idempotency_key={idempotency_key!r} must be a text of 1 to 512 characters")
        return cls(
            0 if when is None else _milliseconds(name, when),
            None if expires is None else _milliseconds("expires", expires),
            priority,
            queue,
            idempotency_key,
        )


NO_OPTIONS: Final = CallOptions()


def _milliseconds(name: str, value: float | timedelta | datetime) -> int:
    span: Any = value
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"{name}={value!r} has no time zone: write datetime.now(UTC) + ... or give seconds")
        span = value - datetime.now(UTC)
    seconds = span.total_seconds() if isinstance(span, timedelta) else span
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds != seconds:
        raise ValueError(f"{name}={value!r} must be seconds, a timedelta or an aware datetime")
    if seconds > LONGEST_SECONDS:
        raise ValueError(f"{name}={value!r} is more than 100 years from now")
    return max(0, round(seconds * 1000))
