"""From a delivery to an attempt, and from its verdict to a settlement. Reads upstream results, writes nothing."""

from __future__ import annotations

import logging
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgpack

from brokers.contract import Delivery, Ending, Settlement, Status
from orchestrator import registry, serializers
from orchestrator.engine import Again, Attempt, Behind, Verdict, state_of_error
from orchestrator.envelopes import OLDEST, VERSION, call_context, queue_of
from orchestrator.errors import (
    MissingResult,
    OrchestratorError,
    ParameterBindError,
    ParameterTypeError,
    PayloadTooLarge,
    RunCrashed,
    SerializationError,
    UnknownTask,
    UntrustedPayload,
    UpstreamTaskError,
)
from orchestrator.fleet import Fleet
from orchestrator.outcomes import LETTERS, enclosed, pack_outcome, read_outcome, result_context
from orchestrator.result_cache import StoreCache, is_of_a_process
from orchestrator.states import COMPLETED, NAMES, Crashed, Failed, State

if TYPE_CHECKING:
    from orchestrator.tasks import Task

log = logging.getLogger("orchestrator.slots")
LOOK_AGAIN_MS: Final = 100  # as calls look that run where they were made
LARGE_BODY: Final = 4096  # arguments above it are dropped when the run completed; failed ones keep theirs for a replay


class Refusal(NamedTuple):
    """A delivery that cannot be run at all: a dead letter, with the reason."""

    reason: OrchestratorError


class Unpacker:
    """Makes attempts of deliveries.

    Args:
        fleet: where upstream results are read and log lines are kept.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._cache = StoreCache(fleet)
        self._keep_log = fleet.logs.add
        self._keep_progress = fleet.logs.note_progress

    def attempt(self, delivery: Delivery) -> Attempt | Refusal:
        """The attempt, or why there can be none. May raise BrokerError while upstream results are read."""
        registry.learn_types()
        try:
            opened = serializers.open_call(
                delivery.body, context=lambda: call_context(delivery.task, delivery.run_id, delivery.meta)
            )
            meta: dict[str, Any] = _read_meta(delivery) if delivery.meta else {}
            _check_version(meta.get("v", 1), meta.get("n", 1))
            task = registry.find(delivery.task)
            if "o" in meta:
                task = _with_overrides(task, meta["o"])
            upstreams = self._upstream_values(delivery.upstreams) if delivery.upstreams else {}
            args, kwargs = serializers.read_call(opened, upstreams)
            if meta.get("c"):
                args.insert(0, task.owner)
            hidden = task.hidden_arguments
            if task.options.validate_parameters:
                valid, kwargs = task.signature.validated(args[hidden:], kwargs)
                args = [*args[:hidden], *valid]
            else:  # the sender's code may be of another version
                task.signature.check(args[hidden:] if hidden else args, kwargs)
        except (UnknownTask, SerializationError, MissingResult, UpstreamTaskError, TypeError) as error:
            return Refusal(error if isinstance(error, OrchestratorError) else SerializationError(str(error)))
        return Attempt(
            task,
            delivery.run_id,
            args,
            kwargs,
            retries=delivery.retries,
            crashes=delivery.crashes,
            flow_run_id=delivery.flow_run_id,
            parent_task_run_id=meta.get("P"),
            tags=meta.get("g", ()),
            flow_parameters_hash=meta.get("F"),
            cache=self._cache,
            keep_log=self._keep_log,
            keep_progress=self._keep_progress,
            ticket=delivery.ticket,
            deliveries=delivery.deliveries,
            trace=meta.get("t"),
        )

    def _upstream_values(self, packed: bytes) -> dict[str, Any]:
        run_ids = _read_upstreams(packed)
        values: dict[str, Any] = {}
        for record in self._fleet.broker.read(run_ids):
            if record.status == Status.UNKNOWN:
                raise MissingResult(
                    f"the result of upstream run {record.run_id} has expired; raise ORCHESTRATOR_RESULT_TTL_SECONDS"
                )
            state = read_outcome(record.run_id, record.status, record.outcome or b"\0")
            values[record.run_id] = state.data if state.type is COMPLETED else state.error()
        return values


def _read_meta(delivery: Delivery) -> dict[str, Any]:
    """What the sender said of the call. Its signature has been checked; without one it may be anything."""
    try:
        read = msgpack.unpackb(delivery.meta)
    except Exception as error:
        raise SerializationError(f"the call's meta cannot be read: {error}") from None
    if not isinstance(read, dict):
        raise SerializationError("the call's meta is not a table")
    for name, value in read.items():
        if not isinstance(value, _META_TYPES.get(name, object)):
            raise SerializationError(f"the call's meta has a {name!r} that is none")
    if "q" in read:
        _check_queue(read["q"], queue_of(delivery.ticket))
    return read


_META_TYPES: Final[dict[str, type | tuple[type, ...]]] = {
    "g": list,
    "P": str,
    "F": str,
    "o": bytes,
    "v": int,
    "n": int,
    "q": (str, list),
    "t": list,
}


def _check_version(written_by: int, readable_by: int) -> None:
    if readable_by > VERSION:
        raise SerializationError(
            f"the call was written in version {written_by} of the envelope, which workers below version {readable_by} "
            f"must not run; this one has version {VERSION}: upgrade it"
        )
    if written_by < OLDEST:
        raise SerializationError(
            f"the call was written in version {written_by} of the envelope; this worker reads versions from {OLDEST} on"
        )


def _check_queue(signed_for: Any, found_in: str | None) -> None:
    """A signed call is worth nothing in another queue."""
    queues = signed_for if isinstance(signed_for, list) else [signed_for]
    if found_in is not None and found_in not in queues:
        raise UntrustedPayload(f"the call was sent to the queue {queues[0]!r} and was moved to {found_in!r}")


def _read_upstreams(packed: bytes) -> list[str]:
    try:
        return [run_id.decode() if isinstance(run_id, bytes) else str(run_id) for run_id in msgpack.unpackb(packed)]
    except Exception as error:
        raise SerializationError(f"the list of the call's upstreams cannot be read: {error}") from None


@lru_cache(maxsize=256)
def _with_overrides(task: Task[..., Any], packed: bytes) -> Task[..., Any]:
    options = serializers.unpack_value(packed, context=lambda: ("options", task.task_key))
    try:
        return task.with_options(**options)
    except (TypeError, ValueError) as error:
        raise SerializationError(f"the call's options do not fit: {error}") from error


def settlement_for(delivery: Delivery, attempt: Attempt, verdict: Verdict, fleet: Fleet) -> Settlement:
    """How the store is told what came of an attempt. Never raises: a result that cannot be kept fails the run."""
    if type(verdict) is Behind:
        # One that a process runs by itself is not known to the store: then this one comes back and looks again.
        delay_ms = LOOK_AGAIN_MS if is_of_a_process(verdict.run_id) else 0
        return Settlement(delivery.ticket, delivery.run_id, Ending.BEHIND, b"", 0, delay_ms, verdict.run_id)
    ttl_ms = _ttl_ms(attempt, fleet)
    if type(verdict) is Again:
        outcome = _outcome(verdict.state, attempt, fleet)[1]
        delay_ms = int(verdict.delay_seconds * 1000)
        return Settlement(delivery.ticket, delivery.run_id, Ending.RETRY, outcome, ttl_ms, delay_ms)
    assert isinstance(verdict, State)
    how, outcome = _outcome(verdict, attempt, fleet)
    drop = 1 if how == Ending.COMPLETED and len(delivery.body) > LARGE_BODY else 0
    return Settlement(delivery.ticket, delivery.run_id, how, outcome, ttl_ms, 0, "", drop)


def _ttl_ms(attempt: Attempt, fleet: Fleet) -> int:
    ttl = attempt.options.result_ttl
    if ttl is None:
        return fleet.broker.ttl_ms
    return int((ttl if isinstance(ttl, int | float) else ttl.total_seconds()) * 1000)


def _outcome(state: State[Any], attempt: Attempt, fleet: Fleet) -> tuple[str, bytes]:
    letter = LETTERS.get(state.type)
    if letter is None:  # the task returned a state that is no end, such as Running()
        state = Failed(message=f"the task returned {state!r}, which is not an end of a run", data=None)
        letter = Ending.FAILED
    try:
        body = _body(state, attempt, fleet)
    except (SerializationError, PayloadTooLarge) as error:
        log.error("the result of task %s cannot be kept: %s (run %s)", attempt.task.name, error, attempt.run_id)
        state, letter = state_of_error(error), Ending.FAILED
        body = serializers.pack_exception(error, fleet.limits)
    name = None if state.name == NAMES[state.type] else state.name
    outcome = pack_outcome(name, state.message, attempt.started_at, time.time(), attempt.run_count, body, fleet.worker)
    return letter, enclosed(attempt.run_id, letter, outcome)


def _body(state: State[Any], attempt: Attempt, fleet: Fleet) -> bytes | None:
    data = state.data
    if state.type is COMPLETED:
        return serializers.pack_value(
            data,
            context=lambda: result_context(attempt.run_id),
            limits=fleet.limits,
            serializer=attempt.options.result_serializer or "msgpack",
            enclosed=True,
        )
    error = data if isinstance(data, BaseException) else state.error() if data is not None else None
    return serializers.pack_exception(error, fleet.limits) if error is not None else None


def _failed_at_the_door(delivery: Delivery, error: OrchestratorError, fleet: Fleet) -> Settlement:
    """The arguments do not fit (an upstream returned another type): the caller's to mend, so Failed, no dead letter."""
    log.warning("run %s of task %s failed: %s", delivery.run_id, delivery.task, error)
    now, body = time.time(), serializers.pack_exception(error, fleet.limits)
    state = state_of_error(error)
    outcome = pack_outcome(None, state.message, now, now, delivery.retries + delivery.crashes, body, fleet.worker)
    outcome = enclosed(delivery.run_id, Ending.FAILED, outcome)
    return Settlement(delivery.ticket, delivery.run_id, Ending.FAILED, outcome, fleet.broker.ttl_ms)


def refused(delivery: Delivery, refusal: Refusal, fleet: Fleet) -> Settlement:
    """The settlement of a delivery that cannot be run: Crashed, and kept among the dead letters."""
    reason = refusal.reason
    if isinstance(reason, ParameterBindError | ParameterTypeError):
        return _failed_at_the_door(delivery, reason, fleet)
    log.error("run %s of task %s is a dead letter: %s", delivery.run_id, delivery.task, reason)
    error = RunCrashed(f"{type(reason).__name__}: {reason}")
    state = Crashed(message=str(error), data=error)
    body = serializers.pack_exception(error, fleet.limits)
    now = time.time()
    outcome = pack_outcome(None, state.message, now, now, delivery.retries + delivery.crashes, body, fleet.worker)
    ttl_ms = int(fleet.settings.dead_letter_ttl_seconds * 1000)
    outcome = enclosed(delivery.run_id, Ending.CRASHED, outcome)
    return Settlement(delivery.ticket, delivery.run_id, Ending.DEAD, outcome, ttl_ms)


def broken(delivery: Delivery, error: Exception, fleet: Fleet) -> Settlement:
    """The settlement of a delivery on which this worker itself failed: a dead letter, so that it does not go round."""
    log.error("run %s of task %s: the worker failed", delivery.run_id, delivery.task, exc_info=error)
    return refused(delivery, Refusal(RunCrashed(f"the worker failed: {type(error).__name__}: {error}")), fleet)


def handed_back(delivery: Delivery) -> Settlement:
    """The settlement of a delivery that was not started: somebody else may have it."""
    return Settlement(delivery.ticket, delivery.run_id, Ending.HAND_BACK, b"", 0)
