"""Spans of senders and workers, in processes of their own, as a collector would see them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.client.fleet import Fleet
from tests.support import app_for_workers as plain
from tests.support.worker_process import ROOT, StartWorker
from tests.tracing.conftest import Client, Span, SpanFile

pytestmark = [pytest.mark.behaviour, pytest.mark.needs_server]
APP = "tests.support.app_traced"
Shared = tuple[Client, SpanFile]


def sent(spans: list[Span]) -> Span:
    (span,) = [span for span in spans if span["kind"] == "PRODUCER"]
    return span


def id_of(producer: Span) -> str:
    return str(producer["attributes"]["messaging.message.id"])


def test_a_submitted_run_is_a_child_of_the_span_that_sent_it(shared: Shared) -> None:
    client, spans = shared
    found = client('with tracer.start_as_current_span("request"):\n    assert app.add.submit(1, 2).result() == 3')
    producer, (request,) = sent(found), [span for span in found if span["name"] == "request"]
    run = spans.run(id_of(producer))
    (inner,) = spans.wait(1, name="adding", trace=producer["trace"])
    assert producer["parent"] == request["span"]
    assert (run["trace"], run["parent"], run["links"]) == (producer["trace"], producer["span"], [])
    assert (inner["trace"], inner["parent"]) == (run["trace"], run["span"])
    common = {
        "messaging.system": "orchestrator",
        "messaging.destination.name": "default",
        "messaging.message.id": id_of(producer),
        "orchestrator.task": f"{APP}.add",
    }
    sending = {"messaging.operation.name": "send", "messaging.operation.type": "send"}
    processing = {"messaging.operation.name": "process", "messaging.operation.type": "process"}
    outcome = {"orchestrator.run_count": 1, "orchestrator.state": "Completed"}
    assert (producer["name"], producer["attributes"]) == ("send default", {**common, **sending})
    assert (run["name"], run["attributes"]) == ("process default", {**common, **processing, **outcome})


def test_a_delayed_run_begins_a_trace_and_is_linked_to_its_sender(shared: Shared) -> None:
    client, spans = shared
    producer = sent(client("app.add.delay(1, 2)"))
    run = spans.run(id_of(producer))
    assert run["trace"] != producer["trace"]
    assert run["parent"] is None
    assert run["links"] == [f"{producer['trace']} {producer['span']}"]


def test_a_map_is_one_span_and_its_runs_are_children(shared: Shared) -> None:
    client, spans = shared
    producer = sent(client("assert app.add.map(range(20), 1).result() == list(range(1, 21))"))
    runs = spans.wait(20, kind="CONSUMER", trace=producer["trace"])
    assert producer["attributes"]["messaging.batch.message_count"] == 20
    assert "messaging.message.id" not in producer["attributes"]
    assert {run["parent"] for run in runs} == {producer["span"]}
    assert len({run["attributes"]["messaging.message.id"] for run in runs}) == 20


def test_calls_from_and_on_event_loops_are_traced_alike(shared: Shared) -> None:
    client, spans = shared
    code = """
import asyncio
async def main():
    with tracer.start_as_current_span("request"):
        future = await app.add_async.asubmit(1, 2)
        await app.add_async.adelay(3, 4)
        assert await future == 3
asyncio.run(main())
"""
    submitted, delayed = (span for span in client(code) if span["kind"] == "PRODUCER")
    child, linked = spans.run(id_of(submitted)), spans.run(id_of(delayed))
    assert (child["trace"], child["parent"]) == (submitted["trace"], submitted["span"])
    assert linked["links"] == [f"{delayed['trace']} {delayed['span']}"]
    for run in (child, linked):
        assert [inner["parent"] for inner in spans.wait(1, name="adding", trace=run["trace"])] == [run["span"]]


def test_calls_that_a_task_makes_belong_to_its_trace(shared: Shared) -> None:
    client, spans = shared
    producer = sent(client("assert app.relay.submit(1).result() == 2"))
    inner, outer = spans.wait(2, kind="CONSUMER", trace=producer["trace"])
    (nested,) = spans.wait(1, kind="PRODUCER", trace=producer["trace"])
    assert (outer["parent"], nested["parent"], inner["parent"]) == (producer["span"], outer["span"], nested["span"])


def test_errors_are_those_of_the_span_and_every_attempt_has_one(shared: Shared) -> None:
    client, spans = shared
    producer = sent(client("app.refuse.submit().result(raise_on_failure=False)"))
    first, second = spans.wait(2, kind="CONSUMER", trace=producer["trace"])
    assert [span["attributes"]["orchestrator.state"] for span in (first, second)] == ["AwaitingRetry", "Failed"]
    assert [span["attributes"]["orchestrator.run_count"] for span in (first, second)] == [1, 2]
    for span in (first, second):
        assert (span["status"], span["events"]) == ("ERROR", ["exception"])
        assert span["attributes"]["error.type"] == "LookupError"


def test_a_call_that_cannot_be_sent_leaves_a_span_with_the_error(shared: Shared) -> None:
    client, _ = shared
    producer = sent(client("try:\n    app.add.delay(lambda: 1, 2)\nexcept Exception:\n    pass"))
    assert (producer["status"], producer["events"]) == ("ERROR", ["exception"])


def test_spans_that_wait_are_handed_over_before_a_child_ends(
    own_client: Client, start_worker: StartWorker, spans: SpanFile
) -> None:
    worker = start_worker("-c", "1", app=APP, ready=1, SPANS=str(spans.path), SPANS_BATCHED="1")
    own_client("assert app.add.submit(1, 2).result() == 3")
    assert spans.read() == []
    worker.terminate()
    assert worker.wait() == 0
    assert {span["name"] for span in spans.read()} == {"process default", "adding"}


def test_a_traced_worker_with_a_key_runs_signed_calls_with_their_trace_and_others_without(
    own_client: Client,
    fleet: Fleet,
    start_worker: StartWorker,
    spans: SpanFile,
    worker_environment: dict[str, str],
) -> None:
    worker_environment["ORCHESTRATOR_SECRET_KEY"] = "k" * 32
    worker = start_worker("-c", "1", "-A", plain.__name__, app=APP, ready=1, SPANS=str(spans.path))
    producer = sent(own_client("assert app.add.submit(1, 2).result() == 3"))
    assert spans.run(id_of(producer))["parent"] == producer["span"]
    without = plain.add.delay(1, 2)
    assert without.wait(20) is None
    run = spans.run(without.run_id)
    assert (run["parent"], run["links"]) == (None, [])
    assert "Traceback" not in worker.output


def test_a_worker_without_tracing_runs_what_traced_senders_send(own_client: Client, start_worker: StartWorker) -> None:
    worker = start_worker("-c", "1", app=APP, ready=1)
    assert sent(own_client("assert app.current.submit().result() == '0' * 32"))["status"] == "UNSET"
    assert "Traceback" not in worker.output


def test_where_opentelemetry_is_not_installed_calls_are_sent_and_run(
    fleet: Fleet, start_worker: StartWorker, worker_environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "opentelemetry.py").write_text("raise ImportError('it is not installed')\n")
    worker_environment["PYTHONPATH"] = str(tmp_path)
    worker = start_worker("-c", "1", ready=1)
    code = "from tests.support.app_for_workers import add; print(add.submit(1, 2).result(), add.delay(1, 2).result())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=worker_environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout.strip(), done.stderr) == ("3 3", "")
    assert "Traceback" not in worker.output


def test_as_long_as_no_provider_is_set_nobody_wants_spans(worker_environment: dict[str, str]) -> None:
    code = """
from orchestrator.observability.tracing.sending import is_wanted
before = is_wanted()
from opentelemetry import trace
imported = is_wanted()
from opentelemetry.sdk.trace import TracerProvider
trace.set_tracer_provider(TracerProvider())
print(before, imported, is_wanted())
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=ROOT, env=worker_environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.split() == ["False", "False", "True"], done.stderr
