"""What can go wrong with calls, their arguments and their results.

The whole tree (the upper half is carriage and lives in :mod:`brokers.errors`; every name can be imported from here)::

    OrchestratorError
    ├── BrokerError                     something about carriage
    │   ├── BrokerUnavailable           nobody answers, or not in time; says what was sent
    │   ├── BrokerConflict              somebody else has changed it meanwhile; nothing was written
    │   ├── BrokerRefused               it answered with a refusal
    │   │   ├── AuthenticationFailed
    │   │   ├── TLSFailed
    │   │   ├── UnsupportedServer
    │   │   ├── StoreFull
    │   │   └── QueueFull
    │   └── EmbeddedServerError         the private server could not be started
    ├── InvalidURL                      (also a ValueError)
    ├── PayloadTooLarge                 (also a ValueError)
    ├── ConfigurationError              (also a ValueError) a setting or variable has a value that is not allowed
    ├── SerializationError              (also a ValueError) a value cannot be packed, or bytes cannot be unpacked
    │   ├── UntrustedPayload            bytes that need a signature have none, or a wrong one
    │   └── EncryptionKeyMissing        bytes are encrypted with a key that this process does not have
    ├── ParameterBindError              (also a TypeError) arguments do not fit the signature
    ├── ParameterTypeError              (also a TypeError) an argument does not fit its annotation
    ├── ReservedArgumentError           (also a TypeError) a parameter has a name that we need
    ├── MappingMissingIterable          (also a ValueError) ``map`` found nothing to map over
    ├── MappingLengthMismatch           (also a ValueError) ``map`` found iterables of unequal lengths
    ├── AmbiguousTask                   (also a ValueError) several tasks are defined under one key
    ├── UnknownTask                     (also a LookupError) no task of that name is known in this process
    ├── CacheKeyError                   (also a ValueError) a cache key cannot be computed from an argument
    ├── MissingResult                   there is no result (yet, or any more)
    │   ├── UnfinishedRun               it has not ended
    │   └── MissingContextError         (also a RuntimeError) asked for outside a run
    ├── ResultStorageError              a storage of results cannot be used, or not be reached
    ├── MissingFlowError                (also a LookupError) no flow where one was looked for
    ├── UnspecifiedFlowError            (also a LookupError) several flows, and nothing says which
    ├── ScriptError                     a script could not be loaded
    ├── ObjectNotFound                  (also a LookupError) there is no such deployment, flow run, work pool, ...
    ├── FlowRunWaitTimeout              (also a TimeoutError) a flow run has not ended in time
    ├── FlowPauseTimeout                (also a TimeoutError) nobody has resumed a flow run in time
    ├── NotPausedError                  a flow run that is not paused cannot be resumed
    ├── RunPaused                       a run is paused
    ├── ConcurrencySlotAcquisitionError  places under a limit cannot be had
    │   ├── AcquireConcurrencySlotTimeoutError  (also a TimeoutError) not in time
    │   └── ConcurrencyLeaseLost        others may have them
    ├── LimitDeadlock                   (also a RuntimeError) a run waits for one that needs the place it holds
    ├── NotificationError               a message or a call of a webhook was not taken
    ├── UpstreamTaskError               a run this one depends on did not complete
    ├── RunFailed                       a run ended Failed and brought no exception with it
    ├── RunCancelled                    a run was cancelled
    ├── RunCrashed                      the infrastructure failed, not the user's code
    │   └── RunLost                     (also an ObjectNotFound) the record of the run has vanished
    ├── RemoteError                     the run raised an exception whose class is not loaded here
    └── TaskTimeout                     (also a TimeoutError) a task ran longer than it may

    (errors about blocks, which are among these: :mod:`orchestrator.blocks.errors`)

    RemoteTraceback                     (a plain Exception) the ``__cause__`` that carries a remote traceback's text

``except OrchestratorError`` therefore catches everything that is ours, and never the exception that a task raised:
that one comes back as its own type.
"""

from __future__ import annotations

from typing import Any

from brokers.errors import (
    AuthenticationFailed,
    BrokerConflict,
    BrokerError,
    BrokerRefused,
    BrokerUnavailable,
    EmbeddedServerError,
    InvalidURL,
    OrchestratorError,
    PayloadTooLarge,
    QueueFull,
    StoreFull,
    TLSFailed,
    UnsupportedServer,
)

__all__ = [
    "AcquireConcurrencySlotTimeoutError",
    "AmbiguousTask",
    "AuthenticationFailed",
    "BrokerConflict",
    "BrokerError",
    "BrokerRefused",
    "BrokerUnavailable",
    "CacheKeyError",
    "ConcurrencyLeaseLost",
    "ConcurrencySlotAcquisitionError",
    "ConfigurationError",
    "EmbeddedServerError",
    "EncryptionKeyMissing",
    "FlowPauseTimeout",
    "FlowRunWaitTimeout",
    "InvalidURL",
    "LimitDeadlock",
    "MappingLengthMismatch",
    "MappingMissingIterable",
    "MissingContextError",
    "MissingFlowError",
    "MissingResult",
    "NotPausedError",
    "NotificationError",
    "ObjectNotFound",
    "OrchestratorError",
    "ParameterBindError",
    "ParameterTypeError",
    "PayloadTooLarge",
    "QueueFull",
    "RemoteError",
    "RemoteTraceback",
    "ReservedArgumentError",
    "ResultStorageError",
    "RunCancelled",
    "RunCrashed",
    "RunFailed",
    "RunLost",
    "RunPaused",
    "ScriptError",
    "SerializationError",
    "StoreFull",
    "TLSFailed",
    "TaskTimeout",
    "UnfinishedRun",
    "UnknownTask",
    "UnspecifiedFlowError",
    "UnsupportedServer",
    "UntrustedPayload",
    "UpstreamTaskError",
]


class ConfigurationError(OrchestratorError, ValueError):
    """A setting has a value that is not allowed; the message names the variable, the value seen and what is allowed."""


class SerializationError(OrchestratorError, ValueError):
    """A value cannot be packed, or bytes cannot be unpacked."""


class UntrustedPayload(SerializationError):
    """Bytes that may only be read with a valid signature have none, or one made with another key."""


class EncryptionKeyMissing(SerializationError):
    """Bytes are encrypted with a key that this process does not have; the message says which, never the key itself."""


class ParameterBindError(OrchestratorError, TypeError):
    """The arguments of a call do not fit the function's signature."""


class ParameterTypeError(OrchestratorError, TypeError):
    """An argument does not fit the annotation of its parameter."""


class ReservedArgumentError(OrchestratorError, TypeError):
    """A function has a parameter whose name means something to us: ``return_state`` or ``wait_for``."""


class MappingMissingIterable(OrchestratorError, ValueError):
    """``map`` was called without any iterable argument."""


class MappingLengthMismatch(OrchestratorError, ValueError):
    """``map`` was called with iterables of unequal lengths; the message lists them."""


class UnknownTask(OrchestratorError, LookupError):
    """No task of this name is known in this process; the message says which are."""


class AmbiguousTask(OrchestratorError, ValueError):
    """Several tasks that do not do the same are defined under one key; the message says how to distinguish them."""


class LimitDeadlock(OrchestratorError, RuntimeError):
    """A run waits for another that needs a place under a concurrency limit, and only runs that wait so hold places."""


class ConcurrencySlotAcquisitionError(OrchestratorError):
    """Places under a limit cannot be had: it has fewer, has no decay, or (``strict``) nobody has declared it."""


class AcquireConcurrencySlotTimeoutError(ConcurrencySlotAcquisitionError, TimeoutError):
    """Places under a concurrency limit were not free in time."""


class ConcurrencyLeaseLost(ConcurrencySlotAcquisitionError):
    """The lease of places under a limit could not be renewed in time: others may have them. See ``concurrency``."""


class NotificationError(OrchestratorError):
    """A message, or the call of a webhook, was not taken; the text says by whom and what was answered, without secrets.

    ``status`` is the HTTP or SMTP status that was answered, ``None`` where there was no answer. ``temporary`` says
    whether it may be taken later: nobody answered, the receiver has trouble (5xx of HTTP, 4xx of SMTP) or is asked too
    often. ``log`` is the text, as Prefect's error has it.
    """

    def __init__(
        self, message: str = "the message was not taken", status: int | None = None, temporary: bool = False
    ) -> None:
        super().__init__(message)
        self.status = status
        self.temporary = temporary

    @property
    def log(self) -> str:
        """What went wrong, in words."""
        return str(self)


class CacheKeyError(OrchestratorError, ValueError):
    """A cache key cannot be computed because an argument has no stable content (a lock, a socket, an open file)."""


class MissingResult(OrchestratorError):
    """There is no result: the run has not ended, or what it returned was not kept or has expired."""


class UnfinishedRun(MissingResult):
    """The run has not ended: there is no result yet."""


class ResultStorageError(OrchestratorError):
    """A storage of results cannot be used here (a package or a block is missing), or cannot be reached now.

    At the beginning of a run it is the end of that run, before its function is called; where a result is read, the
    result is kept, and can be read later.
    """


class MissingFlowError(OrchestratorError, LookupError):
    """There is no flow of that name where one was looked for."""


class UnspecifiedFlowError(OrchestratorError, LookupError):
    """There are several flows, and nothing says which one is meant."""


class ScriptError(OrchestratorError):
    """A script that was to be loaded raised an exception, which is the ``__cause__`` and ``user_exc``."""

    def __init__(self, message: str = "the script could not be loaded", user_exc: Exception | None = None) -> None:
        super().__init__(message)
        self.user_exc = user_exc


class MissingContextError(MissingResult, RuntimeError):
    """Something was asked for that exists only inside a run of a flow or task. A MissingResult, as it once was."""


class UpstreamTaskError(OrchestratorError):
    """A run that this one depends on did not complete, so this one was never started.

    ``upstream_run_id`` is the id of that run, or ``None`` when it is not known.
    """

    def __init__(self, message: str = "an upstream run did not complete", upstream_run_id: str | None = None) -> None:
        super().__init__(message)
        self.upstream_run_id = upstream_run_id


class _RunEnded(OrchestratorError):
    """Ends that carry the run's :class:`~orchestrator.states.State` (``None`` when it is not known)."""

    _default_message = "the run did not complete"

    def __init__(self, message: str | None = None, state: Any = None) -> None:
        super().__init__(message or self._default_message)
        self.state = state


class RunFailed(_RunEnded):
    """A run ended Failed without an exception, for example because it returned ``Failed(message=...)``."""

    _default_message = "the run failed"


class RunCancelled(_RunEnded):
    """A run was cancelled. Also what is raised inside a running task to make it stop."""

    _default_message = "the run was cancelled"


class RunCrashed(_RunEnded):
    """The infrastructure failed: the worker died, ran out of memory, or could not read the call."""

    _default_message = "the run crashed"


class RunPaused(_RunEnded):
    """A run is paused: its flow waits to be resumed, or returned such a state."""

    _default_message = "the run is paused"


class FlowPauseTimeout(OrchestratorError, TimeoutError):
    """Nobody has resumed a paused flow run in time."""


class NotPausedError(OrchestratorError):
    """A flow run cannot be resumed because it is not paused, or not be suspended because no worker runs it."""


class ObjectNotFound(OrchestratorError, LookupError):
    """What was asked for by name or id (a deployment, a flow run, a work pool, ...) is not there."""


class FlowRunWaitTimeout(OrchestratorError, TimeoutError):
    """A flow run that was waited for has not ended in time; it goes on."""


class RunLost(RunCrashed, ObjectNotFound):
    """The record of the run has vanished from the store: it expired, or the store came back empty."""

    _default_message = "the record of the run is gone"


class RemoteError(OrchestratorError):
    """A run raised an exception whose class is not loaded in this process.

    ``type_name`` is the qualified name of the class there, ``message`` its text, ``traceback`` the formatted remote
    traceback (may be empty).

    >>> str(RemoteError("shop.OutOfStock", "no more tea"))
    'shop.OutOfStock: no more tea'
    """

    def __init__(self, type_name: str, message: str = "", traceback: str = "") -> None:
        super().__init__(type_name, message, traceback)
        self.type_name = type_name
        self.message = message
        self.traceback = traceback

    def __str__(self) -> str:
        return f"{self.type_name}: {self.message}" if self.message else self.type_name


class RemoteTraceback(Exception):  # a note on an error rather than one, hence no "Error"
    """The ``__cause__`` of an exception that was raised in another process; ``str()`` is the traceback from there."""

    def __init__(self, text: str = "") -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f"\n{self.text}" if self.text else ""


class TaskTimeout(OrchestratorError, TimeoutError):
    """A task ran longer than its ``timeout_seconds``. Raised inside the task, so that it can clean up."""

    def __init__(self, message: str = "the task ran longer than its timeout") -> None:
        super().__init__(message)
