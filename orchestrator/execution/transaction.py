"""A transaction: what tasks did is committed together, or undone in reverse order. Users import ``transactions.py``.

Its steps are generators, as those of an attempt are, so that threads and event loops share them.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import uuid
from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING, Any, Final, Protocol

from orchestrator.client.async_dispatch import async_dispatch
from orchestrator.client.handles import run_ids_of
from orchestrator.execution.carry_out import carry_out, carry_out_async
from orchestrator.execution.sent_calls import Hook, HooksOfCalls, SentCalls
from orchestrator.execution.step import Step
from orchestrator.execution.transaction_modes import CommitMode, IsolationLevel, TransactionState
from orchestrator.execution.transaction_scope import TransactionScope
from orchestrator.futures import PrefectFuture

if TYPE_CHECKING:
    from orchestrator.execution.undo_log import UndoLog

log = logging.getLogger("orchestrator.engine")
Steps = Generator[Step, Any, None]
_LATER: Final = Step(time.sleep, (0.1,), on_loop=asyncio.sleep)  # another transaction of the same key is at work


class Records(Protocol):
    """Where a transaction with a key keeps its value: a cache of results."""

    def get(self, key: str) -> tuple[bool, Any]: ...
    def put(self, key: str, value: Any, ttl_seconds: float | None) -> None: ...
    def claim(self, key: str, run_id: str) -> str: ...
    def release(self, key: str, run_id: str) -> None: ...


class Transaction(TransactionScope):
    """Values, hooks and the transactions within it, until it is committed or rolled back.

    Attributes:
        key: under which its value is kept; ``None``: it is not.
        state: see :class:`TransactionState`.
        parent: the transaction around it.
        children: those within it, in the order in which they began.

    Follows Prefect 3 (``prefect.transactions.Transaction``).
    """

    def __init__(
        self,
        key: str | None = None,
        store: Records | None = None,
        commit_mode: CommitMode | None = None,
        isolation_level: IsolationLevel = IsolationLevel.READ_COMMITTED,
        overwrite: bool = False,
        write_on_commit: bool = True,
        parent: Transaction | None = None,
    ) -> None:
        super().__init__(key, parent)
        self.store = store
        inherited = parent.commit_mode if parent is not None else CommitMode.LAZY
        self.commit_mode: CommitMode = CommitMode(commit_mode or inherited)
        self.isolation_level = IsolationLevel(isolation_level)
        self.overwrite, self.write_on_commit = overwrite, write_on_commit
        self.children: list[Transaction] = []
        self.opened_in: Any = None  # the attempt in which its block is; the transaction of an attempt is opened by it
        self.keep_steps: Callable[[], Steps] = self._put_steps
        self.let_go_steps: Callable[[], Steps] = self._release_steps
        self._id = str(uuid.uuid4())
        self._staged: Any = None
        self._on_commit: list[Hook] = []
        self._on_rollback: list[Hook] = []
        self._sent: list[SentCalls] = []
        self._lock = threading.Lock()  # tasks of a pool of threads join side by side
        self._holds_claim = False

    def __repr__(self) -> str:
        return f"<{self.name}: {self.state}>"

    # -- what it is for ---------------------------------------------------------------------------------------------

    def stage(
        self,
        value: Any,
        on_rollback_hooks: Iterable[Hook] | None = None,
        on_commit_hooks: Iterable[Hook] | None = None,
    ) -> None:
        """Its work is done: what is kept at the commit, and the hooks. Changes nothing once it is committed."""
        self.stage_quietly(value, on_rollback_hooks, on_commit_hooks)
        if self._on_rollback and self.is_staged() and self.undo_log is not None:
            self.undo_log.note_staged_here(self, self._on_rollback)

    def stage_quietly(
        self, value: Any, on_rollback_hooks: Iterable[Hook] | None, on_commit_hooks: Iterable[Hook] | None
    ) -> None:
        """:meth:`stage` without a note in the undo log."""
        if self.is_committed():
            return
        self._staged = value
        self._on_rollback = list(on_rollback_hooks or ())
        self._on_commit = list(on_commit_hooks or ())
        if not self.is_rolled_back():
            self.state = TransactionState.STAGED

    def read(self) -> Any:
        """The value that is kept under its key, also of an earlier transaction; ``None``: none. Raises BrokerError."""
        if self.key is None or self.store is None:
            return None
        return self.store.get(self.key)[1]

    @async_dispatch("acommit")
    def commit(self) -> bool:
        """Commit it now, whatever its mode; whether it is committed. If a hook fails, which is logged, it is undone."""
        carry_out(self.commit_steps())
        return self.is_committed()

    async def acommit(self) -> bool:
        """:meth:`commit` for coroutines."""
        await carry_out_async(self.commit_steps())
        return self.is_committed()

    @async_dispatch("arollback")
    def rollback(self) -> bool:
        """Undo it now; whether it is rolled back. Has no effect on one that is committed."""
        carry_out(self.rollback_steps())
        return self.is_rolled_back()

    async def arollback(self) -> bool:
        """:meth:`rollback` for coroutines."""
        await carry_out_async(self.rollback_steps())
        return self.is_rolled_back()

    # -- its steps -------------------------------------------------------------------------------------------------

    def join_parent(self) -> None:
        """Be undone, and unless it commits by itself committed, with the transaction around it."""
        if self.parent is not None:
            with self.parent._lock:
                self.parent.children.append(self)

    def begin_steps(self) -> Steps:
        """It begins: one whose key has a value is committed already."""
        self.join_parent()
        self.state = TransactionState.ACTIVE
        if self.key is None or self.store is None:
            return
        if self.isolation_level == IsolationLevel.SERIALIZABLE:
            yield from self._claim_steps(self.key, self.store)
        if not self.overwrite:
            found, _ = yield Step(self.store.get, (self.key,), None, True)
            if found:
                self.state = TransactionState.COMMITTED
                yield from self.let_go_steps()

    def end_steps(self, error: BaseException | None) -> Steps:
        """The block is over: commit, roll back, or leave it to the transaction around it.

        Raises the failure of a call that was sent away within it, after it has been rolled back.
        """
        if error is not None:
            yield from self.rollback_steps()
            return
        failed = yield from self._await_sent()
        if failed is not None:
            yield from self.rollback_steps()
            raise failed
        if self.commit_mode == CommitMode.OFF:
            yield from self.rollback_steps()  # has no effect on one that was committed by hand
        elif self.commit_mode == CommitMode.EAGER or self.parent is None:
            yield from self.commit_steps()
        elif self.is_active():
            self.state = TransactionState.STAGED

    def commit_steps(self, *, with_parent: bool = False) -> Steps:
        """Commit what is within it, then it: hooks, then its value. From the end of its undo log on it is committed.

        If a hook fails, which is logged, what is not committed yet is rolled back: its task, those after, those around.
        """
        if self.has_ended:
            return
        try:
            for child in [child for child in self.children if not child.has_ended]:
                yield from child.commit_steps(with_parent=True)
                if child.is_rolled_back():  # its hooks failed, which is logged
                    yield from self.rollback_steps()
                    return
            for hook in self._on_commit:
                yield Step(hook, (self,))
            yield from self.keep_steps()
            if self.is_logged and self.undo_log is not None and not with_parent:
                yield Step(self.undo_log.end, (self,), None, True)
        except Exception:
            log.exception("the %s could not be committed and is rolled back", self.name)
            yield from self.rollback_steps()
            return
        self.state = TransactionState.COMMITTED
        yield from self.let_go_steps()

    def rollback_steps(self, *, with_parent: bool = False) -> Steps:
        """Undo it: the newest first. Has no effect on one that is committed."""
        if self.has_ended:
            return
        undo_log = self.undo_log if self.is_logged and not with_parent else None
        if undo_log is not None:
            yield Step(undo_log.begin_roll_back, (), None, True)
        yield from self._stop_sent()
        self.state = TransactionState.ROLLED_BACK
        yield from self.undo_steps()
        for child in reversed(self.children):
            yield from child.rollback_steps(with_parent=True)
        yield from self.let_go_steps()
        if undo_log is not None:
            yield from self._end_undo_log(undo_log)

    def undo_steps(self) -> Steps:
        """Call its hooks of a roll-back, the last first; each is tried, also if another one failed, which is logged."""
        undo_log = self.undo_log if self.is_logged else None
        if undo_log is not None and undo_log.lost:  # the worker that has the run by now does that
            self._on_rollback.clear()
        while self._on_rollback:
            hook = self._on_rollback.pop()
            try:
                yield Step(hook, (self,))
            except (Exception, SystemExit):
                log.exception("a hook of the %s failed while it was rolled back; the others are called", self.name)
            if undo_log is not None:
                yield Step(undo_log.note_undone, (self.path,), None, True)

    def _end_undo_log(self, undo_log: UndoLog) -> Steps:
        try:
            yield Step(undo_log.end, (self,), None, True)
        except Exception as error:
            log.warning("the %s is rolled back, but that could not be written down: %s", self.name, error)

    # -- calls that were sent away -----------------------------------------------------------------------------------

    def note_sent(self, futures: Iterable[PrefectFuture[Any]], hooks: HooksOfCalls, task: Any = None) -> None:
        """Calls that were submitted within it: its end waits for theirs, see :class:`SentCalls`.

        ``task``: whose calls they are, if they are in the store, where another process finds them.
        """
        sent = SentCalls(futures, hooks, len(self.children))
        self._sent.append(sent)
        if task is not None and hooks[0] and self.undo_log is not None:
            sent.number = self.undo_log.next_number()
            self.undo_log.note_sent(self, sent.number, task, run_ids_of(futures), hooks[0])

    def _await_sent(self) -> Generator[Step, Any, BaseException | None]:
        """Wait for their ends; the first failure among them."""
        failures = []
        for sent in self._sent:
            failures.append((yield from sent.end_steps()))
        self._stage_sent()
        return next((failure for failure in failures if failure is not None), None)

    def _stop_sent(self) -> Steps:
        """Cancel what has not begun; what completes all the same is undone with the rest."""
        try:
            for sent in self._sent:
                yield from sent.stop_steps()
        except Exception:
            log.exception("calls of the %s could not be stopped; those that complete now are not undone", self.name)
        self._stage_sent()

    def _stage_sent(self) -> None:
        for sent in reversed(self._sent):  # each at its place among the children: from the last on places stay true
            on_rollback, on_commit = sent.hooks
            staged = [Transaction(parent=self) for _ in range(sent.completed)] if on_rollback or on_commit else []
            for child in staged:
                child.stage_quietly(None, on_rollback, on_commit)
                if sent.number is not None:
                    child.path, child.is_logged = [*self.path, sent.number], True
            for child in reversed(staged):  # what was undone before the process was killed that had begun to
                called = min(sent.undone, len(child._on_rollback))
                del child._on_rollback[len(child._on_rollback) - called :]
                sent.undone -= called
            self.children[sent.place : sent.place] = staged
        self._sent.clear()

    # -- its key -------------------------------------------------------------------------------------------------------

    def _put_steps(self) -> Steps:
        if self.key is not None and self.store is not None and self.write_on_commit:
            yield Step(self.store.put, (self.key, self._staged, None), None, True)

    def _claim_steps(self, key: str, store: Records) -> Steps:
        while (yield Step(store.claim, (key, self._id), None, True)) != self._id:
            yield _LATER
        self._holds_claim = True

    def _release_steps(self) -> Steps:
        if self._holds_claim and self.key is not None and self.store is not None:
            self._holds_claim = False
            yield Step(self.store.release, (self.key, self._id), None, True)
