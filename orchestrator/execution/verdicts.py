"""What follows an attempt: its end, another attempt, or waiting for another run. Pure decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.errors import TaskTimeout
from orchestrator.execution.interrupt import CancelRun
from orchestrator.runnables.retries import RetryPolicy
from orchestrator.states import Cancelled, Failed, State, TimedOut

if TYPE_CHECKING:
    from orchestrator.execution.attempt import Attempt
    from orchestrator.runnables.options import TaskOptions


class Retry(NamedTuple):
    """The attempt failed, and another one follows after a delay (seconds)."""

    delay_seconds: float
    state: State[Any]


class WaitForRun(NamedTuple):
    """The same result is being computed by another run: wait for that one, then look again."""

    run_id: str


Verdict = State[Any] | Retry | WaitForRun


def state_of_error(error: BaseException, timeout_seconds: float | None = None) -> State[Any]:
    """The state of an attempt that ended with an exception."""
    if isinstance(error, CancelRun):
        return Cancelled(message=str(error), data=error.as_error())
    if isinstance(error, TaskTimeout):
        return TimedOut(message=str(error), data=error)
    return Failed(message=f"{type(error).__name__}: {_text_of(error)}", data=error)


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "(it has no text: its __str__ failed)"


def decide(policy: RetryPolicy, state: State[Any], retries_so_far: int, allowed: bool = True) -> Verdict:
    """What follows an attempt that ended in ``state``: that state, or another attempt.

    >>> decide(RetryPolicy(1, (5,)), Failed(message="x"), 0).delay_seconds
    5.0
    >>> decide(RetryPolicy(1, (5,)), Failed(message="x"), 1)
    Failed('x')
    """
    if not state.is_failed() or not policy.allows(retries_so_far) or not allowed:
        return state
    return Retry(policy.delay_before(retries_so_far), state)


def policy_of(options: TaskOptions) -> RetryPolicy:
    """The retry policy that applies: the task's; what the task does not say is as the settings say."""
    made, retries, delay = options.retry_policy, options.retries, options.retry_delay_seconds
    if made is not None and retries is not None and (delay is not None or retries == 0):
        return made
    from orchestrator.settings import current

    settings = current()
    return RetryPolicy.from_options(
        settings.task_default_retries if retries is None else retries,
        settings.task_default_retry_delay_seconds if delay is None else delay,
        options.retry_jitter_factor,
    )


def retry_text(attempt: Attempt, again: Retry) -> str:
    """What failed, which attempt it was of how many, and when the next one follows."""
    attempts = policy_of(attempt.options).retries + 1
    count = f"attempt {attempt.retries + 1} of {attempts} failed"
    return f"{count}, again in {again.delay_seconds:g} s: {again.state.message}"
