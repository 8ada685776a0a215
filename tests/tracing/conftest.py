"""A worker whose spans go to a file, and clients as processes of their own: a provider is set once per process."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.behaviour.workers.conftest import fleet, start_worker
from tests.conftest import program_or_skip
from tests.support.servers import ServerProcess
from tests.support.waiting import wait_until
from tests.support.worker_process import QUICK, ROOT, WorkerProcess, clean_environment

__all__ = ["fleet", "start_worker", "worker_environment"]

SDK = Path(sys.prefix) / "spans"  # see the Makefile
Span = dict[str, Any]
Client = Callable[[str], list[Span]]
CLIENT = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
import json
from tests.support import app_traced as app
from tests.support.app_traced import plain

collected = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(collected))
trace.set_tracer_provider(provider)
tracer = trace.get_tracer("client")
{code}
print("SPANS", json.dumps([plain(span) for span in collected.get_finished_spans()]))
"""


@pytest.fixture(scope="session")
def server_program() -> Path:
    """What travels in a call does not depend on the server."""
    return program_or_skip("embedded")


def with_sdk(server: ServerProcess, namespace: str, **more: str) -> dict[str, str]:
    """The environment of a process that finds OpenTelemetry's SDK."""
    if not SDK.exists():
        reason = "no OpenTelemetry SDK in this environment: make setup"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    url = server.url_for(namespace)
    found = {"PYTHONPATH": str(SDK), **more}
    return clean_environment(**QUICK, ORCHESTRATOR_REDIS_URL=url, ORCHESTRATOR_NAMESPACE=namespace, **found)


@pytest.fixture
def worker_environment(server: ServerProcess, namespace: str) -> dict[str, str]:
    """Of a worker of the test's own."""
    return with_sdk(server, namespace)


def run_client(environment: dict[str, str], code: str) -> list[Span]:
    """Run some lines as a traced client; returns its spans."""
    done = subprocess.run(
        [sys.executable, "-c", CLIENT.format(code=code)],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    spans: list[Span] = json.loads(done.stdout.rpartition("SPANS ")[2])
    return spans


@pytest.fixture
def own_client(worker_environment: dict[str, str]) -> Client:
    """A traced client for a worker of the test's own."""
    return lambda code: run_client(worker_environment, code)


class SpanFile:
    """The spans of the worker's processes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[Span]:
        """Those that have ended."""
        text = self.path.read_text() if self.path.exists() else ""
        return [json.loads(line) for line in text.splitlines()]

    def wait(self, count: int, **facts: object) -> list[Span]:
        """Until there are so many with these facts, in the order in which they ended."""

        def found() -> list[Span]:
            return [span for span in self.read() if all(span[name] == value for name, value in facts.items())]

        wait_until(lambda: len(found()) >= count, 20, f"{count} spans with {facts}")
        return found()

    def run(self, run_id: str) -> Span:
        """The only attempt of a run."""

        def found() -> list[Span]:
            return [span for span in self.read() if span["attributes"].get("messaging.message.id") == run_id]

        wait_until(found, 20, f"the span of run {run_id}")
        (span,) = [span for span in found() if span["kind"] == "CONSUMER"]
        return span


@pytest.fixture
def spans(tmp_path: Path) -> SpanFile:
    """Where the spans of a worker of the test's own go."""
    return SpanFile(tmp_path / "spans")


@pytest.fixture(scope="module")
def shared(server: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, SpanFile]]:
    """A traced worker for the module: how to run a traced client of it, and where the worker's spans go."""
    folder, namespace = tmp_path_factory.mktemp("traced"), f"t-{secrets.token_hex(5)}"
    found = SpanFile(folder / "spans")
    environment = with_sdk(server, namespace, SPANS=str(found.path))
    worker = WorkerProcess(folder / "log", environment, "-A", "tests.support.app_traced", "-c", "1")
    worker.wait_ready(1)
    yield (lambda code: run_client({**environment, "SPANS": ""}, code)), found
    worker.close()
    assert "Traceback" not in worker.output, worker.output
