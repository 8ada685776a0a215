"""Us, with the settings that everyone gets who sets none."""

from __future__ import annotations

import sys

import bodies

from orchestrator import PrefectFuture, task
from orchestrator.client.fleet import current_fleet
from orchestrator.settings import current

TASKS = {body.__name__: task(body) for body in (bodies.add, bodies.note, bodies.slow, bodies.poison)}
globals().update(TASKS)  # a worker finds its tasks among the names of the module


def settings() -> str:
    now = current()
    return f"defaults, 2 processes: lease {now.lease_seconds:g} s, `max_deliveries` {now.max_deliveries}"


def worker(name: str) -> list[list[str]]:
    return [[sys.executable, "-m", "orchestrator", "worker", "-A", "on_orchestrator", "-c", "2", "-n", name]]


def send(name: str, *arguments: object) -> str:
    return str(TASKS[name].delay(*arguments).task_run_id)


def state(call: str) -> str:
    if call in current_fleet().broker.dead_letters.newest():
        return "dead letter"
    now = PrefectFuture(call).state
    return "done" if now.is_completed() else now.name.lower()
