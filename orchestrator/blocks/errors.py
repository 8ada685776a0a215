"""What can go wrong with blocks. All of these are OrchestratorErrors; many are also what Prefect raises there."""

from __future__ import annotations

from orchestrator.errors import BrokerConflict, ObjectNotFound, OrchestratorError


class BlockNotFound(ObjectNotFound, ValueError):
    """There is no such block, or a name alone does not say which one."""


class BlockAlreadyExists(BrokerConflict, ValueError):
    """There is a block of that name; nothing was written."""


class BlockNotSavedError(OrchestratorError, RuntimeError):
    """A block has no name in the store yet."""


class BlockLoadError(OrchestratorError, RuntimeError):
    """What is stored of a block does not fit its class, or cannot be read; the message names the fields."""


class UnknownBlockType(OrchestratorError, AttributeError):
    """The class of a block is not known in this process; the message says what to import."""


class InvalidBlockRegistration(OrchestratorError):
    """This class is what others build on; blocks are made of those."""
