"""The acks of deliveries: of a verdict, of a value, and of a call that cannot be run. They write nothing."""

from __future__ import annotations

import logging
import time
from functools import lru_cache
from typing import Any, Final, NamedTuple

from brokers.messages import Ack, AckKind, Delivery, queue_of
from brokers.schema import ACTION_CALL
from orchestrator import serializers
from orchestrator.caching.result_cache import is_of_a_process
from orchestrator.client.fleet import Fleet
from orchestrator.client.no_worker import text_of_unknown
from orchestrator.errors import (
    BrokerError,
    OrchestratorError,
    ParameterBindError,
    ParameterTypeError,
    PayloadTooLarge,
    RunCrashed,
    UnknownTask,
)
from orchestrator.execution.attempt import Attempt
from orchestrator.execution.storing import state_of_large
from orchestrator.execution.verdicts import Retry, Verdict, WaitForRun, retry_text, state_of_error
from orchestrator.runnables.binding import Lack, Surplus
from orchestrator.serializers.exception_describing import traceback_of
from orchestrator.serializers.outcomes import LETTERS, enclosed, pack_outcome, result_context, stored_name
from orchestrator.slots.frames import read_meta
from orchestrator.states import COMPLETED, NAMES, Completed, Crashed, Failed, State

log = logging.getLogger("orchestrator.slots")
LOOK_AGAIN_MS: Final = 100  # as calls look that run where they were made
LONGEST_TRACEBACK: Final = 12_000  # bytes in the log of a run that is tried again; its end is kept
KEEP_LARGE: Final = (
    "have large results kept in files: set ORCHESTRATOR_DEFAULT_RESULT_STORAGE to a folder that all machines share or "
    "to a saved file system (slug/name), or give the task a result_storage"
)
LARGE_BODY: Final = 4096  # arguments above it are dropped when the run completed; failed ones keep theirs for a replay


class Refusal(NamedTuple):
    """A delivery that cannot be run at all: a dead letter, with the reason."""

    reason: OrchestratorError
    misfit: Surplus | Lack | None = None  # what the arguments are too many or too few for


def ack_for(delivery: Delivery, attempt: Attempt, verdict: Verdict, fleet: Fleet) -> Ack:
    """The ack of an attempt. Never raises: a result that cannot be kept fails the run."""
    if type(verdict) is WaitForRun:
        # One that a process runs by itself is not known to the store: then this one comes back and looks again.
        delay_ms = LOOK_AGAIN_MS if is_of_a_process(verdict.run_id) else 0
        return Ack(delivery.ticket, delivery.run_id, AckKind.BEHIND, b"", 0, delay_ms, verdict.run_id)
    ttl_ms = _ttl_ms(attempt, fleet)
    name = stored_name(attempt.run_id, attempt.given_name)
    if type(verdict) is Retry:
        outcome = _outcome(verdict.state, attempt, fleet)[1]
        _keep_traceback(attempt, verdict, fleet)
        delay_ms = int(verdict.delay_seconds * 1000)
        return Ack(delivery.ticket, delivery.run_id, AckKind.RETRY, outcome, ttl_ms, delay_ms, name=name)
    assert isinstance(verdict, State)
    if verdict.is_failed() and attempt.task.task_key == ACTION_CALL:  # it is given up, and somebody may replay it
        given_up = Crashed(message=verdict.message, data=verdict.data)
        ttl_ms = int(fleet.settings.dead_letter_ttl_seconds * 1000)
        return Ack(
            delivery.ticket, delivery.run_id, AckKind.DEAD, _outcome(given_up, attempt, fleet)[1], ttl_ms, name=name
        )
    how, outcome = _outcome(verdict, attempt, fleet)
    drop = 1 if how == AckKind.COMPLETED and len(delivery.body) > LARGE_BODY else 0
    return Ack(delivery.ticket, delivery.run_id, how, outcome, ttl_ms, 0, "", drop, name)


def ack_of_value(delivery: Delivery, attempt: Attempt, value: Any, fleet: Fleet) -> Ack:
    """The ack of an attempt at a plain task that has returned a plain value; never raises, as :func:`ack_for`."""
    try:
        body = serializers.pack_value(
            value, context=lambda: result_context(attempt.run_id), limits=fleet.limits, enclosed=True
        )
    except PayloadTooLarge:
        return ack_for(delivery, attempt, _kept_elsewhere(attempt, value, fleet), fleet)
    except Exception:
        return ack_for(delivery, attempt, Completed(data=value), fleet)
    outcome = pack_outcome(None, None, attempt.started_at, time.time(), attempt.run_count, body, fleet.worker)
    outcome = enclosed(attempt.run_id, AckKind.COMPLETED, outcome)
    drop = 1 if len(delivery.body) > LARGE_BODY else 0
    return Ack(delivery.ticket, delivery.run_id, AckKind.COMPLETED, outcome, _ttl_ms(attempt, fleet), 0, "", drop)


def _kept_elsewhere(attempt: Attempt, value: Any, fleet: Fleet) -> State[Any]:
    """How a run ends whose result its record does not take: in a file, if there is a storage for such."""
    if not fleet.settings.default_result_storage:
        return Completed(data=value)
    return state_of_large(attempt, value, fleet.limits.max_bytes)


def _keep_traceback(attempt: Attempt, again: Retry, fleet: Fleet) -> None:
    """In the run's log: the next attempt overwrites the outcome, and people want to see every one that failed."""
    text = retry_text(attempt, again)
    if isinstance(again.state.data, BaseException):
        text += f"\n{traceback_of(again.state.data, LONGEST_TRACEBACK)}"
    try:
        fleet.logs.add(attempt.run_id, "ERROR", text.encode("utf-8", "replace").decode(), time.time())
    except Exception:
        log.exception("the traceback of a failed attempt is not kept (run %s)", attempt.run_id)


def _ttl_ms(attempt: Attempt, fleet: Fleet) -> int:
    ttl = attempt.options.result_ttl
    if ttl is None:
        return fleet.broker.ttl_ms
    return max(1, int((ttl if isinstance(ttl, int | float) else ttl.total_seconds()) * 1000))


def _outcome(state: State[Any], attempt: Attempt, fleet: Fleet) -> tuple[str, bytes]:
    letter = LETTERS.get(state.type)
    if letter is None:  # the task returned a state that is no end, such as Running()
        state = Failed(message=f"the task returned {state!r}, which is not an end of a run", data=None)
        letter = AckKind.FAILED
    try:
        body = _body(state, attempt, fleet)
    except Exception as error:  # whatever the value did to the packer: it costs this call, not the worker
        if isinstance(error, PayloadTooLarge):
            error = PayloadTooLarge(f"{error}. Or {KEEP_LARGE}")
        log.error("the result of task %s cannot be kept: %s (run %s)", attempt.task.name, error, attempt.run_id)
        state, letter = state_of_error(error), AckKind.FAILED
        body = serializers.pack_exception(error, fleet.limits)
    name = None if state.name == NAMES[state.type] else state.name
    outcome = pack_outcome(name, state.message, attempt.started_at, time.time(), attempt.run_count, body, fleet.worker)
    return letter, enclosed(attempt.run_id, letter, outcome)


def _body(state: State[Any], attempt: Attempt, fleet: Fleet) -> bytes | None:
    data = state.data
    if state.type is COMPLETED:
        stored = attempt.storing.stored if attempt.storing is not None else None
        return serializers.pack_value(
            data if stored is None else stored,
            context=lambda: result_context(attempt.run_id),
            limits=fleet.limits,
            serializer="msgpack" if stored is not None else attempt.options.result_serializer or "msgpack",
            enclosed=True,
        )
    error = data if isinstance(data, BaseException) else state.error() if data is not None else None
    return serializers.pack_exception(error, fleet.limits) if error is not None else None


def _failed_at_the_door(delivery: Delivery, error: OrchestratorError, fleet: Fleet) -> Ack:
    """The arguments do not fit (an upstream returned another type): the caller's to mend, so Failed, no dead letter."""
    log.warning("run %s of task %s failed: %s", delivery.run_id, delivery.task, error)
    now, body = time.time(), serializers.pack_exception(error, fleet.limits)
    state = state_of_error(error)
    outcome = pack_outcome(None, state.message, now, now, delivery.retries + delivery.crashes, body, fleet.worker)
    outcome = enclosed(delivery.run_id, AckKind.FAILED, outcome)
    return Ack(delivery.ticket, delivery.run_id, AckKind.FAILED, outcome, fleet.broker.ttl_ms)


def refused(delivery: Delivery, refusal: Refusal, fleet: Fleet) -> Ack:
    """The ack of a delivery that cannot be run: Crashed, and kept among the dead letters."""
    reason = refusal.reason
    if refusal.misfit is not None and _is_for_another_version(delivery, refusal.misfit, fleet):
        return _back_for_another_version(delivery, refusal.misfit)
    if isinstance(reason, ParameterBindError | ParameterTypeError):
        return _failed_at_the_door(delivery, reason, fleet)
    unknown = isinstance(reason, UnknownTask) and _may_be_known(delivery)
    if not unknown:
        log.error("run %s of task %s is a dead letter: %s", delivery.run_id, delivery.task, reason)
    error = RunCrashed(f"{type(reason).__name__}: {reason}")
    state = Crashed(message=str(error), data=error)
    body = serializers.pack_exception(error, fleet.limits)
    now = time.time()
    outcome = pack_outcome(None, state.message, now, now, delivery.retries + delivery.crashes, body, fleet.worker)
    ttl_ms = int(fleet.settings.dead_letter_ttl_seconds * 1000)
    outcome = enclosed(delivery.run_id, AckKind.CRASHED, outcome)
    ack = Ack(delivery.ticket, delivery.run_id, AckKind.DEAD, outcome, ttl_ms)
    return _left_to_others(delivery, ack, fleet) if unknown else ack


def _may_be_known(delivery: Delivery) -> bool:
    """Whether other workers get such calls; the queue of a process of its own has no other."""
    return not (queue_of(delivery.ticket) or "~").startswith("~")


def _left_to_others(delivery: Delivery, dead: Ack, fleet: Fleet) -> Ack:
    """The ack of a delivery whose task is not known here: another worker may know it, now or later."""
    queue, key = queue_of(delivery.ticket) or "", delivery.task
    try:
        script = read_meta(delivery).script
        text = "" if fleet.other_worker_knows(queue, key, script) else text_of_unknown(key, queue)
    except BrokerError:
        text = ""  # asked again when it comes back
    _log_unknown(key, text)
    patience_ms = int(fleet.settings.unknown_task_wait_seconds * 1000)
    return dead._replace(how=AckKind.UNKNOWN, delay_ms=patience_ms, behind=text)


def _is_for_another_version(delivery: Delivery, misfit: Surplus | Lack, fleet: Fleet) -> bool:
    """Whether another worker has a version of the task with parameters for these arguments: a rolling update."""
    try:
        script = read_meta(delivery).script
        return _may_be_known(delivery) and fleet.other_worker_takes(
            queue_of(delivery.ticket) or "", delivery.task, script, misfit
        )
    except BrokerError:
        return True  # asked again when it comes back


def _back_for_another_version(delivery: Delivery, misfit: Surplus | Lack) -> Ack:
    """Queued again in a moment, later each time, as a call whose task is not known here but to another worker."""
    _log_other_version(
        delivery.task,
        *(("lack", "needs", "an older") if type(misfit) is Lack else ("have", "does not take", "a newer")),
    )
    return Ack(delivery.ticket, delivery.run_id, AckKind.UNKNOWN, b"", 0)


@lru_cache(maxsize=1000)
def _log_other_version(key: str, calls: str, here: str, other: str) -> None:
    """Once per task, as :func:`_log_unknown`."""
    text = "calls of the task %s %s arguments that the version here %s: a worker of %s one gets them"
    log.warning(text, key, calls, here, other)


@lru_cache(maxsize=1000)
def _log_unknown(key: str, text: str) -> None:
    """Once per task: a rolling update brings thousands of such calls."""
    log.warning(
        "the task %s is not known here: its calls are left to workers that know it%s", key, text and f"; {text}"
    )


def broken(delivery: Delivery, error: BaseException, fleet: Fleet) -> Ack:
    """The ack of a delivery on which this worker itself failed: a dead letter, so that it does not go round."""
    log.error("run %s of task %s: the worker failed", delivery.run_id, delivery.task, exc_info=error)
    return refused(delivery, Refusal(RunCrashed(f"the worker failed: {type(error).__name__}: {error}")), fleet)


def handed_back(delivery: Delivery) -> Ack:
    """The ack of a delivery that was not started: somebody else may have it."""
    return Ack(delivery.ticket, delivery.run_id, AckKind.HAND_BACK, b"", 0)
