"""Tasks whose hooks of transactions say that they were called, and in which process."""

from __future__ import annotations

import os

from orchestrator import task
from orchestrator.transactions import Transaction

called: list[tuple[str, int]] = []


def committed(transaction: Transaction) -> None:
    called.append(("committed", os.getpid()))


def undone(transaction: Transaction) -> None:
    called.append(("undone", os.getpid()))


@task(on_commit=[committed], on_rollback=[undone])
def written(value: int) -> tuple[int, int]:
    """The value, and how many hooks its worker has called."""
    return value, len(called)


@task
def checked(good: bool) -> None:
    if not good:
        raise ValueError("not good")
