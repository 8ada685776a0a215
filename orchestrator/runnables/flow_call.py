"""A flow as a call that a worker executes: what queues, registry and slots know of it is a task's; and sending it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any, Final, Self

from brokers.schema import FLOW_CALL
from orchestrator.client.fleet import current_fleet
from orchestrator.errors import BrokerError
from orchestrator.execution.attempt import Doors
from orchestrator.execution.flow_deliveries import run_delivered, run_delivered_async
from orchestrator.execution.flow_run import record_of_sent
from orchestrator.futures import PrefectFuture
from orchestrator.runnables.flow_options import FlowOptions
from orchestrator.runnables.identity import key_of
from orchestrator.runnables.options import TaskOptions
from orchestrator.runnables.runnable import Runnable
from orchestrator.states import Pending, Scheduled
from orchestrator.submission.call_options import NO_OPTIONS, CallOptions
from orchestrator.submission.send import asend_call, send_call
from orchestrator.task_runners.base import TaskRunner
from orchestrator.task_runners.choice import runner_for_flow
from orchestrator.tasks import Task

log = logging.getLogger("orchestrator.flow_runs")
_KINDS: Final[dict[str, Callable[[Any], Any]]] = {"classmethod": classmethod, "staticmethod": staticmethod}


class FlowCall(Task[..., Any]):
    """What stands for a flow in queues and on workers; its key is the function's, with ``flow:`` in front.

    Args:
        flow: the flow.
    """

    doors = Doors(run_delivered, run_delivered_async)

    def __init__(self, flow: Runnable) -> None:
        self.flow: Any = flow
        plain = _KINDS.get(flow._kind, lambda fn: fn)(flow.fn)
        super().__init__(plain, _options_of(flow.options), task_key=FLOW_CALL + key_of(flow.fn, flow.given_name))

    def of(self, flow: Runnable) -> FlowCall:
        """The same for a copy of the flow, which has other options or is bound to an object."""
        copy = self._copy()
        copy.flow, copy.options, copy.overrides = flow, _options_of(flow.options), flow.overrides
        copy.bound, copy.signature = flow.bound, flow.signature
        return copy

    def __repr__(self) -> str:
        return f"<Flow {self.task_key.removeprefix(FLOW_CALL)}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the flow here."""
        return self.flow(*args, **kwargs)

    def new_runner(self) -> TaskRunner:
        """What runs the tasks of one run of the flow."""
        return runner_for_flow(self.flow.options.task_runner)

    def with_options(self, **options: Any) -> Self:
        """For a copy of the flow with these options."""
        call: Any = self.flow.with_options(**options).call
        return call  # type: ignore[no-any-return]

    def arguments(self, args: Iterable[Any], kwargs: dict[str, Any], *, sent: bool = False) -> tuple[Any, ...]:
        """The positional arguments of the function; checked only, the worker converts them. Raises as a task's do."""
        args = tuple(args)
        self.signature.check(args, kwargs)
        if self.flow.options.validate_parameters:
            self.signature.validated(args, dict(kwargs), keep=True)
        return (*self.bound, *args)

    def apply_async(self, args: Iterable[Any] = (), kwargs: dict[str, Any] | None = None, **options: Any) -> Any:
        """Send the flow, see :meth:`orchestrator.flows.Flow.apply_async`."""
        return self.flow.apply_async(args, kwargs, **options)


def _options_of(options: FlowOptions) -> TaskOptions:
    """Those that the queue and the slots read. Timeouts, hooks and names are the flow run's own."""
    return TaskOptions(
        name=options.name,
        description=options.description,
        tags=options.tags,
        version=options.version,
        retries=options.retries or 0,
        retry_delay_seconds=options.retry_delay_seconds,
        persist_result=options.persist_result,
        result_storage=options.result_storage,
        result_storage_key=options.result_storage_key,
        result_serializer=options.result_serializer,
        cache_result_in_memory=options.cache_result_in_memory,
        log_prints=options.log_prints,
    )


def send_flow(
    flow: Any,
    args: Iterable[Any],
    kwargs: dict[str, Any],
    *,
    wait_for: Iterable[Any] | None = None,
    options: CallOptions = NO_OPTIONS,
) -> PrefectFuture[Any]:
    """Send a run of a flow; returns once the server has confirmed it. Raises as ``send_call`` does."""
    args = tuple(args)
    given = flow.call.arguments(args, kwargs, sent=True)
    future = send_call(flow.call, given, kwargs, wait_for=wait_for, options=options)
    _note(flow, future.run_id, args, kwargs, options)
    return future


async def asend_flow(
    flow: Any, args: Iterable[Any], kwargs: dict[str, Any], *, wait_for: Iterable[Any] | None = None
) -> PrefectFuture[Any]:
    """:func:`send_flow` without blocking the event loop."""
    args = tuple(args)
    given = flow.call.arguments(args, kwargs, sent=True)
    future = await asend_call(flow.call, given, kwargs, wait_for=wait_for)
    await asyncio.to_thread(_note, flow, future.run_id, args, kwargs, NO_OPTIONS)
    return future


def _note(flow: Any, run_id: str, args: Any, kwargs: dict[str, Any], options: CallOptions) -> None:
    """Have the run in lists before a worker has it; a worker that was quicker has written more."""
    state = (Scheduled if options.delay_ms else Pending)(flow_run_id=run_id)
    try:
        parameters = flow.signature.given(args, kwargs)
        facts = record_of_sent(flow, run_id, parameters, flow.call.new_runner(), state)
        current_fleet().broker.flow_runs.note([(run_id, facts, False)], only_new=True)
    except BrokerError as error:  # it is queued; its worker writes it
        log.warning("flow run %s is queued, and not listed before it begins: %s", run_id, error)
