"""Where a transaction stands among others, how far it has come, and the values that its hooks may ask for."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final

from orchestrator.execution.transaction_modes import TransactionState

if TYPE_CHECKING:
    from orchestrator.execution.undo_log import UndoLog

NOT_SET: Final = object()


class TransactionScope:
    """See :class:`orchestrator.execution.transaction.Transaction`.

    Attributes:
        undo_log: of the run on a worker in which it is; ``None``: it is in a program of its caller.
        is_logged: something in it is in the undo log.
    """

    parent: Any  # a transaction, or None

    def __init__(self, key: str | None, parent: TransactionScope | None) -> None:
        self.key, self.parent = key, parent
        self.state = TransactionState.PENDING
        self.name = "transaction" if key is None else f"transaction {key!r}"
        self.undo_log: UndoLog | None = parent.undo_log if parent is not None else None
        self.is_logged = False
        self._values: dict[str, Any] = {}
        self._unlogged: set[str] = set()
        self._path: list[int] = []

    # -- values ----------------------------------------------------------------------------------------------------

    def set(self, name: str, value: Any) -> None:
        """Keep a value for the hooks and for the transactions within this one."""
        self._values[name] = value
        if self.undo_log is not None:
            self._unlogged.add(name)
            if self.is_logged and not self.has_ended:
                self.undo_log.note_set(self)

    def value_now(self, name: str) -> Any:
        """A value itself, for whoever packs it."""
        return self._values.get(name)

    def take_unlogged(self) -> list[str]:
        """The names of values that are not in the undo log; they are from now on."""
        names, self._unlogged = self._unlogged, set()
        return sorted(names, key=str)

    def get(self, name: str, default: Any = NOT_SET) -> Any:
        """A copy of a value that was set here or in a transaction around it, also if it was set after this one.

        Raises:
            ValueError: there is none, and no default was given.
        """
        at: TransactionScope | None = self
        while at is not None:
            if name in at._values:
                return copy.deepcopy(at._values[name])
            at = at.parent
        if default is NOT_SET:
            raise ValueError(f"the {self.name} has no value {name!r}, nor has one around it")
        return default

    # -- where it stands -------------------------------------------------------------------------------------------

    def is_pending(self) -> bool:
        """Whether it has not begun."""
        return self.state == TransactionState.PENDING

    def is_active(self) -> bool:
        """Whether it is at work."""
        return self.state == TransactionState.ACTIVE

    def is_staged(self) -> bool:
        """Whether its work is done, and neither committed nor rolled back."""
        return self.state == TransactionState.STAGED

    def is_committed(self) -> bool:
        """Whether it is committed; at its beginning: whether there is a value under its key already."""
        return self.state == TransactionState.COMMITTED

    def is_rolled_back(self) -> bool:
        """Whether it was undone."""
        return self.state == TransactionState.ROLLED_BACK

    @property
    def has_ended(self) -> bool:
        """Whether it is committed or rolled back."""
        return self.is_committed() or self.is_rolled_back()

    # -- its place ----------------------------------------------------------------------------------------------------

    @property
    def path(self) -> list[int]:
        """What it is known by in the undo log."""
        if not self._path and self.undo_log is not None:
            around: list[int] = self.parent.path if self.parent is not None else []
            self._path = [*around, self.undo_log.next_number()]
        return self._path

    @path.setter
    def path(self, path: list[int]) -> None:
        self._path = path

    @property
    def outermost(self) -> TransactionScope:
        """The one that no other is around."""
        at = self
        while at.parent is not None:
            at = at.parent
        return at

    @property
    def keys(self) -> list[str | None]:
        """Its key, behind those of the transactions around it."""
        return [*(self.parent.keys if self.parent is not None else ()), self.key]
