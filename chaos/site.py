"""What the soak runs on: a server of its own with an append-only file, a proxy, two workers of two children each."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Final

import redis

from chaos.tasks import TRACES
from tests.support.fault_proxy import FaultProxy
from tests.support.servers import PROGRAMS, ServerProcess, find_program
from tests.support.waiting import wait_until

ROOT: Final = Path(__file__).parents[1]
CHILDREN: Final = 2
LEASE_SECONDS: Final = 2.0
SETTINGS: Final = {
    "lease_seconds": LEASE_SECONDS,
    "beat_seconds": 0.5,
    "kill_grace_seconds": 0.5,
    "max_deliveries": 50,
    "result_ttl_seconds": 3600.0,
}


class LastingServer(ServerProcess):
    """A server that keeps every confirmed write when it is killed."""

    def __init__(self, *options: str) -> None:
        program = next(found for found in map(find_program, PROGRAMS) if found is not None)
        super().__init__(program, "--appendonly", "yes", *(options or ("--appendfsync", "always")))

    def end_gently(self) -> None:
        """SIGTERM."""
        process, self._process = self._process, None
        assert process is not None
        process.terminate()
        process.wait()


class Worker:
    """A supervisor with children; started again when it is gone.

    Args:
        name: for people and files.
        folder: for its log.
        environment: of its process.
        app: the module of its tasks.
        queues: which it reads.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        environment: dict[str, str],
        *,
        app: str = "chaos.tasks",
        queues: str = "default",
    ) -> None:
        self._name, self._environment, self._app, self._queues = name, environment, app, queues
        self.log = folder / f"{name}.log"
        self._file = self.log.open("ab")
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "orchestrator",
                "worker",
                "-A",
                self._app,
                "-Q",
                self._queues,
                "-c",
                str(CHILDREN),
                "-n",
                self._name,
            ],
            stdin=subprocess.DEVNULL,
            stdout=self._file,
            stderr=self._file,
            env=self._environment,
            cwd=ROOT,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def children(self) -> list[int]:
        """Its living child processes."""
        try:
            listed = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        except OSError:
            listed = subprocess.run(["pgrep", "-P", str(self.pid)], capture_output=True, text=True, check=False).stdout
        return [int(pid) for pid in listed.split()]

    def ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def signal_all(self, signum: signal.Signals) -> None:
        """To the supervisor and its children, each of which leads a group of its own."""
        for leader in (self.pid, *self.children()):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(leader, signum)

    def told(self, pattern: str) -> list[str]:
        """What its log says of something."""
        return re.findall(pattern, self.log.read_text(errors="replace"))

    def wait(self, seconds: float) -> int | None:
        """Its exit code, ``None`` when it does not end in time."""
        assert self.process is not None
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def close(self) -> None:
        self.signal_all(signal.SIGKILL)
        if self.process is not None:
            self.process.wait()
        self._file.close()


class Site:
    """All of it; a context manager. One worker speaks to the server directly, the other through the proxy."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.traces = folder / "traces"
        self.namespace = "chaos"
        self._keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)
        self._closing = threading.Event()

    def __enter__(self) -> Site:
        self.traces.mkdir(parents=True)
        self.server = LastingServer()
        self.server.start()
        self.proxy = FaultProxy(self.server.url)
        self.proxy.__enter__()
        self.workers = [Worker(f"w{i}", self.folder, self._environment(url)) for i, url in enumerate(self._urls())]
        self._keeper.start()
        return self

    def _urls(self) -> list[str]:
        return [self.server.url, self.proxy.url]

    def _environment(self, url: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATOR_")}
        settings = {f"ORCHESTRATOR_{name.upper()}": str(value) for name, value in SETTINGS.items()}
        return {
            **kept,
            **settings,
            TRACES: str(self.traces),
            "ORCHESTRATOR_REDIS_URL": url,
            "ORCHESTRATOR_NAMESPACE": self.namespace,
            "ORCHESTRATOR_LOG_LEVEL": "warning",
        }

    def _keep(self) -> None:
        """What an init system does: a worker that is gone comes back."""
        while not self._closing.wait(0.2):
            for worker in self.workers:
                if worker.ended():
                    worker.start()

    def wait_ready(self) -> None:
        """Until all children work."""

        def ready() -> bool:
            with self.client() as client:
                keys = client.keys(f"{{{self.namespace}}}:worker:*")
                return len(keys) >= CHILDREN * len(self.workers)

        wait_until(ready, 40, "the workers are ready")

    def client(self) -> redis.Redis:
        return self.server.client()

    def stop_workers(self) -> list[int | None]:
        """In peace; their exit codes."""
        self._closing.set()
        self._keeper.join()
        for worker in self.workers:
            assert worker.process is not None
            worker.process.terminate()
        deadline = time.monotonic() + 40
        return [worker.wait(max(0.1, deadline - time.monotonic())) for worker in self.workers]

    def __exit__(self, *exc_info: object) -> None:
        self._closing.set()
        self._keeper.join(5)
        for worker in self.workers:
            worker.close()
        self.proxy.__exit__(None, None, None)
        self.server.close()
