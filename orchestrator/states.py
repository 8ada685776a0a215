"""States of runs, and the moves between them.

The nine types, and the moves that a run may make (the same table as :data:`ALLOWED_MOVES`)::

    SCHEDULED  -> SCHEDULED PENDING RUNNING PAUSED CANCELLING COMPLETED FAILED CANCELLED CRASHED
    PENDING    -> SCHEDULED PENDING RUNNING PAUSED CANCELLING COMPLETED FAILED CANCELLED CRASHED
    RUNNING    -> SCHEDULED PENDING RUNNING PAUSED CANCELLING COMPLETED FAILED CANCELLED CRASHED
    PAUSED     -> SCHEDULED PENDING RUNNING PAUSED CANCELLING FAILED CANCELLED CRASHED
    CANCELLING -> CANCELLING COMPLETED FAILED CANCELLED CRASHED
    COMPLETED  -> (end)
    FAILED     -> (end)
    CANCELLED  -> (end)
    CRASHED    -> (end)

Why the less obvious ones: RUNNING -> SCHEDULED is a retry that waits, RUNNING -> PENDING a call handed back by its
worker, PENDING -> COMPLETED a cache hit, PENDING -> FAILED a deadline that passed in the queue, and CANCELLING ->
COMPLETED a run that was done before the request to stop reached it. Names refine types: ``AwaitingRetry`` is SCHEDULED,
``NotReady`` PENDING, ``Retrying`` RUNNING, ``Cached`` COMPLETED, ``TimedOut`` FAILED, ``Expired`` CANCELLED.

Types, names and predicates follow Prefect 3 (``prefect.states`` and ``prefect.client.schemas.objects``);
``Expired`` is ours.
"""

from __future__ import annotations

from orchestrator.runs.states.aggregation import aggregate_states, return_value_to_state, settle_states
from orchestrator.runs.states.details import StateDetails
from orchestrator.runs.states.groups import StateGroup, is_state, is_state_iterable
from orchestrator.runs.states.moves import ALLOWED_MOVES, may_move
from orchestrator.runs.states.named import (
    AwaitingConcurrencySlot,
    AwaitingRetry,
    Cached,
    Cancelled,
    Cancelling,
    Completed,
    Crashed,
    Expired,
    Failed,
    InfrastructurePending,
    Late,
    NotReady,
    Paused,
    Pending,
    Retrying,
    Running,
    Scheduled,
    Submitting,
    Suspended,
    TimedOut,
)
from orchestrator.runs.states.raising import get_state_exception, raise_state_exception
from orchestrator.runs.states.state import State
from orchestrator.runs.states.types import (
    CANCELLED,
    CANCELLING,
    COMPLETED,
    CRASHED,
    FAILED,
    NAMES,
    PAUSED,
    PENDING,
    RUNNING,
    SCHEDULED,
    TERMINAL,
    TERMINAL_STATES,
    StateType,
)

__all__ = [
    "ALLOWED_MOVES",
    "CANCELLED",
    "CANCELLING",
    "COMPLETED",
    "CRASHED",
    "FAILED",
    "NAMES",
    "PAUSED",
    "PENDING",
    "RUNNING",
    "SCHEDULED",
    "TERMINAL",
    "TERMINAL_STATES",
    "AwaitingConcurrencySlot",
    "AwaitingRetry",
    "Cached",
    "Cancelled",
    "Cancelling",
    "Completed",
    "Crashed",
    "Expired",
    "Failed",
    "InfrastructurePending",
    "Late",
    "NotReady",
    "Paused",
    "Pending",
    "Retrying",
    "Running",
    "Scheduled",
    "State",
    "StateDetails",
    "StateGroup",
    "StateType",
    "Submitting",
    "Suspended",
    "TimedOut",
    "aggregate_states",
    "get_state_exception",
    "is_state",
    "is_state_iterable",
    "may_move",
    "raise_state_exception",
    "return_value_to_state",
    "settle_states",
]

# Pickles, reprs and documentation name the place that users import from; pickles of 0.1 do, too.
for _public in (State, StateDetails, StateGroup, StateType):
    _public.__module__ = __name__
