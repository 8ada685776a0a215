"""The undo log of a run on a worker: what of its open transactions has to be undone if its process is killed.

It is written when there is something to undo: when a task with hooks of a roll-back has completed within a transaction.
What was set in transactions is written with that, and whatever is set later at once. A run without such tasks writes
and reads nothing. The next delivery reads it, see ``recovery.py``. A run whose delivery was given to somebody else
cannot write any more, hence not commit.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from orchestrator import serializers
from orchestrator.client.fleet import current_fleet
from orchestrator.errors import BrokerError, OrchestratorError
from orchestrator.runnables import registry
from orchestrator.runs.current import current_flow_run

if TYPE_CHECKING:
    from orchestrator.execution.attempt import Attempt
    from orchestrator.execution.transaction_scope import TransactionScope

log = logging.getLogger("orchestrator.engine")
Hook = Callable[..., Any]
Entry = dict[str, Any]
SET, STAGED, SENT, UNDONE, ENDED, BEGUN = "set", "staged", "sent", "undone", "ended", "begun"


class UndoLog:
    """The log of one run. Safe for any number of threads.

    Args:
        run_id: whose.
        ticket: of its delivery; empty for whoever undoes a run that has ended.
        stored: how many entries are in the store already.

    Attributes:
        lost: another delivery has the run by now; what is in the log is for that to undo.
    """

    def __init__(self, run_id: str, ticket: str, stored: int = 0) -> None:
        self.run_id, self.lost = run_id, False
        self._ticket, self._stored = ticket, stored
        self._pending: list[Entry] = []
        self._open: set[int] = set()  # outermost transactions that have something in the store
        self._lock = threading.RLock()
        self._last_number = 0
        self._process = os.getpid()

    def next_number(self, at_least: int = 0) -> int:
        """A number for a transaction, or for calls that were sent in one."""
        with self._lock:
            self._last_number = max(self._last_number + 1, at_least)
            return self._last_number

    # -- what is noted -----------------------------------------------------------------------------------------------

    def note_set(self, transaction: TransactionScope) -> None:
        """Values were set after something was staged; those of before are written with that."""
        with self._lock:
            self._note_values(transaction)
        self._write_from_here()

    @property
    def has_pending(self) -> bool:
        """Whether something is being written, or is to be."""
        return bool(self._pending)

    def flush(self) -> None:
        """Have it written. Blocks."""
        self._write_or_warn()

    def note_staged(self, transaction: TransactionScope, task: Any, run_id: str, hooks: Sequence[Hook]) -> None:
        """A task has completed; these are what undoes it. Blocks; the log is written when it returns."""
        if self._note_held(transaction, {"is": STAGED, "task": _key_of(task), "run": run_id}, task, hooks):
            self._write_or_warn()

    def note_staged_here(self, transaction: TransactionScope, hooks: Sequence[Hook]) -> None:
        """The same for what a transaction has staged by hand, from whichever line that did."""
        if self._note_held(transaction, {"is": STAGED, "task": None, "run": None}, None, hooks):
            self._write_from_here()

    def note_sent(
        self, transaction: TransactionScope, number: int, task: Any, run_ids: Sequence[str], hooks: Sequence[Hook]
    ) -> None:
        """Calls were sent whose end the transaction waits for."""
        facts = {"is": SENT, "number": number, "task": _key_of(task), "runs": list(run_ids)}
        if self._note_held(transaction, facts, task, hooks):
            self._write_from_here()

    def note_undone(self, path: Sequence[int]) -> None:
        """One more hook of this transaction (or of these calls) was called. Blocks."""
        self._append({"is": UNDONE, "in": list(path)})
        self._write_or_warn()

    def begin_roll_back(self) -> None:
        """Find out whether the run is still this delivery's before something is undone. Blocks."""
        self._append({"is": BEGUN})
        self._write_or_warn()

    def end(self, transaction: TransactionScope) -> None:
        """A transaction has ended by itself: nothing in it is to be undone any more. Blocks.

        Raises:
            BrokerError: that could not be written. RuntimeError: another delivery has the run by now.
        """
        with self._lock:
            if not transaction.is_logged or os.getpid() != self._process:
                return
            if transaction.parent is None:
                self._open.discard(transaction.path[0])
            if self._open:
                self._append({"is": ENDED, "in": transaction.path})
                self._write()
            else:
                self._pending.clear()
                self._store(0, [])
                self._stored = 0
        if self.lost:
            raise RuntimeError(f"another worker has taken run {self.run_id} over")

    def clear(self) -> None:
        """Nothing is to be undone any more. Blocks; a log that stays is undone again."""
        try:
            with self._lock:
                self._pending.clear()
                self._store(0, [])
                self._stored = 0
        except BrokerError as error:
            log.warning("run %s was rolled back, but that could not be written down: %s", self.run_id, error)

    def _note_held(self, transaction: TransactionScope, facts: Entry, task: Any, hooks: Sequence[Hook]) -> bool:
        """Whether there is something to write."""
        named = [_named(task, hook) for hook in hooks]
        with self._lock:
            path = transaction.path
            entry = {**facts, "in": path, "keys": transaction.keys, "hooks": named}
            if transaction.outermost.has_ended:  # meanwhile, in another thread, which has undone this as well
                return False
            mark_logged(transaction)
            self._note_values(transaction)
            self._open.add(path[0])
            self._pending.append(entry)
        return True

    def _note_values(self, transaction: TransactionScope) -> None:
        """Values that hooks may ask for: of this transaction, and of those around it."""
        at: TransactionScope | None = transaction
        while at is not None:
            for name in at.take_unlogged():
                self._pending.append({"is": SET, "in": at.path, "name": name, "of": at})
            at = at.parent

    def _append(self, entry: Entry) -> None:
        with self._lock:
            self._pending.append(entry)

    # -- how it is written -------------------------------------------------------------------------------------------

    def _write_from_here(self) -> None:
        """Write it in this thread; if an event loop runs in it, in another one: a loop does not wait for the store."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._write_or_warn()
        else:
            loop.run_in_executor(None, self._write_or_warn)

    def _write_or_warn(self) -> None:
        try:
            self._write()
        except BrokerError as error:
            log.warning(
                "what is to be undone of run %s could not be written down: %s; it is written with what follows. If "
                "this process is killed before that, nobody calls the hooks", self.run_id, error,
            )  # fmt: skip

    def _write(self) -> None:
        with self._lock:
            if not self._pending or os.getpid() != self._process:
                return
            entries = [self._packed(entry, self._stored + at) for at, entry in enumerate(self._pending)]
            self._store(self._stored, entries)
            self._stored += len(entries)
            self._pending.clear()

    def _store(self, stay: int, entries: list[bytes]) -> None:
        fleet = current_fleet()
        written = fleet.broker.undo_logs.write(
            self.run_id, self._ticket, stay, entries, fleet.settings.dead_letter_ttl_seconds
        )
        if not written and not self.lost:
            self.lost = True
            log.warning("another worker has taken run %s over, and undoes what was staged here", self.run_id)

    def _packed(self, entry: Entry, at: int) -> bytes:
        transaction = entry.get("of")
        if transaction is not None:
            entry = {name: value for name, value in entry.items() if name != "of"}
            entry["value"] = transaction.value_now(entry["name"])
        try:
            return pack_entry(self.run_id, at, entry)
        except Exception as error:  # whatever the value did to the packer
            what = f"the value {entry['name']!r}" if transaction is not None else "a hook of a roll-back"
            log.warning(
                "%s of a transaction of run %s cannot be kept: %s; should this process be killed, the hooks are called "
                "without it", what, self.run_id, error,
            )  # fmt: skip
            hooks = [hook for hook in entry.get("hooks", ()) if not callable(hook)]
            return pack_entry(self.run_id, at, {**entry, "value": None, "hooks": hooks, "incomplete": True})


def mark_logged(transaction: TransactionScope) -> None:
    """Something in it, hence in those around it, is in the log."""
    at: TransactionScope | None = transaction
    while at is not None:
        at.is_logged, at = True, at.parent


def pack_entry(run_id: str, at: int, entry: Entry) -> bytes:
    """One entry; its signature says whose it is, and which. Raises SerializationError."""
    return serializers.pack_value(entry, context=lambda: ("undo", run_id, str(at)), limits=current_fleet().limits)


def unpack_entry(run_id: str, at: int, packed: bytes) -> Entry:
    """Raises SerializationError: it is damaged, or not ours."""
    entry: Entry = serializers.unpack_value(packed, context=lambda: ("undo", run_id, str(at)))
    return entry


def _key_of(task: Any) -> list[Any]:
    return [task.task_key, task.script]


def _named(task: Any, hook: Hook) -> Any:
    """A hook as another process finds it: by its place in the options of its task; else it has to be packed itself."""
    if task is None:
        return hook
    try:
        known = registry.find(task.task_key, task.script).options.on_rollback
    except OrchestratorError:
        return hook
    at = next((at for at, other in enumerate(known) if other is hook), None)
    return hook if at is None else [at, getattr(hook, "__qualname__", type(hook).__qualname__)]


def undo_log_of(owner: Any) -> UndoLog | None:
    """The log of the delivery in which something runs; ``None``: it runs in its caller's program.

    Args:
        owner: an attempt or a flow run.
    """
    while owner is not None and not owner.ticket:
        owner = owner.called_in or (owner.parent if hasattr(owner, "parent") else current_flow_run.get())
    if owner is None:
        return None
    if owner.undo_log is None:
        owner.undo_log = UndoLog(owner.run_id, owner.ticket)
    found: UndoLog = owner.undo_log
    return found


def undo_log_here(attempt: Attempt | None) -> UndoLog | None:
    """That of the attempt or flow run around this line."""
    return undo_log_of(attempt if attempt is not None else current_flow_run.get())
