"""From a call on a task to an envelope: what is checked, packed and said once, before anything is sent.

A frame holds what is the same for all calls of one ``submit`` or ``map`` (route, flow, options), so that a map of
100,000 costs one frame and 100,000 packed bodies.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import repeat
from typing import TYPE_CHECKING, Any, overload

import msgpack

from brokers.contract import ASYNC_LANE, SYNC_LANE, Envelope, Route
from orchestrator import registry, serializers
from orchestrator.context import current_attempt, current_flow_run, current_tags
from orchestrator.errors import UpstreamTaskError
from orchestrator.fleet import Fleet
from orchestrator.futures import PrefectFuture
from orchestrator.ids import new_run_id
from orchestrator.options import ON_SENDING, check_priority, check_queue, limit_of, rate_of
from orchestrator.states import State

if TYPE_CHECKING:
    from orchestrator.binding import Arguments, Rows
    from orchestrator.tasks import Task

VERSION: int = 1
"""Version of the envelope, in the meta as ``v`` (absent: 1). What a worker does not know in an envelope it ignores."""

READABLE_BY: int = 1
"""The oldest version that may run our calls, in the meta as ``n``; raised when ignoring what is new would be wrong."""

OLDEST: int = 1
"""The oldest version whose calls are run here."""


def call_context(task_key: str, run_id: str, meta: bytes | None) -> tuple[str | bytes, ...]:
    """What a signed call is bound to: its body is worth nothing under another name or id.

    The meta says all the rest: version, queue, options.
    """
    return ("call", "1", task_key, run_id, meta or b"")


def queue_of(ticket: str) -> str | None:
    """The queue that a delivery came from; ``None`` if it cannot be told.

    >>> queue_of("mail:hs 1700000000000-0"), queue_of("@mail:hs 42")
    ('mail', 'mail')
    """
    route, space, _ = ticket.partition(" ")
    return route[:-3].removeprefix("@") if space and route[-3:-2] == ":" else None


def _milliseconds(name: str, value: float | timedelta | datetime) -> int:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"{name}={value!r} has no time zone: write datetime.now(UTC) + ... or give seconds")
        value = value - datetime.now(UTC)
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds != seconds or seconds > 1e10:
        raise ValueError(f"{name}={value!r} must be seconds, a timedelta or an aware datetime")
    return max(0, round(seconds * 1000))


@dataclass(frozen=True, slots=True)
class CallOptions:
    """Options of one call; times in milliseconds from now."""

    delay_ms: int = 0
    expires_ms: int | None = None
    priority: str | None = None
    queue: str | None = None
    idempotency_key: str | None = None

    @classmethod
    def checked(
        cls,
        countdown: float | timedelta | None,
        eta: datetime | None,
        expires: float | timedelta | datetime | None,
        priority: str | None,
        queue: str | None,
        idempotency_key: str | None,
    ) -> CallOptions:
        """From what users give. Raises ValueError naming the option."""
        if countdown is not None and eta is not None:
            raise ValueError("give countdown or eta, not both")
        when = countdown if countdown is not None else eta
        name = "countdown" if countdown is not None else "eta"
        check_queue(queue)
        if priority is not None:
            check_priority(priority)
        if idempotency_key is not None and not (isinstance(idempotency_key, str) and 0 < len(idempotency_key) <= 512):
            raise ValueError(f"idempotency_key={idempotency_key!r} must be a text of 1 to 512 characters")
        return cls(
            0 if when is None else _milliseconds(name, when),
            None if expires is None else _milliseconds("expires", expires),
            priority,
            queue,
            idempotency_key,
        )


NO_OPTIONS = CallOptions()


class Frame:
    """What the calls of one submit or map have in common.

    Args:
        fleet: where they go.
        task: the task.
        wait_for: runs that must have completed before.
        options: options of the calls.
        watched: whether the ends are sent to this process's inbox.
        trace: of the span that sends them, see ``orchestrator.tracing.sending``.
    """

    __slots__ = (
        "_class_left_out",
        "_flow_run_id",
        "_meta",
        "_reply_to",
        "_route",
        "_task",
        "extras",
        "fleet",
        "queue",
    )

    def __init__(
        self,
        fleet: Fleet,
        task: Task[..., Any],
        wait_for: Iterable[Any] | None,
        options: CallOptions,
        watched: bool,
        trace: list[Any] | None = None,
    ) -> None:
        registry.learn_types()
        self.fleet, self._task = fleet, task
        # A class method's own class need not travel: the worker's task knows it.
        self._class_left_out = task.binds_class and task.bound[:1] == (task.owner,)
        self.queue = queue_for(fleet, task, options)
        self._flow_run_id, meta = _surroundings(task, self._class_left_out)
        if fleet.protection.signs:
            meta["q"] = [self.queue, f"~{fleet.process}"] if fleet.keeps_calls else self.queue
        if trace is not None:
            meta["t"] = trace
        self._meta = _packed_meta(meta)
        self._reply_to = fleet.open_inbox() if watched else None
        lane = ASYNC_LANE if task.isasync else SYNC_LANE
        self._route = str(Route(self.queue, options.priority or task.options.priority, lane))
        self.extras = _extras(fleet, task, wait_for, options)
        fleet.queues_used.add(self.queue)

    def envelope(self, run_id: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Envelope:
        """The envelope of one call.

        Raises:
            SerializationError, PayloadTooLarge: the arguments cannot be sent.
        """
        return self.around(run_id, *self.packed(run_id, args, kwargs))

    def around(self, run_id: str, body: bytes, extras: dict[str, Any] | None) -> Envelope:
        """The envelope around what :meth:`packed` made."""
        return Envelope(
            run_id, self._task.task_key, self._route, body, self._flow_run_id, self._reply_to, self._meta, extras
        )

    def packed(self, run_id: str, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[bytes, dict[str, Any] | None]:
        """The body of one call, and the extras of its envelope."""
        task = self._task
        if self._class_left_out:
            args = args[1:]
        body, upstreams = serializers.pack_call(
            args, kwargs, context=lambda: call_context(task.task_key, run_id, self._meta), limits=self.fleet.limits
        )
        extras = self.extras
        if upstreams:
            extras = dict(extras or {})
            extras["r"] = [*extras.get("r", ()), *upstreams]
            extras["u"] = msgpack.packb([upstream for upstream, _ in upstreams])
        return body, extras


class PackedCalls(Sequence[Envelope]):
    """The envelopes of a map, made when they are asked for: what is kept of a call is its id and its body.

    A map of 1,000,000 holds 300 MB less so. All calls are packed at once, because nothing is sent when one cannot be.
    """

    def __init__(self, frame: Frame, rows: Rows | Sequence[Arguments]) -> None:
        self._frame = frame
        self.run_ids = [new_run_id() for _ in range(len(rows))]
        self._bodies: list[bytes] = []
        self._extras: dict[int, dict[str, Any] | None] = {}  # by position: of calls whose extras are not the frame's
        for run_id, (args, kwargs) in zip(self.run_ids, rows, strict=True):
            body, extras = frame.packed(run_id, args, kwargs)
            if extras is not frame.extras:
                self._extras[len(self._bodies)] = extras
            self._bodies.append(body)

    def __len__(self) -> int:
        return len(self.run_ids)

    @overload
    def __getitem__(self, index: int) -> Envelope: ...

    @overload
    def __getitem__(self, index: slice) -> list[Envelope]: ...

    def __getitem__(self, index: int | slice) -> Envelope | list[Envelope]:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        at = range(len(self))[index]
        return self._frame.around(self.run_ids[at], self._bodies[at], self._extras_of(at))

    def __iter__(self) -> Iterator[Envelope]:
        extras = map(self._extras_of, range(len(self))) if self._extras else repeat(self._frame.extras)
        return map(self._frame.around, self.run_ids, self._bodies, extras)

    def _extras_of(self, index: int) -> dict[str, Any] | None:
        return self._extras.get(index, self._frame.extras)


def frame_for(
    fleet: Fleet, task: Task[..., Any], wait_for: Iterable[Any] | None, options: CallOptions, watched: bool
) -> Frame:
    """A frame for one call. One without anything special, outside flows and tasks, is made once: it costs 10 us."""
    if (
        wait_for is not None
        or options is not NO_OPTIONS
        or fleet.keeps_calls
        or current_attempt.get() is not None
        or current_flow_run.get() is not None
        or current_tags.get()
    ):
        return Frame(fleet, task, wait_for, options, watched)
    frame: Frame | None = task.frames.get(watched)
    if frame is None or frame.fleet is not fleet:
        frame = task.frames[watched] = Frame(fleet, task, None, options, watched)
    return frame


def queue_for(fleet: Fleet, task: Task[..., Any], options: CallOptions) -> str:
    return options.queue or task.options.queue or fleet.settings.default_queue


def _packed_meta(meta: dict[str, Any]) -> bytes | None:
    if VERSION != 1:
        meta["v"] = VERSION
    if READABLE_BY != 1:
        meta["n"] = READABLE_BY
    return msgpack.packb(meta) if meta else None


def _surroundings(task: Task[..., Any], class_left_out: bool) -> tuple[str | None, dict[str, Any]]:
    """The flow run around this line, and the meta: tags, options that differ, parent run, flow parameters."""
    flow_run, parent = current_flow_run.get(), current_attempt.get()
    meta: dict[str, Any] = {}
    tags = task.options.tags | current_tags.get()
    if tags:
        meta["g"] = sorted(tags)
    if parent is not None:
        meta["P"] = parent.run_id
    if class_left_out:
        meta["c"] = True
    changed = {name: value for name, value in task.overrides.items() if name not in ON_SENDING}
    if changed:
        meta["o"] = serializers.pack_value(
            changed, context=lambda: ("options", task.task_key), limits=serializers.PayloadLimits()
        )
    if flow_run is not None and task.options.caching is not None:
        meta["F"] = flow_run.parameters_hash()
    flow_run_id = flow_run.run_id if flow_run is not None else (parent.flow_run_id if parent is not None else None)
    return flow_run_id, meta


def _extras(
    fleet: Fleet, task: Task[..., Any], wait_for: Iterable[Any] | None, options: CallOptions
) -> dict[str, Any] | None:
    extras: dict[str, Any] = {}
    if wait_for is not None:
        extras["r"] = list(dict.fromkeys(_upstreams(wait_for)))
    if options.delay_ms:
        extras["d"] = options.delay_ms
    if options.expires_ms is not None:
        extras["x"] = options.expires_ms
    if options.idempotency_key is not None:
        extras["i"] = [f"{task.task_key}:{options.idempotency_key}", int(fleet.settings.result_ttl_seconds * 1000)]
    interval = rate_of(task.options.rate_limit)
    if interval is not None:
        extras["g"] = f"{task.task_key}|{interval:.3f}|0"
    limit = limit_of(task.options.concurrency, task.task_key)
    if limit is not None:
        extras["l"] = f"{limit[0]}|{limit[1]}"
    if task.options.max_deliveries is not None:
        extras["y"] = str(task.options.max_deliveries)
    if fleet.keeps_calls:
        extras["p"] = fleet.process
    return extras or None


def _upstreams(wait_for: Iterable[Any]) -> Iterable[tuple[str, bool]]:
    """The runs behind the members of ``wait_for``: futures, states, lists of them; other values stand for nothing."""
    from orchestrator.binding import allow_failure

    if isinstance(wait_for, PrefectFuture | State | allow_failure):
        wait_for = [wait_for]
    for member in wait_for:
        goes_on = isinstance(member, allow_failure)
        inner = member.value if isinstance(member, allow_failure) else member
        if isinstance(inner, PrefectFuture):
            yield inner.run_id, goes_on
        elif isinstance(inner, State):
            if not inner.is_completed() and not goes_on:
                raise UpstreamTaskError(f"wait_for holds {inner!r}, which did not complete", inner.task_run_id)
        elif isinstance(inner, list | tuple | set | frozenset):
            yield from ((run_id, goes_on or lenient) for run_id, lenient in _upstreams(inner))
