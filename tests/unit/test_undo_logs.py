"""The undo log of a run: what is written when, and what a later process makes of one that is whole or damaged."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from brokers.memory.kept import MemoryUndoLogs
from orchestrator import task
from orchestrator.client.fleet import current_fleet
from orchestrator.errors import SerializationError
from orchestrator.execution.carry_out import carry_out
from orchestrator.execution.drivers import drive
from orchestrator.execution.interrupt import CancelRun
from orchestrator.execution.recovery import read_entries, recovery_steps, undo_steps
from orchestrator.execution.undo_log import UndoLog
from orchestrator.runs.current import current_transaction
from orchestrator.runs.run_ids import new_run_id
from orchestrator.testing import inline
from orchestrator.transactions import Transaction

called: list[str] = []


@task
def stored(name: str) -> str:
    return name


@stored.on_rollback
def remove(txn: Transaction) -> None:
    called.append(f"removed {txn.get('name', None)}")


class CountingLogs(MemoryUndoLogs):
    """Logs that know how often they were written."""

    writes = 0
    taken_over = False

    def write(self, *args: Any) -> bool:
        self.writes += 1
        return not self.taken_over and super().write(*args)


@pytest.fixture
def logs() -> Iterator[CountingLogs]:
    called.clear()
    with inline():
        made = current_fleet().broker.undo_logs = CountingLogs()  # type: ignore[misc, attr-defined]
        yield made


def begun(run_id: str) -> Transaction:
    """An outermost transaction as a flow run on a worker has it, with a value."""
    made = Transaction()
    made.undo_log = UndoLog(run_id, "ticket")
    carry_out(made.begin_steps())
    made.set("name", "first")
    return made


def stage(around: Transaction) -> Transaction:
    made = Transaction(parent=around)
    carry_out(made.begin_steps())
    made.stage_quietly(None, [remove], [])
    assert made.undo_log is not None
    made.undo_log.note_staged(made, stored, "run", [remove])
    return made


def undo(run_id: str, *, with_what_is_found: bool = False) -> None:
    entries = read_entries(run_id)
    log = UndoLog(run_id, "", stored=len(entries))
    carry_out(undo_steps(run_id, log, entries, with_what_is_found=with_what_is_found))


def test_it_is_written_when_something_is_staged_and_deleted_at_the_end(logs: CountingLogs) -> None:
    run_id = new_run_id()
    outer = begun(run_id)
    outer.set("more", object)
    assert logs.writes == 0
    stage(outer)
    assert (logs.writes, len(read_entries(run_id))) == (1, 3), "two values and the task"
    outer.commit()
    assert (logs.writes, read_entries(run_id)) == (2, [])


def test_on_an_event_loop_what_is_set_is_written_before_the_next_task_begins(logs: CountingLogs) -> None:
    run_id = new_run_id()
    outer = begun(run_id)
    stage(outer)
    seen: list[Any] = []

    @task
    def looks() -> None:
        seen.extend(entry["value"] for entry in read_entries(run_id) if entry is not None and entry["is"] == "set")

    async def main() -> None:
        token = current_transaction.set(outer)
        outer.set("name", "second")
        looks()
        current_transaction.reset(token)

    asyncio.run(main())
    assert seen == ["first", "second"]


def test_a_transaction_with_nothing_to_undo_writes_nothing(logs: CountingLogs) -> None:
    outer = begun(new_run_id())
    carry_out(Transaction(parent=outer).begin_steps())
    assert outer.commit()
    again = begun(new_run_id())
    assert again.rollback()
    assert logs.writes == 0


def test_the_newest_is_undone_first_with_the_values_of_the_last_moment(logs: CountingLogs) -> None:
    run_id = new_run_id()
    outer = begun(run_id)
    stage(outer)
    stage(outer).set("name", "its own")
    outer.set("name", "last")
    undo(run_id)
    assert called == ["removed its own", "removed last"]
    assert logs.read(run_id) == []
    undo(run_id)
    assert len(called) == 2


def test_a_value_that_cannot_be_packed_is_missing(logs: CountingLogs, caplog: pytest.LogCaptureFixture) -> None:
    run_id = new_run_id()
    outer = begun(run_id)
    outer.set("name", threading.current_thread())
    with caplog.at_level(logging.WARNING, "orchestrator.engine"):
        stage(outer)
    assert "the value 'name' of a transaction" in caplog.text
    undo(run_id)
    assert called == ["removed None"]


@pytest.mark.parametrize("damage", [b"", b"\x00 nonsense", b"\xff" * 40])
def test_a_damaged_entry(damage: bytes, logs: CountingLogs, caplog: pytest.LogCaptureFixture) -> None:
    run_id = new_run_id()
    stage(begun(run_id))
    logs.write(run_id, "", 2, [damage], 60.0)
    with pytest.raises(SerializationError, match=r"not all .* can be undone here.*Nothing was undone"):
        undo(run_id)
    assert called == []
    assert len(logs.read(run_id)) == 3, "it is kept"
    with caplog.at_level(logging.ERROR, "orchestrator.engine"):
        undo(run_id, with_what_is_found=True)
    assert called == ["removed first"]
    assert "The other hooks are called" in caplog.text


def test_an_entry_of_another_run_is_none_of_this(logs: CountingLogs) -> None:
    run_id, other = new_run_id(), new_run_id()
    stage(begun(run_id))
    logs.write(other, "", 0, logs.read(run_id), 60.0)
    if current_fleet().protection.signs:
        with pytest.raises(SerializationError):
            undo(other)
        assert called == []


@task
def stopped(name: str) -> str:
    return name


@stopped.on_rollback
def is_cancelled(txn: Transaction) -> None:
    called.append("cancelled")
    raise CancelRun


@stopped.on_rollback
def exits(txn: Transaction) -> None:
    called.append("exits")
    sys.exit(3)


def test_a_hook_that_exits_ends_nothing_and_a_run_that_is_cancelled_meanwhile_keeps_the_rest(
    logs: CountingLogs,
) -> None:
    run_id = new_run_id()
    outer = begun(run_id)
    stage(outer)
    made = Transaction(parent=outer)
    carry_out(made.begin_steps())
    made.stage_quietly(None, [is_cancelled, exits], [])
    assert made.undo_log is not None
    made.undo_log.note_staged(made, stopped, "run", [is_cancelled, exits])
    owner = SimpleNamespace(run_id=run_id, ticket="", undo_log=None, what="a run")
    state = drive(recovery_steps(owner), owner)
    assert state is not None
    assert state.is_cancelled()
    assert called == ["exits", "cancelled"]
    assert logs.read(run_id), "whoever is sent for it goes on"


def test_a_run_that_was_taken_over_neither_commits_nor_undoes_what_the_next_one_undoes(
    logs: CountingLogs, caplog: pytest.LogCaptureFixture
) -> None:
    outer = begun(new_run_id())
    stage(outer)
    logs.taken_over = True
    with caplog.at_level(logging.WARNING, "orchestrator.engine"):
        assert not outer.commit()
    assert outer.is_rolled_back()
    assert called == []
    assert "another worker has taken run" in caplog.text
