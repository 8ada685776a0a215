"""The tasks of a program whose spans are written to a file, one JSON object per line: ``SPANS`` names it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter, SpanExportResult

from orchestrator import task

BATCHED = os.environ.get("SPANS_BATCHED") == "1"


def plain(span: ReadableSpan) -> dict[str, Any]:
    """A span as plain values."""
    context = span.get_span_context()
    assert context is not None
    return {
        "name": span.name,
        "kind": span.kind.name,
        "trace": f"{context.trace_id:032x}",
        "span": f"{context.span_id:016x}",
        "parent": f"{span.parent.span_id:016x}" if span.parent is not None else None,
        "links": [f"{link.context.trace_id:032x} {link.context.span_id:016x}" for link in span.links],
        "attributes": dict(span.attributes or {}),
        "status": span.status.status_code.name,
        "events": [event.name for event in span.events],
        "state": context.trace_state.to_header(),
    }


class FileExporter(SpanExporter):
    """Writes spans to a file, as other processes would send them to a collector."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with open(os.environ["SPANS"], "a") as file:
            file.writelines(json.dumps(plain(span)) + "\n" for span in spans)
        return SpanExportResult.SUCCESS


def set_up() -> None:
    """Collect the spans of this process."""
    provider = TracerProvider()
    processor = BatchSpanProcessor(FileExporter(), schedule_delay_millis=600_000) if BATCHED else None
    provider.add_span_processor(processor or SimpleSpanProcessor(FileExporter()))
    trace.set_tracer_provider(provider)


if os.environ.get("SPANS"):
    set_up()


@task
def add(a: int, b: int) -> int:
    with trace.get_tracer("app").start_as_current_span("adding"):
        return a + b


@task
async def add_async(a: int, b: int) -> int:
    with trace.get_tracer("app").start_as_current_span("adding"):
        return a + b


@task(retries=1, retry_delay_seconds=0)
def refuse() -> None:
    raise LookupError("nothing is there")


@task
def relay(a: int) -> int:
    return add.submit(a, 1).result(timeout=60)


@task
def current() -> str:
    return f"{trace.get_current_span().get_span_context().trace_id:032x}"
