"""Sending calls: one, one from an event loop, or many; and what stands for futures in their arguments."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from orchestrator import serializers
from orchestrator.envelopes import NO_OPTIONS, CallOptions, Frame, PackedCalls, frame_for, queue_for
from orchestrator.errors import UpstreamTaskError
from orchestrator.fleet import Fleet, current_fleet
from orchestrator.futures import PrefectFuture, PrefectFutureList
from orchestrator.ids import new_run_id
from orchestrator.nested import replace_nested
from orchestrator.states import State
from orchestrator.tracing import API as TRACES
from orchestrator.tracing.sending import is_wanted, sending

if TYPE_CHECKING:
    from orchestrator.binding import Arguments, Rows
    from orchestrator.tasks import Task


def send_call(
    task: Task[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any],
    *,
    wait_for: Iterable[Any] | None = None,
    options: CallOptions = NO_OPTIONS,
    watched: bool = False,
) -> PrefectFuture[Any]:
    """Send one call now; returns once the server has confirmed it."""
    fleet = current_fleet()
    if TRACES in sys.modules and is_wanted():
        with sending(task.task_key, queue_for(fleet, task, options), linked=not watched) as span:
            frame = Frame(fleet, task, wait_for, options, watched, span.meta())
            envelope = frame.envelope(new_run_id(), args, kwargs)
            (run_id,) = fleet.send([envelope])
            span.sent(run_id)
        return _handle(fleet, run_id, watched and run_id == envelope.run_id)
    envelope = frame_for(fleet, task, wait_for, options, watched).envelope(new_run_id(), args, kwargs)
    (run_id,) = fleet.send([envelope])
    return _handle(fleet, run_id, watched and run_id == envelope.run_id)


async def asend_call(
    task: Task[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any],
    *,
    wait_for: Iterable[Any] | None = None,
    options: CallOptions = NO_OPTIONS,
    watched: bool = False,
) -> PrefectFuture[Any]:
    """:func:`send_call` without blocking the event loop."""
    fleet = await _fleet_for_loop(watched)
    if TRACES in sys.modules and is_wanted():
        with sending(task.task_key, queue_for(fleet, task, options), linked=not watched) as span:
            frame = Frame(fleet, task, wait_for, options, watched, span.meta())
            (run_id,) = await fleet.sender.asend([frame.envelope(new_run_id(), args, kwargs)])
            span.sent(run_id)
        return _handle(fleet, run_id, False)
    envelope = frame_for(fleet, task, wait_for, options, watched).envelope(new_run_id(), args, kwargs)
    (run_id,) = await fleet.sender.asend([envelope])
    return _handle(fleet, run_id, False)


async def _fleet_for_loop(watched: bool) -> Fleet:
    """The fleet, made ready off the loop: reading settings and opening the inbox may block."""
    from orchestrator.fleet import fleet_is_ready

    if fleet_is_ready(watched):
        return current_fleet()
    import asyncio

    def ready() -> Fleet:
        fleet = current_fleet()
        if watched:
            fleet.open_inbox()
        return fleet

    return await asyncio.to_thread(ready)


def _handle(fleet: Fleet, run_id: str, watched: bool) -> PrefectFuture[Any]:
    future: PrefectFuture[Any] = PrefectFuture(run_id, source=fleet)
    if watched:
        fleet.watch(future)
    return future


def send_calls(
    task: Task[..., Any],
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
    fleet = current_fleet()
    if not rows:
        return PrefectFutureList()
    if TRACES in sys.modules and is_wanted():
        many = len(rows) if len(rows) > 1 else None
        with sending(task.task_key, queue_for(fleet, task, NO_OPTIONS), linked=False, count=many) as span:
            futures = _send_rows(fleet, Frame(fleet, task, wait_for, NO_OPTIONS, True, span.meta()), rows, soon)
            if many is None:
                span.sent(futures[0].run_id)
        return futures
    return _send_rows(fleet, Frame(fleet, task, wait_for, NO_OPTIONS, True), rows, soon)


def _send_rows(fleet: Fleet, frame: Frame, rows: Rows | Sequence[Arguments], soon: bool) -> PrefectFutureList[Any]:
    calls = PackedCalls(frame, rows)
    futures: PrefectFutureList[Any] = PrefectFutureList(PrefectFuture(run_id, source=fleet) for run_id in calls.run_ids)
    for future in futures:
        fleet.watch(future)
    if soon:
        fleet.send_soon(calls, futures)
    else:
        fleet.send(calls)
    return futures


def _pack_future(future: PrefectFuture[Any], packing: Any) -> Any:
    return packing.upstream(future.run_id, False)


def _pack_allow_failure(wrapped: Any, packing: Any) -> Any:
    def lenient(part: Any) -> Any:
        if isinstance(part, PrefectFuture):
            return packing.upstream(part.run_id, True)
        return part.result(raise_on_failure=False) if isinstance(part, State) else part

    return replace_nested(wrapped.value, lenient)


def _pack_state(state: State[Any], packing: Any) -> Any:
    if state.is_completed():
        return state.data
    raise UpstreamTaskError(
        f"an argument is {state!r}, which did not complete; wrap it in allow_failure()", state.task_run_id
    )


def _register_replacements() -> None:
    from orchestrator.binding import allow_failure, unmapped

    serializers.register_replacement(PrefectFuture, _pack_future)
    serializers.register_replacement(allow_failure, _pack_allow_failure)
    serializers.register_replacement(State, _pack_state)
    serializers.register_replacement(unmapped, lambda wrapped, packing: wrapped.value)
    serializers.set_handle_factory(PrefectFuture)


_register_replacements()
