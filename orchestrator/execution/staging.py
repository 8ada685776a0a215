"""The transaction of an attempt: what a task did is staged in the transaction around its call, or committed at once."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from typing import TYPE_CHECKING, Any

from orchestrator.execution.attempt import Attempt
from orchestrator.execution.cache_steps import end_claim, write_to_cache
from orchestrator.execution.step import Step
from orchestrator.execution.transaction import Transaction
from orchestrator.execution.transaction_modes import CommitMode, TransactionState
from orchestrator.execution.undo_log import undo_log_of
from orchestrator.execution.verdicts import Verdict
from orchestrator.runs.current import current_transaction
from orchestrator.states import State

if TYPE_CHECKING:
    from orchestrator.cache_policies import CachePolicy


def transaction_of(attempt: Attempt) -> Transaction:
    """The transaction in which an attempt works, within the one around its call."""
    if attempt.transaction is None:
        transaction = Transaction(parent=_around(attempt), commit_mode=CommitMode.LAZY)
        transaction.name = f"transaction of {attempt.what}"
        transaction.state = TransactionState.ACTIVE
        if transaction.parent is None:
            transaction.undo_log = undo_log_of(attempt)
        transaction.join_parent()
        attempt.transaction = transaction
    return attempt.transaction


def begin_transaction(attempt: Attempt) -> Generator[Step, Any, None]:
    """An attempt begins: it joins the transaction around its call, if there is one; what was set there is written.

    A task that a task calls joins the transaction of that only if it has hooks: what it keeps for the cache is found
    by the next attempt. (Prefect 3 keeps it when the outer task completes.)
    """
    options = attempt.options
    hooked_in = attempt.called_in is not None and (options.on_commit or options.on_rollback)
    if hooked_in or (current_transaction.get() is not None and not attempt.ticket):
        undo_log = transaction_of(attempt).undo_log
        if undo_log is not None and undo_log.has_pending:
            yield Step(undo_log.flush, (), None, True)


def _around(attempt: Attempt) -> Transaction | None:
    block: Transaction | None = current_transaction.get()
    caller = attempt.called_in
    if attempt.ticket:
        return None  # it came from a queue; whoever sent it, maybe in this thread, knows of its transaction
    if caller is None or (block is not None and block.opened_in is caller):
        return block
    return transaction_of(caller)


def keep_steps(
    attempt: Attempt, policy: CachePolicy | None, key: str | None, verdict: Verdict
) -> Generator[Step, Any, None]:
    """An attempt has ended: its result is kept for the cache, now or when the transaction around it commits."""
    options = attempt.options
    if attempt.transaction is None and not options.on_commit and not options.on_rollback:
        if policy is not None and key is not None:
            yield from write_to_cache(attempt, key, verdict)
            if isinstance(verdict, State):
                yield from end_claim(attempt, policy, key)
        return
    transaction = transaction_of(attempt)
    attempt.transaction = None  # the next attempt has its own
    if policy is not None and key is not None:
        transaction.keep_steps = partial(write_to_cache, attempt, key, verdict)
        if isinstance(verdict, State):
            transaction.let_go_steps = partial(end_claim, attempt, policy, key)
    if not isinstance(verdict, State) or not verdict.is_completed():
        yield from transaction.rollback_steps()
        return
    transaction.stage_quietly(verdict.data, options.on_rollback, options.on_commit)
    if options.on_rollback and transaction.undo_log is not None and transaction.parent is not None:
        noted = (transaction, attempt.task, attempt.run_id, options.on_rollback)
        yield Step(transaction.undo_log.note_staged, noted, None, True)
    if transaction.is_rolled_back():  # the one around it ended while it worked
        yield from transaction.undo_steps()
    elif transaction.parent is None:
        yield from transaction.commit_steps()
