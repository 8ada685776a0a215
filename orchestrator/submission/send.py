"""Sends calls: one, one from an event loop, or many."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from brokers.block_ids import BlockRunIds
from brokers.messages import Envelope
from orchestrator.client.fleet import Fleet, current_fleet, fleet_is_ready
from orchestrator.client.handles import run_ids_of
from orchestrator.client.map_future import MapFuture
from orchestrator.client.map_list import MapFutureList
from orchestrator.client.map_runs import MapRuns
from orchestrator.errors import BrokerError
from orchestrator.futures import PrefectFuture, PrefectFutureList
from orchestrator.observability.tracing import API as TRACES
from orchestrator.observability.tracing.sending import is_wanted, sending
from orchestrator.runs.current import current_flow_run
from orchestrator.runs.run_ids import new_run_id
from orchestrator.submission.call_options import NO_OPTIONS, CallOptions
from orchestrator.submission.envelopes import EnvelopeBuilder, builder_for, queue_for
from orchestrator.submission.packed_calls import PackedCalls
from orchestrator.submission.signed_calls import rebound
from orchestrator.submission.watched_call import WatchedCall

if TYPE_CHECKING:
    from orchestrator.runnables.binding import Arguments, Rows
    from orchestrator.runnables.protocols import TaskLike


def send_call(
    task: TaskLike,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    *,
    wait_for: Iterable[Any] | None = None,
    options: CallOptions = NO_OPTIONS,
) -> PrefectFuture[Any]:
    """Send one call now; returns once the server has confirmed it. One function, few hops: it is the hottest path."""
    runner = _runner_of(run) if (run := current_flow_run.get()) is not None else None
    fleet, kept = current_fleet(), run.kept_calls if run is not None else None
    if runner is not None:
        runner.prepare(task)
    if kept is not None and (digest := kept.sending(task, args, kwargs)) in kept:
        return PrefectFuture(kept.run_of(digest), source=fleet)
    if TRACES in sys.modules and is_wanted():
        run_id = _send_traced(fleet, task, args, kwargs, wait_for, options)
    else:
        envelope = builder_for(fleet, task, wait_for, options, False).envelope(new_run_id(), args, kwargs)
        (run_id,) = fleet.calls.send((envelope,), rebound)
    future: PrefectFuture[Any] = PrefectFuture(run_id, source=fleet)
    if kept is not None:
        kept.note_run(digest, run_id)
    if runner is not None and options.is_due_at_once:
        runner.sent(task, [future])
    return future


def _send_traced(
    fleet: Fleet,
    task: TaskLike,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    wait_for: Iterable[Any] | None,
    options: CallOptions,
) -> str:
    with sending(task.task_key, queue_for(fleet, task, options), linked=True) as span:
        frame = EnvelopeBuilder(fleet, task, wait_for, options, False, span.meta())
        envelope = frame.envelope(new_run_id(), args, kwargs)
        (run_id,) = fleet.calls.send((envelope,), rebound)
        span.sent(run_id)
    return run_id


def asend_call(
    task: TaskLike,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    *,
    wait_for: Iterable[Any] | None = None,
    options: CallOptions = NO_OPTIONS,
    watched: bool = False,
) -> Coroutine[Any, Any, PrefectFuture[Any]]:
    """:func:`send_call` without blocking the event loop."""
    run = current_flow_run.get()
    if run is not None and (runner := _runner_of(run)) is not None:
        return _asend_in_flow(run, runner, task, args, kwargs, wait_for, options, watched)
    return _asend_call(task, args, kwargs, wait_for, options, watched)


async def _asend_in_flow(
    run: Any,
    runner: _SendingRunner,
    task: TaskLike,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    wait_for: Iterable[Any] | None,
    options: CallOptions,
    watched: bool,
) -> PrefectFuture[Any]:
    if not runner.prepared:
        await asyncio.to_thread(runner.prepare, task)
    kept = run.kept_calls
    if kept is not None and (digest := await asyncio.to_thread(kept.sending, task, args, kwargs)) in kept:
        return PrefectFuture(kept.run_of(digest), source=current_fleet())
    future = await _asend_call(task, args, kwargs, wait_for, options, watched)
    if kept is not None:
        kept.note_run(digest, future.run_id)
    if options.is_due_at_once:
        await asyncio.to_thread(runner.sent, task, [future])
    return future


class _SendingRunner(Protocol):
    """The runner of a flow whose calls go to the fleet; see :class:`orchestrator.task_runners.FleetTaskRunner`."""

    prepared: bool

    def prepare(self, task: TaskLike) -> None: ...

    def sent(self, task: TaskLike, futures: Iterable[PrefectFuture[Any]]) -> None: ...


def _runner_of(run: Any) -> _SendingRunner | None:
    """The runner of a flow, if its calls go to the fleet: it may need workers of its own."""
    runner = run.task_runner
    return runner if hasattr(runner, "prepare") else None


async def _asend_call(
    task: TaskLike,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    wait_for: Iterable[Any] | None,
    options: CallOptions,
    watched: bool,
) -> PrefectFuture[Any]:
    fleet = current_fleet() if fleet_is_ready(watched) else await _ready_fleet(watched)
    if TRACES in sys.modules and is_wanted():
        with sending(task.task_key, queue_for(fleet, task, options), linked=not watched) as span:
            frame = EnvelopeBuilder(fleet, task, wait_for, options, watched, span.meta())
            envelope = frame.envelope(new_run_id(), args, kwargs)
            (run_id,) = await fleet.calls.asend((envelope,), rebound)
            span.sent(run_id)
        return PrefectFuture(run_id, source=fleet)
    frame = builder_for(fleet, task, wait_for, options, watched)
    if watched:
        return await _asend_watched(fleet, frame.envelope(new_run_id(), args, kwargs))
    if (sent := frame.post(args, kwargs)) is not None:
        try:
            return PrefectFuture(await sent, source=fleet)
        except BrokerError as error:
            await fleet.calls.refused(error)
            raise
    envelope = frame.envelope(new_run_id(), args, kwargs)
    (run_id,) = await fleet.calls.asend((envelope,), rebound)
    return PrefectFuture(run_id, source=fleet)


async def _asend_watched(fleet: Fleet, envelope: Envelope) -> PrefectFuture[Any]:
    call = WatchedCall(fleet, envelope)
    try:
        (run_id,) = await fleet.calls.asend((envelope,), call.rebound)
    except BaseException:
        call.failed()
        raise
    return call.sent(run_id)


async def _ready_fleet(watched: bool) -> Fleet:
    """The fleet, made ready off the loop: reading settings and opening the inbox may block."""

    def ready() -> Fleet:
        fleet = current_fleet()
        if watched:
            fleet.open_inbox()
        return fleet

    return await asyncio.to_thread(ready)


def send_calls(
    task: TaskLike,
    rows: Rows | Sequence[Arguments],
    wait_for: Iterable[Any] | None,
    soon: bool,
) -> PrefectFutureList[Any]:
    """Send many calls, in slices; nothing is sent when one of them cannot be.

    Args:
        task: the task.
        rows: arguments of each call.
        wait_for: runs that must have completed before all of them.
        soon: return before the server has confirmed; a call that cannot be sent has a Crashed handle.
    """
    if not rows:
        return PrefectFutureList()
    run = current_flow_run.get()
    if run is not None and run.kept_calls is not None:
        return _send_what_is_new(run.kept_calls, task, rows, wait_for, soon)
    return _send_all(task, rows, wait_for, soon)


def send_watched(
    task: TaskLike, args: Sequence[Any], kwargs: dict[str, Any], wait_for: Iterable[Any] | None
) -> PrefectFuture[Any]:
    """Send one call outside flows, whose end will come to this process; returns once the server has confirmed it."""
    fleet = current_fleet()
    if TRACES in sys.modules and is_wanted():
        return _send_all(task, [(args, kwargs)], wait_for, False)[0]
    return _send_watched(fleet, builder_for(fleet, task, wait_for, NO_OPTIONS, True), args, kwargs)


def _send_what_is_new(
    kept: Any, task: TaskLike, rows: Rows | Sequence[Arguments], wait_for: Iterable[Any] | None, soon: bool
) -> PrefectFutureList[Any]:
    """Those that the flow run has not sent before it was suspended."""
    fleet, given = current_fleet(), list(rows)
    digests = [kept.sending(task, args, kwargs) for args, kwargs in given]
    known = [kept.run_of(digest) if digest in kept else None for digest in digests]
    new = [row for row, run_id in zip(given, known, strict=True) if run_id is None]
    if len(new) == len(given):
        futures = _send_all(task, new, wait_for, soon)
        for digest, sent_id in zip(digests, run_ids_of(futures), strict=True):
            kept.note_run(digest, sent_id)
        return futures
    sent = iter(_send_all(task, new, wait_for, soon) if new else ())
    futures = PrefectFutureList(
        next(sent) if run_id is None else PrefectFuture(run_id, source=fleet) for run_id in known
    )
    for digest, future, run_id in zip(digests, futures, known, strict=True):
        if run_id is None:
            kept.note_run(digest, future.run_id)
    return futures


def _send_all(
    task: TaskLike, rows: Rows | Sequence[Arguments], wait_for: Iterable[Any] | None, soon: bool
) -> PrefectFutureList[Any]:
    fleet = current_fleet()
    if TRACES in sys.modules and is_wanted():
        many = len(rows) if len(rows) > 1 else None
        with sending(task.task_key, queue_for(fleet, task, NO_OPTIONS), linked=False, count=many) as span:
            futures = _send_rows(
                fleet, EnvelopeBuilder(fleet, task, wait_for, NO_OPTIONS, True, span.meta()), rows, soon
            )
            if many is None:
                span.sent(futures[0].run_id)
        return futures
    return _send_rows(fleet, builder_for(fleet, task, wait_for, NO_OPTIONS, True), rows, soon)


def _send_rows(
    fleet: Fleet, frame: EnvelopeBuilder, rows: Rows | Sequence[Arguments], soon: bool
) -> PrefectFutureList[Any]:
    if type(rows) is list and len(rows) == 1:
        if not soon:
            return PrefectFutureList([_send_watched(fleet, frame, *rows[0])])
        calls = _packed_soon(frame, rows)
    else:
        fleet.calls.open_block.close()
        calls = PackedCalls(frame, rows)
    futures = _handles_on(calls.run_ids, fleet)
    batch = fleet.open_futures.begin_to_send(calls.run_ids)
    try:
        fleet.open_futures.watch_all(futures)
        if soon:
            fleet.calls.send_buffered(calls.framed(), futures)
        else:
            fleet.calls.send(calls.framed())
    except BaseException:
        fleet.open_futures.forget(futures)
        raise
    finally:
        fleet.open_futures.has_sent(batch)
    return futures


def _send_watched(
    fleet: Fleet, frame: EnvelopeBuilder, args: Sequence[Any], kwargs: dict[str, Any]
) -> PrefectFuture[Any]:
    envelope = frame.envelope(new_run_id(), args, kwargs)
    call = WatchedCall(fleet, envelope)
    try:
        (run_id,) = fleet.calls.send((envelope,), call.rebound)
    except BaseException:
        call.failed()
        raise
    return call.sent(run_id)


def _handles_on(run_ids: Sequence[str], fleet: Fleet) -> PrefectFutureList[Any]:
    if isinstance(run_ids, BlockRunIds) and run_ids.blocks:
        return MapFutureList.of(MapRuns(run_ids, fleet, MapFuture))
    return PrefectFutureList(PrefectFuture(run_id, source=fleet) for run_id in run_ids)


def _packed_soon(frame: EnvelopeBuilder, rows: list[Arguments]) -> PackedCalls:
    """A single call whose sender goes on at once: in a block, if the thread has just sent others of its frame."""
    open_block = frame.fleet.calls.open_block
    ((args, kwargs),) = rows
    if frame.waits or any(isinstance(value, PrefectFuture) for value in (*args, *kwargs.values())):
        return PackedCalls(frame, rows, [new_run_id()])
    if not frame.may_be_in_block:
        open_block.close()  # calls are queued in the order in which they are sent
        return PackedCalls(frame, rows, [new_run_id()])
    try:
        calls = PackedCalls(frame, rows, [open_block.next_id(frame)])
    except BaseException:
        open_block.close()
        raise
    if calls.are_special:  # it waits for a future that is deeper in its arguments: it must not overtake that call
        open_block.close()
        return PackedCalls(frame, rows, [new_run_id()])
    return calls
