"""What a sender wrote about calls beside their arguments, checked: the meta, the task and its options."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from brokers.messages import Delivery, queue_of
from brokers.schema import NO_META, OLDEST, VERSION, CallMeta, stays_in_store
from orchestrator import serializers
from orchestrator.errors import SerializationError, UntrustedPayload
from orchestrator.execution.plain import is_plain
from orchestrator.runnables import registry

if TYPE_CHECKING:
    from orchestrator.runnables.protocols import TaskLike


def read_meta(delivery: Delivery) -> CallMeta:
    """What the sender wrote about the call. Its signature has been checked; without one it may be anything.

    Raises:
        SerializationError: it cannot be read; UntrustedPayload: it was signed for another queue.
    """
    meta = _unpacked(delivery)
    if not _may_be_in(meta.signed_for, delivery.ticket):
        sent_to = _queues(meta.signed_for or [])
        raise UntrustedPayload(
            f"the call was sent to the queue {sent_to[0]!r} and was moved to {queue_of(delivery.ticket)!r}"
        )
    return meta


def _unpacked(delivery: Delivery) -> CallMeta:
    try:
        return CallMeta.unpack(delivery.meta)
    except ValueError as error:
        raise SerializationError(str(error)) from None


def check_version(written_by: int, readable_by: int) -> None:
    if readable_by > VERSION:
        raise SerializationError(
            f"the call was written in version {written_by} of the envelope, which workers below version {readable_by} "
            f"must not run; this one has version {VERSION}: upgrade it"
        )
    if written_by < OLDEST:
        raise SerializationError(
            f"the call was written in version {written_by} of the envelope; this worker reads versions from {OLDEST} on"
        )


def _queues(signed_for: str | list[str]) -> list[str]:
    return signed_for if isinstance(signed_for, list) else [signed_for]


def _may_be_in(signed_for: str | list[str] | None, ticket: str) -> bool:
    """Whether a call may have come by this ticket: a signed one is worth nothing in another queue."""
    if signed_for is None:
        return True
    found_in = queue_of(ticket)
    return found_in is None or found_in in _queues(signed_for)


def check_place(delivery: Delivery) -> None:
    """A run of a deployment loads code, so it is taken from queues that are read for that: not by workers of tasks."""
    queue = queue_of(delivery.ticket)
    if queue is not None and not stays_in_store(queue):
        raise UntrustedPayload(
            f"a run of a deployment was sent to the queue {queue!r}: such runs are taken only from queues of serving "
            "processes and of work pools; it was written by another program, or moved"
        )


@lru_cache(maxsize=256)
def with_overrides(task: TaskLike, packed: bytes) -> TaskLike:
    options = serializers.unpack_value(packed, context=lambda: ("options", task.task_key))
    try:
        return task.with_options(**options)
    except (TypeError, ValueError) as error:
        raise SerializationError(f"the call's options do not fit: {error}") from error


class Frame(NamedTuple):
    """What is the same for all calls of a plain task that were sent with the same meta."""

    task: TaskLike
    options: Any  # of the task, when it was looked at
    fits: Callable[[list[Any], dict[str, Any]], bool]
    parent_run_id: str | None
    tags: tuple[str, ...]
    flow_parameters_hash: str | None
    signed_for: str | list[str] | None

    def may_come_by(self, ticket: str) -> bool:
        """Whether such calls may be in the queue that this ticket names."""
        return _may_be_in(self.signed_for, ticket)


def frame_of(delivery: Delivery) -> Frame | None:
    """The frame of a call, if its task is plain and its sender asks for nothing that needs a look at each call.

    What a signature covers was checked for this call, and the same bytes are then a frame of others whose own are good.
    """
    registry.learn_types()
    try:
        meta = _unpacked(delivery) if delivery.meta else NO_META
        check_version(meta.written_by, meta.readable_by)
        task = registry.find(delivery.task, meta.script)
        if meta.options is not None:
            task = with_overrides(task, meta.options)
        plain = is_plain(task)
    except Exception:  # also of a user's object among the options, which is compared
        return None
    asks = meta.class_left_out or meta.trace is not None or meta.log_prints is not None
    if asks or registry.is_built_in(delivery.task) or not plain:
        return None
    return Frame(
        task,
        task.options,
        task.signature.fits,
        meta.parent_run_id,
        tuple(meta.tags),
        meta.flow_parameters_hash,
        meta.signed_for,
    )
