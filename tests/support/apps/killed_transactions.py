"""Flows and tasks that are killed in the middle of a transaction; their hooks write what they were given to a file.

``folder`` has one file for each moment at which the process kills itself, once: ``kill-<moment>``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from orchestrator import flow, task
from orchestrator.transactions import Transaction, atransaction, get_transaction, transaction
from tests.support import signals
from tests.support.waiting import wait_until


def die_once(folder: str, moment: str) -> None:
    """Kill this process, if the test wants that at this moment and it was not done before."""
    wait_until(lambda: not Path(folder, f"wait-{moment}").exists(), 60)
    if Path(folder, f"always-kill-{moment}").exists():
        os.kill(os.getpid(), 9)
    wanted = Path(folder, f"kill-{moment}")
    if wanted.exists():
        wanted.unlink()
        os.kill(os.getpid(), 9)


def said(folder: str) -> list[str]:
    """What hooks have written: what was undone, what the transaction had under ``note``."""
    file = Path(folder, "said")
    return file.read_text().splitlines() if file.exists() else []


def say(folder: str, line: str) -> None:
    with open(Path(folder, "said"), "a") as file:
        file.write(line + "\n")


def _undone(name: str, txn: Transaction) -> None:
    folder = txn.get("folder")
    say(folder, f"{name} {txn.get('note', None)}")
    die_once(folder, f"undoing-{name}")


@task
def first(folder: str) -> str:
    signals.give(f"{folder}/first")
    return "first"


@first.on_rollback
def undo_first(txn: Transaction) -> None:
    _undone("first", txn)


@task
def second(folder: str) -> str:
    signals.give(f"{folder}/second")
    return "second"


@second.on_rollback
def fails(txn: Transaction) -> None:
    """Called after the next one: it does not keep the others from being called."""
    say(txn.get("folder"), "fails")
    raise RuntimeError("a hook that fails")


@second.on_rollback
async def undo_second(txn: Transaction) -> None:
    _undone("second", txn)


@task
def third(folder: str) -> str:
    die_once(folder, "third")
    return "third"


@task(on_rollback=[lambda txn: say(txn.get("folder"), "sent")])
def sent(folder: str) -> str:
    signals.give(f"{folder}/sent")
    return "sent"


def _work(folder: str, txn: Transaction) -> list[str]:
    txn.set("folder", folder)
    txn.set("note", "before")
    done = [first(folder), second(folder)]
    txn.set("note", "after")
    return [*done, third(folder)]


@flow
def three(folder: str) -> list[str]:
    """Three tasks in a transaction; then the flow goes on."""
    with transaction(key=f"key of {folder}") as txn:
        done = _work(folder, txn)
    say(folder, "committed")
    die_once(folder, "committed")
    return done


def say_crashed(its_flow: Any, run: Any, state: Any) -> None:
    say(run.parameters["folder"], state.name)


@flow(on_crashed=[say_crashed])
def three_with_a_hook(folder: str) -> list[str]:
    with transaction() as txn:
        return _work(folder, txn)


@flow
async def three_on_a_loop(folder: str) -> list[str]:
    async with atransaction() as txn:
        return _work(folder, txn)


@flow
def in_parts(folder: str) -> list[str]:
    """A block that has committed by itself, and one that has not, in one that goes on."""
    with transaction() as outer:
        outer.set("folder", folder)
        with transaction(commit_mode="eager") as own:
            own.set("note", "own")
            first(folder)
        with transaction() as inner:
            inner.set("note", "inner")
            second(folder)
        return [third(folder)]


@flow
def with_calls(folder: str) -> list[str]:
    """Calls that workers have run are undone with the others."""
    with transaction() as txn:
        txn.set("folder", folder)
        first(folder)
        futures = sent.map([folder, folder])
        futures.wait()
        return [third(folder)]


@task(max_deliveries=2)
def opens(folder: str) -> list[str]:
    """A task in whose body there is a transaction."""
    with transaction() as txn:
        return _work(folder, txn)


@task(max_deliveries=1)
def opens_once(folder: str) -> list[str]:
    with transaction() as txn:
        return _work(folder, txn)


@task
def stages(folder: str) -> None:
    """Stages by hand, hooks that no task has."""
    with transaction() as txn:
        txn.set("folder", folder)
        with transaction() as inner:
            inner.stage("value", on_rollback_hooks=[lambda txn: say(txn.get("folder"), "by hand")])
        die_once(folder, "third")


@flow
def plain(folder: str) -> str | None:
    """Transactions with nothing to undo, and a task with hooks outside of one."""
    with transaction() as txn:
        txn.set("folder", folder)
        third(folder)
    here = get_transaction()
    return first(folder) if here is None else None
