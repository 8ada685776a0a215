"""The call of an action: a task of ours, which processes that run chores take from a queue of its own.

What fails is tried again, later and later, and is a dead letter at the end: shown and replayed like any other.
"""

from __future__ import annotations

from typing import Any, Final

from brokers.facets.reactions import ACTION_QUEUE
from brokers.messages import queue_of
from brokers.schema import ACTION_CALL
from orchestrator.client.fleet import current_fleet
from orchestrator.errors import NotificationError, UntrustedPayload
from orchestrator.runnables import registry
from orchestrator.runs.current import current_attempt

RETRIES: Final = 5
LONGEST_DELAY_SECONDS: Final = 600.0


def perform(facts: dict[str, Any]) -> str:
    """Do an action; returns what was done.

    Raises:
        UntrustedPayload: the call was not in the queue of actions.
        ActionImpossible: it cannot be done, now or later. OrchestratorError, OSError: it is tried again.
    """
    from orchestrator.automations.performing import do_action

    attempt = current_attempt.get()
    queue = queue_of(attempt.ticket) if attempt is not None else None
    if attempt is None or queue != ACTION_QUEUE:
        raise UntrustedPayload(f"a call of an action was found in {queue!r}: they are taken from {ACTION_QUEUE!r} only")
    return do_action(current_fleet(), attempt.run_id, facts)


def _may_be_retried(task: Any, run: Any, state: Any) -> bool:
    from orchestrator.automations.performing import ActionImpossible

    if isinstance(state.data, NotificationError):
        return state.data.temporary  # a refusal for good stays one, and some recipients may have the message already
    return not isinstance(state.data, ActionImpossible | UntrustedPayload)


def retry_delays(first_seconds: float) -> tuple[float, ...]:
    """Seconds before each further try of an action.

    >>> retry_delays(10)
    (10.0, 30.0, 90.0, 270.0, 600.0)
    """
    return tuple(min(LONGEST_DELAY_SECONDS, first_seconds * 3.0**number) for number in range(RETRIES))


def _make() -> Any:
    from orchestrator.runnables.options import TaskOptions
    from orchestrator.tasks import Task

    delays = retry_delays(current_fleet().settings.action_retry_seconds)
    options = TaskOptions(
        name="action", retries=RETRIES, retry_delay_seconds=delays, retry_condition_fn=_may_be_retried
    )
    return Task(perform, options, task_key=ACTION_CALL)


registry.add_built_in(ACTION_CALL, _make)
