"""The errors under the names that Prefect gives them (``prefect.exceptions``); see :mod:`orchestrator.errors`.

A name that stands for two of ours is the class that both have in common.
"""

from orchestrator.blocks.errors import BlockNotSavedError
from orchestrator.client.api_errors import ApiError
from orchestrator.errors import (
    BrokerConflict,
    CacheKeyError,
    ConfigurationError,
    FlowPauseTimeout,
    FlowRunWaitTimeout,
    MappingLengthMismatch,
    MappingMissingIterable,
    MissingContextError,
    MissingFlowError,
    MissingResult,
    NotPausedError,
    ObjectNotFound,
    OrchestratorError,
    ParameterBindError,
    ParameterTypeError,
    PayloadTooLarge,
    ReservedArgumentError,
    RunCancelled,
    RunCrashed,
    RunFailed,
    RunPaused,
    ScriptError,
    SerializationError,
    UnfinishedRun,
    UnspecifiedFlowError,
    UpstreamTaskError,
)
from orchestrator.pausing.signal import SuspendFlowRun

PrefectException = OrchestratorError
PrefectHTTPStatusError = ApiError
FailedRun = RunFailed
CancelledRun = RunCancelled
CrashedRun = RunCrashed
PausedRun = RunPaused
Pause = SuspendFlowRun
ObjectAlreadyExists = BrokerConflict
SignatureMismatchError = ParameterBindError
InvalidNameError = ConfigurationError
HashError = CacheKeyError
EventTooLarge = PayloadTooLarge

__all__ = [
    "BlockNotSavedError",
    "CancelledRun",
    "ConfigurationError",
    "CrashedRun",
    "EventTooLarge",
    "FailedRun",
    "FlowPauseTimeout",
    "FlowRunWaitTimeout",
    "HashError",
    "InvalidNameError",
    "MappingLengthMismatch",
    "MappingMissingIterable",
    "MissingContextError",
    "MissingFlowError",
    "MissingResult",
    "NotPausedError",
    "ObjectAlreadyExists",
    "ObjectNotFound",
    "ParameterBindError",
    "ParameterTypeError",
    "Pause",
    "PausedRun",
    "PrefectException",
    "PrefectHTTPStatusError",
    "ReservedArgumentError",
    "ScriptError",
    "SerializationError",
    "SignatureMismatchError",
    "UnfinishedRun",
    "UnspecifiedFlowError",
    "UpstreamTaskError",
]
