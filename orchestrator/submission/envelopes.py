"""From a call on a task to an envelope: what is checked and packed once, before anything is sent.

A frame holds what is the same for all calls of one ``submit`` or ``map`` (route, flow, options), so that a map of
100,000 costs one frame and 100,000 packed bodies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from brokers.block_ids import LARGEST_BODY, fit_for_block
from brokers.framed_calls import with_upstreams
from brokers.messages import ASYNC_LANE, SYNC_LANE, Envelope, Route
from brokers.schema import READABLE_BY, VERSION, CallMeta, Extra, is_flow_call
from orchestrator import serializers
from orchestrator.client.fleet import Fleet
from orchestrator.observability.run_logs import prints_are_logged
from orchestrator.result_storage.choice import around, to_send
from orchestrator.runnables import registry
from orchestrator.runnables.options import ON_SENDING, limit_of, rate_of
from orchestrator.runs.current import current_attempt, current_flow_run, current_tags
from orchestrator.runs.drawing import current_drawing, refuse_to_draw
from orchestrator.runs.run_ids import short_name
from orchestrator.submission import placeholders
from orchestrator.submission.call_options import NO_OPTIONS, CallOptions
from orchestrator.submission.signed_calls import call_context
from orchestrator.submission.upstreams import upstreams_of

if TYPE_CHECKING:
    from orchestrator.runnables.protocols import TaskLike

placeholders.register()  # whatever builds envelopes packs arguments


class EnvelopeBuilder:
    """What the calls of one submit or map have in common.

    Args:
        fleet: where they go.
        task: the task.
        wait_for: runs that must have completed before.
        options: options of the calls.
        watched: whether the ends are sent to this process's inbox.
        trace: of the span that sends them, see ``orchestrator.observability.tracing.sending``.
    """

    __slots__ = (
        "_class_left_out",
        "_flow_run_id",
        "_for_all",
        "_meta",
        "_prints",
        "_reply_to",
        "_route",
        "_task_key",
        "extras",
        "fleet",
        "queue",
    )

    def __init__(
        self,
        fleet: Fleet,
        task: TaskLike,
        wait_for: Iterable[Any] | None,
        options: CallOptions,
        watched: bool,
        trace: list[Any] | None = None,
    ) -> None:
        if current_drawing.get() is not None:
            refuse_to_draw(f"a call of {task.name} that goes to a worker")
        registry.check(task)
        registry.learn_types()
        self.fleet, self._task_key = fleet, task.task_key
        # A class method's own class need not travel: the worker's task knows it.
        self._class_left_out = task.binds_class and task.bound[:1] == (task.owner,)
        self.queue = queue_for(fleet, task, options)
        self._prints = prints_are_logged()
        self._flow_run_id, meta = _surroundings(task, self._class_left_out)
        if fleet.protection.signs:
            signed_for = [self.queue, f"~{fleet.process}"] if fleet.keeps_calls else self.queue
            meta = meta._replace(signed_for=signed_for)
        self._meta = meta._replace(trace=trace, written_by=VERSION, readable_by=READABLE_BY).pack()
        self._reply_to = fleet.open_inbox() if watched else None
        lane = ASYNC_LANE if task.isasync else SYNC_LANE
        self._route = str(Route(self.queue, options.priority or task.options.priority, lane))
        self.extras = _extras(fleet, task, wait_for, options)
        self._for_all: Envelope | None = None
        fleet.queues_used.add(self.queue)
        fleet.calls_made.add((self.queue, task.task_key, task.script))

    @property
    def may_be_in_block(self) -> bool:
        """Whether nothing is against keeping its calls together."""
        return fit_for_block(self.extras) and self.fleet.broker.runs.keeps_blocks

    @property
    def waits(self) -> bool:
        """Whether its calls wait for others."""
        return self.extras is not None and Extra.UPSTREAMS in self.extras

    def is_of(self, flow_run_id: str) -> bool:
        """Whether it is also the frame of calls that this flow run sends at this line."""
        return self._flow_run_id == flow_run_id and self._prints == prints_are_logged()

    def plan(self) -> list[Any]:
        """What another process needs to send the calls of this frame: see :meth:`of_plan`."""
        return [self._task_key, self._flow_run_id, self._meta, self._route, self.extras]

    @classmethod
    def of_plan(cls, fleet: Fleet, plan: Sequence[Any]) -> EnvelopeBuilder:
        """The frame that another process planned. Its calls hold the class of a class method if they need it."""
        frame = cls.__new__(cls)
        frame.fleet, frame._class_left_out, frame._reply_to = fleet, False, None
        frame._task_key, frame._flow_run_id, frame._meta, frame._route, frame.extras = plan
        frame.queue = frame._route[:-3]
        frame._for_all = None
        return frame

    def envelope(self, run_id: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Envelope:
        """The envelope of one call.

        Raises:
            SerializationError, PayloadTooLarge: the arguments cannot be sent.
        """
        body, upstreams = self.packed(run_id, args, kwargs)
        extras = with_upstreams(self.extras, upstreams) if upstreams else self.extras
        return Envelope(
            run_id, self._task_key, self._route, body, self._flow_run_id, self._reply_to, self._meta, extras
        )

    def post(self, args: Sequence[Any], kwargs: dict[str, Any]) -> asyncio.Future[str] | None:
        """Send a call together with those of other coroutines, if it has nothing of its own but a body.

        Returns:
            What to await, see ``CallSender.groups``; ``None``: it wants an envelope.

        Raises:
            SerializationError, PayloadTooLarge: the arguments cannot be sent.
        """
        groups = self.fleet.calls.groups
        if groups is None or self._for_all is None:
            return None
        if self._class_left_out:
            args = args[1:]
        try:
            body, upstreams = serializers.pack_call(args, kwargs, context=_is_bound_to_an_id, limits=self.fleet.limits)
        except _BoundToAnId:
            return None
        return groups.post(self._for_all, body) if upstreams is None and len(body) <= LARGEST_BODY else None

    def serve_many(self) -> None:
        """It is kept: calls of the same moment have it in common, unless each is signed for its own id."""
        protection = self.fleet.protection
        if fit_for_block(self.extras) and not (protection.signs or protection.ciphers or is_flow_call(self._task_key)):
            self._for_all = self.around("", b"", self.extras)

    def around(self, run_id: str, body: bytes, extras: dict[str, Any] | None) -> Envelope:
        """The envelope around what :meth:`packed` made."""
        return Envelope(
            run_id, self._task_key, self._route, body, self._flow_run_id, self._reply_to, self._meta, extras
        )

    def packed(self, run_id: str, args: Sequence[Any], kwargs: dict[str, Any]) -> serializers.PackedCall:
        """The body of one call, and the runs whose results it takes."""
        if self._class_left_out:
            args = args[1:]
        return serializers.pack_call(
            args, kwargs, context=lambda: call_context(self._task_key, run_id, self._meta), limits=self.fleet.limits
        )


class _BoundToAnId(Exception):
    """The body is signed."""


def _is_bound_to_an_id() -> Any:
    raise _BoundToAnId


def builder_for(
    fleet: Fleet, task: TaskLike, wait_for: Iterable[Any] | None, options: CallOptions, watched: bool
) -> EnvelopeBuilder:
    """A frame for calls. One without anything special, outside tasks, is made once (for a flow run): it costs 10 us."""
    if (
        wait_for is not None
        or options is not NO_OPTIONS
        or fleet.keeps_calls
        or task.task_key in registry.contested
        or current_attempt.get() is not None
        or current_tags.get()
        or current_drawing.get() is not None
    ):
        return EnvelopeBuilder(fleet, task, wait_for, options, watched)
    run = current_flow_run.get()
    kind = watched, run is not None
    frame: EnvelopeBuilder | None = task.frames.get(kind)
    if frame is None or frame.fleet is not fleet or (run is not None and not frame.is_of(run.run_id)):
        frame = task.frames[kind] = EnvelopeBuilder(fleet, task, None, options, watched)
        frame.serve_many()
    return frame


def queue_for(fleet: Fleet, task: TaskLike, options: CallOptions) -> str:
    return options.queue or task.options.queue or fleet.settings.default_queue


def _surroundings(task: TaskLike, class_left_out: bool) -> tuple[str | None, CallMeta]:
    """The flow run around this line, and the meta: tags, options that differ, parent run, flow parameters."""
    flow_run, parent = current_flow_run.get(), current_attempt.get()
    changed = {name: value for name, value in task.overrides.items() if name not in ON_SENDING}
    outer = around(flow_run) if flow_run is not None else None
    if outer is not None or changed.get("result_storage") is not None:
        changed |= to_send(task.options, changed, outer)
    meta = CallMeta(
        tags=sorted(task.options.tags | current_tags.get()) or (),
        task_name=task.name if task.name != short_name(task.task_key) else None,
        parent_run_id=parent.run_id if parent is not None else None,
        log_prints=prints_are_logged() if task.options.log_prints is None else None,
        class_left_out=class_left_out,
        script=task.script,
        options=_packed_options(task, changed) if changed else None,
        flow_parameters_hash=(
            flow_run.parameters_hash() if flow_run is not None and task.options.caching is not None else None
        ),
    )
    flow_run_id = flow_run.run_id if flow_run is not None else (parent.flow_run_id if parent is not None else None)
    return flow_run_id, meta


def _packed_options(task: TaskLike, changed: dict[str, Any]) -> bytes:
    return serializers.pack_value(
        changed, context=lambda: ("options", task.task_key), limits=serializers.PayloadLimits()
    )


def _extras(
    fleet: Fleet, task: TaskLike, wait_for: Iterable[Any] | None, options: CallOptions
) -> dict[str, Any] | None:
    extras: dict[str, Any] = {}
    if wait_for is not None:
        extras[Extra.UPSTREAMS] = list(dict.fromkeys(upstreams_of(wait_for)))
    if options.delay_ms:
        extras[Extra.DELAY] = options.delay_ms
    if options.expires_ms is not None:
        extras[Extra.EXPIRES] = options.expires_ms
    if options.idempotency_key is not None:
        extras[Extra.IDEMPOTENCY] = [
            f"{task.task_key}:{options.idempotency_key}",
            int(fleet.settings.result_ttl_seconds * 1000),
        ]
    interval = rate_of(task.options.rate_limit)
    if interval is not None:
        extras[Extra.RATE] = f"{task.task_key}|{interval:.3f}|0"
    limit = limit_of(task.options.concurrency, task.task_key)
    if limit is not None:
        extras[Extra.LIMIT] = f"{limit[0]}|{limit[1]}"
    if task.options.max_deliveries is not None:
        extras[Extra.MAX_DELIVERIES] = str(task.options.max_deliveries)
    if fleet.keeps_calls:
        extras[Extra.KEEPER] = fleet.process
    return extras or None
