"""Which tests `make test` runs on which server and engine.

Proof by layer. What differs between servers is in ``brokers/redis``: tests/contract and tests/faults run on both of
them. What differs between engines is how a queued call reaches a worker: tests/behaviour runs whole on the private
server and on Celery with RabbitMQ (with Redis where RabbitMQ is not installed), its ``smoke`` tests on all four rows.
`make test-all` runs everything on everything.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.support.rabbitmq import is_installed

LAYERS = ("behaviour", "celery", "metrics", "server", "web", "tracing", "examples")  # above brokers/redis


def split(items: Sequence[pytest.Item]) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """The tests that run, and those that another row stands for."""
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        (left_out if is_left_to_another_row(item) else kept).append(item)
    return kept, left_out


def is_left_to_another_row(item: pytest.Item) -> bool:
    """Whether this test, without this row, is among those that run."""
    callspec = getattr(item, "callspec", None)
    if callspec is None or item.get_closest_marker("smoke") or suite_of(item) not in LAYERS:
        return False
    return any(callspec.params.get(name) in rows for name, rows in second_rows().items())


def suite_of(item: pytest.Item) -> str:
    """The folder below tests/ that a test is in."""
    parts = item.path.parts
    return parts[len(parts) - 1 - parts[::-1].index("tests") + 1] if "tests" in parts[:-1] else ""


def second_rows() -> dict[str, tuple[str, ...]]:
    """By the name of a parameter: the values that other values stand for."""
    carried = "celery+redis" if is_installed() else "celery+amqp"
    return {"row": ("redis-server", carried), "engine": (carried,), "server_program": ("redis-server",)}
