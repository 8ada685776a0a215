"""The span around one run of a call, in the worker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from brokers.messages import queue_of
from orchestrator.execution import drivers
from orchestrator.execution.attempt import Attempt
from orchestrator.execution.verdicts import Retry, Verdict, WaitForRun
from orchestrator.observability.tracing import SYSTEM
from orchestrator.observability.tracing.sending import is_wanted, tracer
from orchestrator.states import FAILED, State

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Link, Span


def run_attempt(attempt: Attempt) -> Verdict:
    """:func:`orchestrator.execution.drivers.run_attempt` in a span, if somebody collects spans."""
    if not is_wanted():
        return drivers.run_attempt(attempt)
    with _processing(attempt) as span:
        verdict = drivers.run_attempt(attempt)
        _record_verdict(span, verdict)
    return verdict


async def run_attempt_async(attempt: Attempt) -> Verdict:
    """:func:`orchestrator.execution.drivers.run_attempt_async` in a span, if somebody collects spans."""
    if not is_wanted():
        return await drivers.run_attempt_async(attempt)
    with _processing(attempt) as span:
        verdict = await drivers.run_attempt_async(attempt)
        _record_verdict(span, verdict)
    return verdict


@contextmanager
def _processing(attempt: Attempt) -> Iterator[Span]:
    from opentelemetry.trace import SpanKind

    queue = queue_of(attempt.ticket) or "unknown"
    parent, links = _origin(attempt.trace)
    attributes: dict[str, str | int] = {
        "messaging.system": SYSTEM,
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": queue,
        "messaging.message.id": attempt.run_id,
        "orchestrator.task": attempt.task.task_key,
        "orchestrator.run_count": attempt.run_count,
    }
    if attempt.flow_run_id is not None:
        attributes["orchestrator.flow_run_id"] = attempt.flow_run_id
    with tracer().start_as_current_span(
        f"process {queue}", context=parent, kind=SpanKind.CONSUMER, attributes=attributes, links=links
    ) as span:
        yield span


def _origin(packed: list[Any] | None) -> tuple[Context, list[Link]]:
    """The context that the span is to have for a parent, and its links; what is damaged stands for nothing."""
    from opentelemetry.context import Context
    from opentelemetry.trace import Link, get_current_span
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    if not packed or len(packed) < 3 or not isinstance(packed[0], str) or not isinstance(packed[1], str):
        return Context(), []
    carrier = {"traceparent": packed[0], "tracestate": packed[1]}
    context = TraceContextTextMapPropagator().extract(carrier, Context())
    if not packed[2]:
        return context, []
    sender = get_current_span(context).get_span_context()
    return Context(), [Link(sender)] if sender.is_valid else []


def _record_verdict(span: Span, verdict: Verdict) -> None:
    """How it ended. Errors are the span's, also those after which there is another attempt."""
    if isinstance(verdict, WaitForRun):
        span.set_attribute("orchestrator.state", "Pending")
        return
    state = verdict.state if isinstance(verdict, Retry) else verdict
    span.set_attribute("orchestrator.state", "AwaitingRetry" if isinstance(verdict, Retry) else state.name)
    if state.type is FAILED:
        _record_error(span, state)


def _record_error(span: Span, state: State[Any]) -> None:
    from opentelemetry.trace import Status, StatusCode

    span.set_status(Status(StatusCode.ERROR, state.message))
    error = state.data
    if isinstance(error, BaseException):
        span.set_attribute("error.type", type(error).__qualname__)
        span.record_exception(error)
