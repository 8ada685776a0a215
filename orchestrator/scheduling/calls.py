"""From a schedule and its ticks to the calls that are queued: those of tasks here, others by who owns them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import msgpack

from brokers.messages import Envelope
from brokers.schema import CallMeta, Extra
from orchestrator import serializers
from orchestrator.client.fleet import Fleet
from orchestrator.errors import SerializationError
from orchestrator.runnables.protocols import TaskLike
from orchestrator.scheduling.record import ScheduleRecord
from orchestrator.submission.call_options import CallOptions
from orchestrator.submission.envelopes import EnvelopeBuilder
from orchestrator.submission.signed_calls import call_context

_KEPT: Final = (Extra.LIMIT, Extra.RATE, Extra.MAX_DELIVERIES, Extra.EXPIRES)


class TickRun(NamedTuple):
    """A run that is to be made."""

    run_id: str
    tick_ms: int
    missed: int = 0  # ticks before it that had no run, since nobody was there
    note: str = ""  # for people, such as "3 earlier ticks missed"


CallMaker: TypeAlias = Callable[[Fleet, ScheduleRecord, Sequence[TickRun]], list[Envelope]]
"""Makes the calls of some ticks. May raise SerializationError: the schedule is left alone then."""

_makers: dict[str, CallMaker] = {}


def register_owner(kind: str, maker: CallMaker) -> None:
    """Make the calls of schedules whose owner begins with ``<kind>:`` with this function."""
    _makers[kind] = maker


def calls_for(fleet: Fleet, record: ScheduleRecord, runs: Sequence[TickRun]) -> list[Envelope]:
    """The calls of some ticks.

    Raises:
        SerializationError: nobody here knows what such an owner runs, or the template cannot be read here.
    """
    kind = record.owner.partition(":")[0]
    maker = _makers.get(kind)
    if maker is None:
        raise SerializationError(f"what a schedule of {record.owner!r} runs is not known here")
    return maker(fleet, record, runs)


def task_template(
    fleet: Fleet, task: TaskLike, schedule_id: str, args: Sequence[Any], kwargs: dict[str, Any], options: CallOptions
) -> tuple[bytes, str]:
    """What a schedule keeps of the calls of a task that it makes, and the route on which they are queued.

    Args:
        fleet: where they go.
        task: the task.
        schedule_id: of the schedule; the template is signed for it.
        args, kwargs: of each call.
        options: of each call; a delay and an idempotency key mean nothing here.

    Raises:
        SerializationError, PayloadTooLarge: the arguments cannot be sent.
        ValueError: the arguments hold futures, which would mean another run than the one that was there.
    """
    frame = EnvelopeBuilder(fleet, task, None, options, watched=False)
    call = frame.envelope(schedule_id, args, kwargs)
    extras = call.extras or {}
    if Extra.UPSTREAMS in extras:
        raise ValueError(f"the parameters of a schedule of {task.task_key} hold a future: give its result")
    kept = {letter: value for letter, value in extras.items() if letter in _KEPT}
    return msgpack.packb([call.task, call.body, call.meta, kept]), call.route


def _calls_of_task(fleet: Fleet, record: ScheduleRecord, runs: Sequence[TickRun]) -> list[Envelope]:
    task, body, meta, extras = _template(record)
    read_meta = CallMeta.unpack(meta)

    def call(run: TickRun) -> Envelope:
        note = [run.note] if run.note else []
        noted = read_meta._replace(scheduled=[record.id, run.tick_ms, run.missed, *note]).pack()
        sealed = serializers.resealed_call(
            body,
            context=lambda: call_context(task, record.id, meta),
            new_context=lambda: call_context(task, run.run_id, noted),
            limits=fleet.limits,
        )
        return Envelope(run.run_id, task, record.route, sealed, None, None, noted, dict(extras))

    return [call(run) for run in runs]


def _template(record: ScheduleRecord) -> tuple[str, bytes, bytes | None, dict[str, Any]]:
    try:
        found = msgpack.unpackb(record.template)
    except Exception:
        found = None
    match found:
        case [str(task), bytes(body), (bytes() | None) as meta, dict(extras)] if record.route[-3:-2] == ":":
            return task, body, meta, extras
    raise SerializationError("its record is damaged: the call that it makes cannot be read")


register_owner("t", _calls_of_task)
