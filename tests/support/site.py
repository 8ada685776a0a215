"""Web applications for tests: a uvicorn process, or one in a thread of this process; and a reader of event streams."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import uvicorn

from tests.support.servers import free_port
from tests.support.waiting import wait_until
from tests.support.worker_process import ROOT


class Site:
    """A uvicorn process.

    Args:
        environment: of the process.
        log: file for its output.
        words: of its command line: the application, and where it is.
        answers: an address that it answers once it is up; ``None``: it is up as soon as it answers anything.
    """

    def __init__(
        self, environment: dict[str, str], log: Path, *words: str, answers: str | None = "/openapi.json"
    ) -> None:
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        self.log = log
        self._address = answers
        command = [sys.executable, "-m", "uvicorn", *words, "--port", str(port)]
        with log.open("wb") as output:
            self.process = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=output, stderr=output)
        wait_until(self._answers, 40, f"{command}")

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return httpx.get(f"{self.url}{self._address or ''}").is_success or self._address is None
        except httpx.TransportError:
            return False

    def close(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def served(app: Any) -> Iterator[str]:
    """The address of an application that a thread of this process serves."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        wait_until(lambda: server.started, 30, "uvicorn serves")
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(20)


class Event(NamedTuple):
    """One event of a stream; a comment has no name."""

    name: str
    id: str
    data: Any


def events_of(answer: httpx.Response) -> Iterator[Event]:
    """The events of a stream as they come, comments among them."""
    assert answer.status_code == 200, answer.read()
    assert answer.headers["content-type"].startswith("text/event-stream")
    name, mark, data = "", "", None
    for line in answer.iter_lines():
        field, _, value = line.partition(": ")
        if line.startswith(":"):
            yield Event("", "", line[1:].strip())
        elif field == "event":
            name = value
        elif field == "id":
            mark = value
        elif field == "data":
            data = json.loads(value)
        elif not line and name:
            yield Event(name, mark, data)
            name, mark, data = "", "", None
