"""Rolls back what a killed process has left in the middle of a transaction, before its run begins again or is given up.

The transactions are made anew from the undo log of the run and rolled back as their own process would have done. Each
hook is noted when it has been called; one that was being called when a process died is called again.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence
from typing import Any

from orchestrator.client.fleet import Fleet, current_fleet
from orchestrator.errors import OrchestratorError, SerializationError
from orchestrator.execution import undo_log
from orchestrator.execution.interrupt import CancelRun
from orchestrator.execution.sent_calls import SentCalls
from orchestrator.execution.step import Step
from orchestrator.execution.transaction import Transaction
from orchestrator.execution.transaction_modes import TransactionState
from orchestrator.execution.undo_log import Entry, Hook, UndoLog, mark_logged, unpack_entry
from orchestrator.execution.verdicts import state_of_error
from orchestrator.futures import PrefectFuture
from orchestrator.runnables import registry
from orchestrator.states import State

log = logging.getLogger("orchestrator.engine")


def recovery_steps(owner: Any) -> Generator[Step, Any, State[Any] | None]:
    """A delivery of a run begins that was another worker's before: undo what that has left.

    Args:
        owner: the attempt, or the flow run.

    Returns:
        How the run ends that was cancelled meanwhile; what is not undone yet is then undone by another process.

    Raises:
        BrokerError: the log cannot be read; the run is not begun.
    """
    entries = yield Step(read_entries, (owner.run_id,), None, True)
    if not entries:
        return None
    owner.undo_log = UndoLog(owner.run_id, owner.ticket, stored=len(entries))
    try:
        yield from undo_steps(owner.run_id, owner.undo_log, entries, with_what_is_found=True)
    except CancelRun as error:
        return state_of_error(error)
    return None


def undo_steps(
    run_id: str, its_log: UndoLog, entries: Sequence[Entry | None], *, with_what_is_found: bool
) -> Generator[Step, Any, None]:
    """Roll the transactions of a log back, the newest first.

    Args:
        run_id: whose log.
        its_log: where it is noted what was undone.
        entries: what is in the log; ``None`` for one that cannot be read.
        with_what_is_found: go on although hooks are missing, rather than raise before any was called.

    Raises:
        OrchestratorError: not all of the hooks are known here, or some entries cannot be read.
    """
    tree = _Tree(run_id, its_log)
    for entry in entries:
        tree.add(entry)
    if tree.missing:
        text = f"not all that was staged in run {run_id} can be undone here: {'; '.join(tree.missing)}"
        if not with_what_is_found:
            raise SerializationError(f"{text}. Nothing was undone; its undo log is kept")
        log.error("%s. The other hooks are called", text)
    roots = [root for root in tree.roots if root.is_logged and not root.has_ended]
    if roots:
        log.warning("run %s was killed in a transaction, which is rolled back before anything else", run_id)
    for root in reversed(roots):
        yield from root.rollback_steps()
    yield Step(its_log.clear, (), None, True)


def read_entries(run_id: str, fleet: Fleet | None = None) -> list[Entry | None]:
    """The undo log of a run; ``None`` in the place of what cannot be read. Raises BrokerError."""
    found: list[Entry | None] = []
    for at, packed in enumerate((fleet or current_fleet()).broker.undo_logs.read(run_id)):
        try:
            entry = unpack_entry(run_id, at, packed)
            if not isinstance(entry, dict):
                raise SerializationError("it is no entry of an undo log")
        except SerializationError as error:
            log.error("an entry of the undo log of run %s cannot be read: %s", run_id, error)
            found.append(None)
        else:
            found.append(entry)
    return found


class _Tree:
    """The transactions of a log, made anew."""

    def __init__(self, run_id: str, its_log: UndoLog) -> None:
        self._run_id, self._log = run_id, its_log
        self._made: dict[int, Transaction] = {}
        self._sent: dict[int, SentCalls] = {}
        self.roots: list[Transaction] = []
        self.missing: list[str] = []

    def add(self, entry: Entry | None) -> None:
        """The next entry. One that is damaged, or by another version, is among what is missing."""
        try:
            if entry is None:
                raise SerializationError("an entry cannot be read")
            self._add(entry)
        except (SerializationError, KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            self.missing.append(f"{type(error).__name__}: {error}")

    def _add(self, entry: Entry) -> None:
        kind = entry["is"]
        if kind == undo_log.BEGUN:
            return
        path = [int(number) for number in entry["in"]]
        if kind == undo_log.UNDONE:
            return self._note_undone(path[-1])
        transaction = self._transaction(path, entry.get("keys"))
        if kind == undo_log.SET:
            if not entry.get("incomplete"):
                transaction._values[str(entry["name"])] = entry["value"]
        elif kind == undo_log.ENDED:
            transaction.state = TransactionState.COMMITTED
        elif kind == undo_log.STAGED:
            transaction.stage_quietly(None, self._hooks(entry), ())
            mark_logged(transaction)
        elif kind == undo_log.SENT:
            self._add_sent(transaction, entry)
        else:
            raise SerializationError(f"an entry says {kind!r}, which is not known here")

    def _transaction(self, path: list[int], keys: Any) -> Transaction:
        at: Transaction | None = None
        for depth, number in enumerate(path):
            made = self._made.get(number)
            if made is None:
                key = keys[depth] if isinstance(keys, list | tuple) and depth < len(keys) else None
                made = Transaction(parent=at, key=key if isinstance(key, str) else None)
                made.state, made.undo_log, made.path = TransactionState.ACTIVE, self._log, path[: depth + 1]
                self._log.next_number(at_least=number)
                self._made[number] = made
                made.join_parent()
                if at is None:
                    self.roots.append(made)
            at = made
        if at is None:
            raise SerializationError("an entry names no transaction")
        return at

    def _add_sent(self, transaction: Transaction, entry: Entry) -> None:
        futures = [PrefectFuture[Any](str(run_id)) for run_id in entry["runs"]]
        sent = SentCalls(futures, (self._hooks(entry), ()), len(transaction.children))
        sent.number = int(entry["number"])
        self._sent[sent.number] = sent
        transaction._sent.append(sent)
        mark_logged(transaction)

    def _note_undone(self, number: int) -> None:
        if number in self._sent:
            self._sent[number].undone += 1
        elif self._made[number]._on_rollback:
            self._made[number]._on_rollback.pop()

    def _hooks(self, entry: Entry) -> list[Hook]:
        hooks: list[Hook] = []
        if entry.get("incomplete"):
            self.missing.append(f"a hook of {(entry.get('task') or ['the transaction'])[0]} could not be kept")
        for named in entry["hooks"]:
            if callable(named):
                hooks.append(named)
                continue
            try:
                hooks.append(_hook_of_task(entry["task"], named))
            except OrchestratorError as error:
                self.missing.append(str(error))
        return hooks


def _hook_of_task(task: Any, named: Any) -> Hook:
    key, script = task
    at, name = int(named[0]), str(named[1])
    known: list[Hook] = list(registry.find(str(key), script).options.on_rollback)
    by_name = [hook for hook in known if getattr(hook, "__qualname__", type(hook).__qualname__) == name]
    if 0 <= at < len(known) and known[at] in by_name:
        return known[at]
    if len(by_name) == 1:  # the code has changed meanwhile
        return by_name[0]
    raise SerializationError(f"the task {key!r} has no on_rollback hook {name!r} here")
