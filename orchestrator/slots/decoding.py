"""From a delivery to an attempt. Reads upstream results, writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import msgpack

from brokers.messages import Ack, Delivery, Status
from brokers.schema import DEPLOYMENT_CALL, NO_META
from orchestrator import serializers
from orchestrator.caching.result_cache import StoreCache
from orchestrator.client.fleet import Fleet
from orchestrator.errors import (
    AmbiguousTask,
    MissingResult,
    OrchestratorError,
    ParameterBindError,
    ResultStorageError,
    SerializationError,
    UnknownTask,
    UpstreamTaskError,
)
from orchestrator.execution.attempt import Attempt, RunServices
from orchestrator.execution.storing import outer_by_setting, storing_for
from orchestrator.execution.verdicts import Verdict
from orchestrator.runnables import registry
from orchestrator.serializers.outcomes import read_outcome
from orchestrator.slots.acks import Refusal, ack_for, ack_of_value, broken, refused
from orchestrator.slots.frames import Frame, check_place, check_version, frame_of, read_meta, with_overrides
from orchestrator.states import COMPLETED
from orchestrator.submission.signed_calls import call_context

_REFUSED: Final = (
    UnknownTask,
    AmbiguousTask,
    SerializationError,
    MissingResult,
    ResultStorageError,
    UpstreamTaskError,
    TypeError,
)
MOST_FRAMES: Final = 1000  # that are remembered
_UNKNOWN: Final = object()
NO_VALUES: Final[Mapping[str, Any]] = {}


class AttemptBuilder:
    """Makes attempts of deliveries.

    Args:
        fleet: where upstream results are read and log lines are kept.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._services = RunServices(StoreCache(fleet), fleet.logs.add, fleet.logs.note_progress)
        self._outer = outer_by_setting()
        self._above = fleet.limits.max_bytes if fleet.settings.default_result_storage else None
        self.ack: Callable[[Delivery, Attempt, Verdict], Ack] = partial(ack_for, fleet=fleet)
        self.ack_of_value: Callable[[Delivery, Attempt, Any], Ack] = partial(ack_of_value, fleet=fleet)
        self._frames: dict[tuple[str, bytes | None], Frame | None] = {}
        self._registered = registry.generation

    def attempt(self, delivery: Delivery) -> Attempt | Refusal:
        """The attempt, or why there can be none. May raise BrokerError while upstream results are read."""
        registry.learn_types()
        try:
            opened = _opened(delivery)
            meta = read_meta(delivery) if delivery.meta else NO_META
            check_version(meta.written_by, meta.readable_by)
            if delivery.task == DEPLOYMENT_CALL:
                check_place(delivery)
            task = registry.find(delivery.task, meta.script)
            if meta.options is not None:
                task = with_overrides(task, meta.options)
            upstreams = self._upstream_values(delivery) if delivery.upstreams else {}
            args, kwargs = serializers.read_call(opened, upstreams)
            if meta.class_left_out:
                args.insert(0, task.owner)
            hidden = task.hidden_arguments
            if task.options.validate_parameters:
                valid, kwargs = task.signature.validated(args[hidden:], kwargs)
                args = [*args[:hidden], *valid]
            else:  # the sender's code may be of another version
                task.signature.check(args[hidden:] if hidden else args, kwargs)
        except ParameterBindError as error:
            return Refusal(error, task.signature.misfit(args[hidden:], kwargs))
        except _REFUSED as error:
            return Refusal(error if isinstance(error, OrchestratorError) else SerializationError(str(error)))
        return Attempt(
            task,
            delivery.run_id,
            args,
            kwargs,
            retries=delivery.retries,
            crashes=delivery.crashes,
            flow_run_id=delivery.flow_run_id,
            parent_task_run_id=meta.parent_run_id,
            tags=meta.tags,
            flow_parameters_hash=meta.flow_parameters_hash,
            services=self._services,
            ticket=delivery.ticket,
            deliveries=delivery.deliveries,
            trace=meta.trace,
            log_prints=meta.log_prints,
            storing=storing_for(task, task.options, self._outer, self._above),
        )

    def plain_attempt(self, delivery: Delivery) -> Attempt | None:
        """The attempt at a call of a plain task, with what is the same for all calls of a frame looked up once.

        ``None``: it is none, or there is something wrong with it, and :meth:`attempt` says what.
        """
        frame = self._frame(delivery)
        # There may be something to undo for one that another worker has had, and what is too large goes to a file.
        missing = delivery.upstreams and delivery.results is None
        asks = missing or delivery.deliveries > 1 or self._outer is not None or self._above is not None
        if frame is None or asks or not frame.may_come_by(delivery.ticket):
            return None
        arguments = _arguments_of(delivery)
        if arguments is None:
            return None
        args, kwargs = arguments
        if not frame.fits(args, kwargs):
            return None
        return Attempt(
            frame.task,
            delivery.run_id,
            args,
            kwargs,
            retries=delivery.retries,
            crashes=delivery.crashes,
            flow_run_id=delivery.flow_run_id,
            parent_task_run_id=frame.parent_run_id,
            tags=frame.tags,
            flow_parameters_hash=frame.flow_parameters_hash,
            services=self._services,
            ticket=delivery.ticket,
            deliveries=delivery.deliveries,
        )

    def _frame(self, delivery: Delivery) -> Frame | None:
        generation = registry.generation
        if self._registered != generation or len(self._frames) > MOST_FRAMES:
            self._frames.clear()
            self._registered = generation
        key = delivery.task, delivery.meta
        known = self._frames.get(key, _UNKNOWN)
        if known is None:
            return None
        if isinstance(known, Frame) and known.task.options is known.options:  # no hook was added to it since
            return known
        if not _may_be_read(delivery):  # before its meta is decoded, and nothing of it is remembered
            return None
        frame = frame_of(delivery)
        if registry.generation == generation:  # else it may be of a task that was defined again meanwhile
            self._frames[key] = frame
        return frame

    def refused(self, delivery: Delivery, refusal: Refusal) -> Ack:
        """See :func:`refused`."""
        return refused(delivery, refusal, self._fleet)

    def broken(self, delivery: Delivery, error: BaseException) -> Ack:
        """See :func:`broken`."""
        return broken(delivery, error, self._fleet)

    def _upstream_values(self, delivery: Delivery) -> Mapping[str, Any]:
        if delivery.results is not None:
            return _values_at_hand(delivery)
        run_ids = _read_upstreams(delivery.upstreams or b"")
        results = self._fleet.broker.inboxes.ends(run_ids)
        for run_id in run_ids:
            if results[run_id][0] == Status.UNKNOWN:
                raise MissingResult(
                    f"the result of upstream run {run_id} has expired; raise ORCHESTRATOR_RESULT_TTL_SECONDS"
                )
        return {run_id: _value_of(run_id, *results[run_id]) for run_id in run_ids}


def _opened(delivery: Delivery) -> serializers.OpenedCall:
    """The body, after its signature was checked. Raises SerializationError."""
    return serializers.open_call(
        delivery.body, context=lambda: call_context(delivery.task, delivery.run_id, delivery.meta)
    )


def _may_be_read(delivery: Delivery) -> bool:
    """Whether its signature is good, if it has or needs one."""
    if serializers.is_plain_call(delivery.body):
        return True
    try:
        _opened(delivery)
    except SerializationError:
        return False
    return True


def _arguments_of(delivery: Delivery) -> tuple[list[Any], dict[str, Any]] | None:
    """The arguments of a call whose upstream results came along; ``None``: they cannot be read."""
    try:
        if serializers.is_plain_call(delivery.body):
            values = _values_at_hand(delivery) if delivery.upstreams else NO_VALUES
            return serializers.read_plain_call(delivery.body, values)
        opened = _opened(delivery)
        return serializers.read_call(opened, _values_at_hand(delivery) if delivery.upstreams else NO_VALUES)
    except SerializationError:
        return None


def _values_at_hand(delivery: Delivery) -> Mapping[str, Any]:
    results = delivery.results or {}
    return {run_id: _value_of(run_id, *results[run_id]) for run_id in _read_upstreams(delivery.upstreams or b"")}


def _value_of(run_id: str, status: bytes, outcome: bytes) -> Any:
    """What stands for a run among arguments: its result, or the error with which it ended."""
    state = read_outcome(run_id, status, outcome)
    return state.outcome() if state.type is COMPLETED else state.error()


def _read_upstreams(packed: bytes) -> list[str]:
    try:
        return [run_id.decode() if isinstance(run_id, bytes) else str(run_id) for run_id in msgpack.unpackb(packed)]
    except Exception as error:
        raise SerializationError(f"the list of the call's upstreams cannot be read: {error}") from None
