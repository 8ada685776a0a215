"""What an engine cannot do as the others do, and why; ``docs/celery.md`` lists the same (a house test checks that)."""

from __future__ import annotations

from typing import Final

DIFFERENCES: Final[dict[tuple[str, str], str]] = {
    ("celery+amqp", "test_priorities_go_first"): (
        "RabbitMQ serves the queues of a consumer in turn: priorities are shares, not a strict order"
    ),
}
"""(row, test) -> reason."""
