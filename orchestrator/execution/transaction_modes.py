"""What can be chosen about a transaction, and how far one has come."""

from __future__ import annotations

from enum import StrEnum


class CommitMode(StrEnum):
    """When a transaction commits: at its own end, with the one around it, or only by hand.

    Follows Prefect 3 (``prefect.transactions.CommitMode``).
    """

    EAGER = "eager"
    LAZY = "lazy"
    OFF = "off"


class IsolationLevel(StrEnum):
    """Whether a second transaction of the same key may begin before this one has ended. Follows Prefect 3."""

    READ_COMMITTED = "read_committed"
    SERIALIZABLE = "serializable"


class TransactionState(StrEnum):
    """How far a transaction has come. Follows Prefect 3."""

    PENDING = "pending"
    ACTIVE = "active"
    STAGED = "staged"
    COMMITTED = "committed"
    ROLLED_BACK = "rolled_back"
