"""What is measured: a task queue in its environment, its client process and its workers, on one private server."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from benchmarks.peers.environments import PEERS, folder_of, interpreter_of, missing_for
from benchmarks.peers.rig import OURS, NotReady, kill_session, server_program, tail
from benchmarks.speed.proc import members
from brokers.embedded.keeper import server_command
from tests.support.servers import ServerProcess

APPS: Final = Path(__file__).parent / "apps"
BARE: Final = "limit"
BARE_TITLE: Final = "bare limit"
SYSTEMS: Final = (OURS, *PEERS)
ANSWER_SECONDS: Final = 90.0
STOP_SECONDS: Final = 1.0
NOTICE_SECONDS: Final = 0.2  # until the server has seen that the connections of a killed process are gone


def title_of(name: str) -> str:
    """A system's name for people.

    >>> title_of("rq"), title_of("limit")
    ('RQ', 'bare limit')
    """
    return PEERS[name].title if name in PEERS else BARE_TITLE if name == BARE else name


def missing_on_this_machine() -> dict[str, str]:
    """The systems that cannot be measured here, and why."""
    return {name: lacking for name in SYSTEMS if name in PEERS and (lacking := missing_for(PEERS[name]))}


def start_server() -> ServerProcess:
    """A server with the settings of our private one (append-only file, synced every second), on a free TCP port."""
    command = server_command("", "", "")[1:]
    options = dict(zip(command[::2], command[1::2], strict=True))
    for ours in ("--port", "--unixsocket", "--unixsocketperm", "--dir"):
        options.pop(ours)
    return ServerProcess(server_program(), *(word for pair in options.items() for word in pair), tcp=True).start()


class Contestant:
    """One task queue with an empty database of its own; a context manager. Ends what it has started.

    Args:
        name: one of :data:`SYSTEMS`.
        server: where its database is.
        launcher: words before the client's command, such as a profiler's.
    """

    def __init__(self, name: str, server: ServerProcess, launcher: tuple[str, ...] = ()) -> None:
        self.name = name
        self.database = SYSTEMS.index(name) + 1
        self.url = f"{server.tcp_url}/{self.database}"
        self._server = server
        self._interpreter = Path(sys.executable) if name == OURS else interpreter_of(PEERS[name])
        self._on_node = name in PEERS and PEERS[name].kind == "npm"
        self._program = "client.mjs" if self._on_node else "client.py"
        self._launcher = launcher
        self._folder = Path(tempfile.mkdtemp(prefix=f"speed-{name}-"))
        self._workers: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Contestant:
        self._empty()
        self._log = (self._folder / "client.log").open("ab")
        self.client = subprocess.Popen(
            [*(self._launcher or (str(self._interpreter),)), str(APPS / self._program), f"on_{self.name}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=self.environment,
            cwd=self._folder,
            text=True,
            start_new_session=True,
        )
        return self

    def __exit__(self, *exc_info: object) -> None:
        for worker in self._workers:
            kill_session(worker)
        kill_session(self.client)
        self._log.close()
        self._empty()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _empty(self) -> None:
        with self._server.client(db=self.database) as client:
            client.flushdb()

    @property
    def environment(self) -> dict[str, str]:
        """Of its processes: only where the server is; nothing of ours is inherited."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATOR_")}
        own = {"PEER_URL": self.url, "ORCHESTRATOR_REDIS_URL": self.url, "RQ_REDIS_URL": self.url}
        if self._on_node:
            return {**kept, **own, "NODE_PATH": str(folder_of(PEERS[self.name]) / "node_modules")}
        return {**kept, **own, "PYTHONPATH": str(APPS)}

    def ask(self, verb: str, *arguments: object) -> Any:
        """Put one question to the client (see ``apps/client.py``).

        Raises:
            NotReady: it could not answer, or not in time.
        """
        assert self.client.stdin is not None
        assert self.client.stdout is not None
        self.client.stdin.write(json.dumps([verb, *arguments]) + "\n")
        self.client.stdin.flush()
        ready, _, _ = select.select([self.client.stdout], [], [], ANSWER_SECONDS)
        line = self.client.stdout.readline() if ready else ""
        if not line:
            raise NotReady(f"{verb}: no answer\n{self._logs()}")
        answer = json.loads(line)
        if isinstance(answer, dict) and "error" in answer:
            raise NotReady(f"{verb}: {answer['error']}\n{self._logs()}")
        return answer

    def _logs(self) -> str:
        return "\n".join(f"{log.name}: {tail(log)}" for log in sorted(self._folder.glob("*.log")))

    # -- workers ---------------------------------------------------------------------------------------------------

    def start_workers(self, processes: int, one_at_a_time: bool = False) -> None:
        """Start a worker of so many processes; returns at once."""
        for number, command in enumerate(self.ask("worker", processes, one_at_a_time)):
            with (self._folder / f"worker-{len(self._workers)}-{number}.log").open("ab") as log:
                self._workers.append(
                    subprocess.Popen(
                        command,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        env=self.environment,
                        cwd=self._folder,
                        start_new_session=True,
                    )
                )

    def stop_workers(self) -> None:
        """Ask them to end, and kill what is left.

        In peace if possible: the server would give the next call to a connection whose process was just killed.
        """
        workers, self._workers = self._workers, []
        for worker in workers:
            worker.terminate()
        for worker in workers:
            with suppress(subprocess.TimeoutExpired):
                worker.wait(STOP_SECONDS)
            kill_session(worker)
        if workers:
            time.sleep(NOTICE_SECONDS)

    def worker_processes(self) -> list[int]:
        """Process ids of the workers, those that only watch over others first."""
        return [pid for worker in self._workers for pid in members(worker.pid)]

    def leaders(self) -> list[int]:
        """Process ids of the commands that were started."""
        return [worker.pid for worker in self._workers]

    @contextmanager
    def held(self) -> Iterator[None]:
        """In the block the workers stand still (SIGSTOP): what is sent waits, as if nobody were there."""
        pids = self.worker_processes()
        for pid in pids:
            with suppress(ProcessLookupError):  # RQ's processes live for one call
                os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in reversed(pids):  # children before those who watch them
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
