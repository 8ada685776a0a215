"""Transactions: several tasks succeed together, or what they did is undone.

>>> from orchestrator import task
>>> @task
... def reserve(seats: int) -> int:
...     return seats
>>> @reserve.on_rollback
... def give_back(transaction):
...     print("given back:", transaction.get("seats"))
>>> with transaction() as booking:
...     booking.set("seats", 2)
...     _ = reserve(2)
...     raise ValueError("the card was refused")
Traceback (most recent call last):
ValueError: the card was refused
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from orchestrator.execution.carry_out import carry_out, carry_out_async
from orchestrator.execution.inline import cache_here
from orchestrator.execution.staging import transaction_of
from orchestrator.execution.transaction import Records, Transaction
from orchestrator.execution.transaction_modes import CommitMode, IsolationLevel, TransactionState
from orchestrator.execution.undo_log import undo_log_here
from orchestrator.runs.current import current_attempt, current_transaction

for _public in (CommitMode, IsolationLevel, Transaction, TransactionState):
    _public.__module__ = __name__


def get_transaction() -> Transaction | None:
    """The innermost transaction around this line: of a block, or of the task that runs; ``None`` outside of both.

    Follows Prefect 3 (``prefect.transactions.get_transaction``).

    >>> get_transaction() is None
    True
    """
    transaction: Transaction | None = current_transaction.get()
    attempt: Any = current_attempt.get()
    if attempt is None or (transaction is not None and transaction.opened_in is attempt):
        return transaction
    return transaction_of(attempt)


@contextmanager
def transaction(
    key: str | None = None,
    store: Records | None = None,
    commit_mode: CommitMode | None = None,
    isolation_level: IsolationLevel | None = None,
    overwrite: bool = False,
    write_on_commit: bool = True,
) -> Iterator[Transaction]:
    """Tasks that are called or submitted in the block are committed together at its end, or rolled back.

    If the block raises, or a call that was submitted in it does not complete, the ``on_rollback`` hooks of the tasks
    that completed are called, the newest first; each of them, also if another one fails. Else their ``on_commit`` hooks
    are called, the oldest first. Results for the cache are kept at the commit, not before. A block within another one
    is committed with that.

    Args:
        key: under which ``staged`` value is kept; a transaction whose key has a value begins as committed.
        store: where; the fleet's cache of results unless given.
        commit_mode: LAZY as described; EAGER: at the block's end, also within another; OFF: by ``commit`` only.
        isolation_level: SERIALIZABLE: the block waits while another transaction of its key is at work.
        overwrite: do not look whether the key has a value.
        write_on_commit: whether the value is kept.

    Raises:
        BaseException: what the block raised, or how a submitted call failed, after the roll-back.
        BrokerError: there is a key, and the server does not answer.

    Follows Prefect 3 (``prefect.transactions.transaction``); there submitted calls are not waited for.
    """
    opened = _opened(key, store, commit_mode, isolation_level, overwrite, write_on_commit)
    carry_out(opened.begin_steps())
    token = current_transaction.set(opened)
    try:
        yield opened
    except BaseException as error:
        current_transaction.reset(token)
        carry_out(opened.end_steps(error))
        raise
    else:
        current_transaction.reset(token)
        carry_out(opened.end_steps(None))


@asynccontextmanager
async def atransaction(
    key: str | None = None,
    store: Records | None = None,
    commit_mode: CommitMode | None = None,
    isolation_level: IsolationLevel | None = None,
    overwrite: bool = False,
    write_on_commit: bool = True,
) -> AsyncIterator[Transaction]:
    """:func:`transaction` for coroutines: ``async with atransaction() as txn``; hooks may be coroutine functions."""
    opened = _opened(key, store, commit_mode, isolation_level, overwrite, write_on_commit)
    await carry_out_async(opened.begin_steps())
    token = current_transaction.set(opened)
    try:
        yield opened
    except BaseException as error:
        current_transaction.reset(token)
        await carry_out_async(opened.end_steps(error))
        raise
    else:
        current_transaction.reset(token)
        await carry_out_async(opened.end_steps(None))


def _opened(
    key: str | None,
    store: Records | None,
    commit_mode: CommitMode | None,
    isolation_level: IsolationLevel | None,
    overwrite: bool,
    write_on_commit: bool,
) -> Transaction:
    opened = Transaction(
        key,
        store if store is not None or key is None else cache_here,
        commit_mode,
        isolation_level or IsolationLevel.READ_COMMITTED,
        overwrite,
        write_on_commit,
        parent=get_transaction(),
    )
    opened.opened_in = current_attempt.get()
    if opened.parent is None:
        opened.undo_log = undo_log_here(opened.opened_in)
    return opened


__all__ = [
    "CommitMode",
    "IsolationLevel",
    "Transaction",
    "TransactionState",
    "atransaction",
    "get_transaction",
    "transaction",
]
