"""The span in which calls are sent, and what of it travels with them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from brokers.version import __version__
from orchestrator.observability.tracing import API, SYSTEM

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer


def is_wanted() -> bool:
    """Whether somebody in this process collects spans: the module is there, and a provider was set."""
    trace = sys.modules.get(API)
    # The public way costs two microseconds while nothing is set; redis-py may have loaded the module for itself.
    if trace is None or getattr(trace, "_TRACER_PROVIDER", trace) is None:
        return False
    # Another thread may be importing it at this moment: it has no functions yet, and nobody has set a provider.
    ask, proxy = getattr(trace, "get_tracer_provider", None), getattr(trace, "ProxyTracerProvider", None)
    return ask is not None and proxy is not None and not isinstance(ask(), proxy)


def tracer() -> Tracer:
    """Ours, of the provider that is set up now."""
    from opentelemetry import trace

    return trace.get_tracer("orchestrator", __version__)


def flush(timeout_seconds: float) -> None:
    """Hand over the spans that wait to be collected, where a provider can be asked to: this process ends at once."""
    if is_wanted():
        from opentelemetry import trace

        send = getattr(trace.get_tracer_provider(), "force_flush", None)
        if send is not None:
            send(int(timeout_seconds * 1000))


class Sending:
    """The span around sending, while it is open.

    Args:
        span: it.
        linked: whether runs are linked to it rather than its children.
    """

    def __init__(self, span: Span, linked: bool) -> None:
        self._span, self._linked = span, linked

    def meta(self) -> list[Any] | None:
        """What travels in the meta of each call: W3C traceparent, tracestate, whether it is a link."""
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        carrier: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(carrier)
        if "traceparent" not in carrier:
            return None
        return [carrier["traceparent"], carrier.get("tracestate", ""), self._linked]

    def sent(self, run_id: str) -> None:
        """The only call has this id."""
        self._span.set_attribute("messaging.message.id", run_id)


@contextmanager
def sending(task_key: str, queue: str, *, linked: bool, count: int | None = None) -> Iterator[Sending]:
    """A producer span around the block; an error in it is the span's.

    Args:
        task_key: whose calls.
        queue: where they go.
        linked: whether nobody here waits for them, so that each run has a trace of its own.
        count: how many calls one map sends; ``None`` for a single call.
    """
    from opentelemetry.trace import SpanKind

    attributes: dict[str, str | int] = {
        "messaging.system": SYSTEM,
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": queue,
        "orchestrator.task": task_key,
    }
    if count is not None:
        attributes["messaging.batch.message_count"] = count
    with tracer().start_as_current_span(f"send {queue}", kind=SpanKind.PRODUCER, attributes=attributes) as span:
        yield Sending(span, linked)
