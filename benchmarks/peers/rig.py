"""What one question is put on: a private server, workers of one system, and a client that sends."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import psutil

from benchmarks.peers.environments import PEERS, interpreter_of
from tests.support.servers import PROGRAMS, ServerProcess, find_program

APPS: Final = Path(__file__).parent / "apps"
OURS: Final = "orchestrator"
BEAT_SECONDS: Final = 1.0
RESTART_SECONDS: Final = 1.0
READY_SECONDS: Final = 60.0
stopping = threading.Event()
"""Set when everything is to end now."""


class Stopped(Exception):
    """Everything is to end now."""


class NotReady(Exception):
    """Something that must be there before the question can be put is not."""


class Note(NamedTuple):
    """One line that a task has written."""

    text: str
    process: int
    worker: int
    time: float


class System(NamedTuple):
    """A task queue with its settings: ``tuned``, or as its documentation gives them (``documented``)."""

    name: str
    settings: str

    @property
    def title(self) -> str:
        return self.name if self.name == OURS else PEERS[self.name].title

    @property
    def interpreter(self) -> Path:
        return Path(sys.executable) if self.name == OURS else interpreter_of(PEERS[self.name])

    def environment(self, url: str) -> dict[str, str]:
        """Of its processes; nothing of ours is inherited."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATOR_")}
        own = {"PEER_URL": url, "PEER_SETTINGS": self.settings, "PYTHONPATH": str(APPS), "PYTHONDONTWRITEBYTECODE": "1"}
        return {**kept, **own, "ORCHESTRATOR_REDIS_URL": url, "RQ_REDIS_URL": url}


class Client:
    """The sending side: a process in the system's environment, see ``apps/client.py``."""

    def __init__(self, system: System, url: str, log: Path) -> None:
        self._log = log.open("ab")
        self._process = subprocess.Popen(
            [str(system.interpreter), str(APPS / "client.py"), f"on_{system.name}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=system.environment(url),
            cwd=log.parent,
            text=True,
            start_new_session=True,
        )

    def ask(self, verb: str, *arguments: object) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([verb, *arguments]) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise NotReady(f"the client has ended: {tail(Path(str(self._log.name)))}")
        return json.loads(answer)

    def close(self) -> None:
        kill_session(self._process)
        self._log.close()


class Worker:
    """One worker of two processes, however many commands that takes; a command that ends is started again.

    That is what a service manager does, and some systems count on it.
    """

    def __init__(self, commands: list[list[str]], environment: dict[str, str], log: Path) -> None:
        self._commands, self._environment = commands, environment
        self._log = log.open("ab")
        self._ended: dict[int, float] = {}
        self.restarts = 0
        self.processes = [self._start(command) for command in commands]

    def _start(self, command: list[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["sh", "-c", 'WORKER=$$ exec "$@"', "sh", *command],  # its descendants know whose they are
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            env=self._environment,
            cwd=Path(str(self._log.name)).parent,
            start_new_session=True,
        )

    def keep(self) -> None:
        """Start again what has ended for a second."""
        for place, process in enumerate(self.processes):
            if process.poll() is None:
                continue
            ended = self._ended.setdefault(place, time.monotonic())
            if time.monotonic() - ended >= RESTART_SECONDS:
                del self._ended[place]
                self.restarts += 1
                self.processes[place] = self._start(self._commands[place])

    def kill(self) -> None:
        """SIGKILL to every process of it; none is started again."""
        processes, self.processes = self.processes, []
        for process in processes:
            kill_session(process)
        self._log.close()


def kill_session(leader: subprocess.Popen[Any]) -> None:
    """SIGKILL to a process, its descendants, and all of its session; children may lead sessions of their own."""
    below: list[psutil.Process] = []
    with contextlib.suppress(psutil.NoSuchProcess):
        below = psutil.Process(leader.pid).children(recursive=True)
    leader.kill()
    for process in below:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    for pid in psutil.pids():
        with contextlib.suppress(OSError):
            if os.getsid(pid) == leader.pid:
                os.kill(pid, signal.SIGKILL)
    leader.wait()


def server_program() -> Path:
    """The first that this machine has; every system is asked on the same."""
    return next(found for found in map(find_program, PROGRAMS) if found is not None)


def server_version() -> str:
    """Its name and version."""
    told = subprocess.check_output([str(server_program()), "--version"], text=True)
    found = re.search(r"(\w+) server v=([\d.]+)", told)
    return f"{found[1]} {found[2]}" if found else told.strip()


def tail(log: Path) -> str:
    return log.read_text(errors="replace")[-1500:]


class Rig:
    """All of it, for one question; a context manager."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.folder = Path(tempfile.mkdtemp(prefix=f"peer-{system.name}-"))
        self.workers: list[Worker] = []
        self.beats = 0
        self._last_beat = 0.0

    def __enter__(self) -> Rig:
        try:
            self.server = ServerProcess(server_program(), tcp=True).start()
            self.client = Client(self.system, f"{self.server.tcp_url}/0", self.folder / "client.log")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        for worker in self.workers:
            worker.kill()
        for part in ("client", "server"):
            if hasattr(self, part):
                getattr(self, part).close()
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- workers -------------------------------------------------------------------------------------------------

    def start_worker(self, url: str | None = None) -> Worker:
        name = f"w{len(self.workers)}"
        environment = self.system.environment(url or f"{self.server.tcp_url}/0")
        log = self.folder / f"{name}.log"
        self.workers.append(Worker(self.client.ask("worker", name), environment, log))
        return self.workers[-1]

    def warm_up(self) -> None:
        """Until every command of every worker has run a call, and all that was sent is done.

        Raises:
            NotReady: not within a minute.
        """
        started = {process.pid for worker in self.workers for process in worker.processes}
        sent: list[str] = []

        def ready() -> bool:
            if started <= {note.worker for note in self.notes("warm")}:
                return True
            if sum(self.state(call) != "done" for call in sent[-8:]) < 4:
                sent.append(self.send("note", "warm", "warm", 0.2))
            return False

        def finished() -> bool:
            return all(self.state(call) == "done" for call in sent)

        for reached in (ready, finished):
            if not self.watch(reached, READY_SECONDS):
                logs = "\n".join(tail(log) for log in self.folder.glob("*.log"))
                raise NotReady(f"not ready within {READY_SECONDS:g} s\n{logs}")

    # -- calls ---------------------------------------------------------------------------------------------------

    def send(self, task: str, file: str, *arguments: object) -> str:
        """The id of a call of one of the tasks that write into a file."""
        return str(self.client.ask("send", task, str(self.folder / file), *arguments))

    def state(self, call: str) -> str:
        return str(self.client.ask("state", call))

    def notes(self, file: str) -> list[Note]:
        """What tasks have written there."""
        path = self.folder / file
        lines = [line.rsplit(" ", 3) for line in path.read_text().splitlines()] if path.exists() else []
        return [Note(text, int(process), int(worker), float(at)) for text, process, worker, at in lines]

    # -- time ----------------------------------------------------------------------------------------------------

    def watch(self, predicate: Callable[[], object], seconds: float, *, beating: bool = False) -> bool:
        """Look until something is true, at most so long; whether it is. Workers that end are started again.

        Args:
            beating: send a small call a second meanwhile, as a system in use gets them.

        Raises:
            Stopped: everything is to end.
        """
        deadline = time.monotonic() + seconds
        while not (reached := bool(predicate())) and time.monotonic() < deadline:
            for worker in self.workers:
                worker.keep()
            if beating and time.monotonic() - self._last_beat >= BEAT_SECONDS:
                self._last_beat = time.monotonic()
                self.beats += 1
                self.send("note", "beats", f"beat-{self.beats}")
            if stopping.wait(0.05):
                raise Stopped("the time for all questions is over")
        return reached
