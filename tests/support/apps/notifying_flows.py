"""Flows that send messages when they fail or are killed; ``python -m`` serves them."""

from __future__ import annotations

import os

from orchestrator import flow, serve
from orchestrator.automations import notify

ALERTS = notify("slack-webhook/alerts")


@flow(on_failure=[ALERTS])
def fails(reason: str) -> None:
    """Raises."""
    raise ValueError(reason)


@flow(on_crashed=[ALERTS])
def is_killed() -> None:
    """Is killed each time."""
    os.kill(os.getpid(), 9)


if __name__ == "__main__":
    serve(fails.to_deployment("served"), is_killed.to_deployment("served"))
