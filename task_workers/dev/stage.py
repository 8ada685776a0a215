"""Starts the parts of an application, renews them when its files change, and ends them with itself."""

from __future__ import annotations

import importlib.util
import queue
import re
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from orchestrator.fleet import Fleet
from task_workers.banner import server_name
from task_workers.dev.parts import Part, say
from task_workers.dev.target import Target

MARGIN_SECONDS: Final = 3.0  # above the time that a worker takes for its running calls
LOOK_UP_SECONDS: Final = 0.5
READY: Final = re.compile(r"\bready\b")  # in the output of a worker that has begun, Celery's too
WEB_GRACE_SECONDS: Final = 2  # open event streams do not hold the end up for longer


@dataclass(frozen=True, slots=True)
class Wishes:
    """What ``orchestrator dev`` was asked for. A port 0 means: any free one."""

    host: str = "127.0.0.1"
    port: int = 8000
    dashboard_port: int = 4200
    dashboard: bool = True
    processes: int = 2
    threads: int = 4
    queues: str | None = None
    reload: bool = True
    watch: tuple[Path, ...] = ()  # beside the application's own directory


class Event(NamedTuple):
    """Something has happened: ``stop``, ``changed`` (what), ``ready`` (which part), ``ended`` (which part, how)."""

    what: str
    text: str = ""
    part: Part | None = None
    code: int = 0


class Stage:
    """One application with everything that it needs.

    Args:
        fleet: whose store is used; the private server lives as long as it.
        target: the application.
        wishes: ports and numbers.
    """

    def __init__(self, fleet: Fleet, target: Target, wishes: Wishes) -> None:
        self._fleet, self._target, self._wishes = fleet, target, wishes
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._urls: list[tuple[str, str]] = []
        self._stopping = False
        self._watching = False
        self._parts = list(self._made())

    def _made(self) -> Iterator[Part]:
        wishes, target = self._wishes, self._target
        apps = [word for app in target.apps for word in ("-A", app)]
        queues = ["-Q", wishes.queues] if wishes.queues else []
        numbers = ["-c", str(wishes.processes), "--threads", str(wishes.threads)]
        yield self._part("worker", "-m", "orchestrator", "worker", *apps, *queues, *numbers)
        if target.web is not None:
            yield from self._web_parts(target.web.name, target.web.root)
        if wishes.dashboard and importlib.util.find_spec("task_workers.cli.server") is not None:
            port = str(wishes.dashboard_port or free_port(wishes.host))
            self._urls.append(("dashboard", f"http://{wishes.host}:{port}"))
            where = ["--host", wishes.host, "--port", port]
            yield self._part("dashboard", "-m", "orchestrator", "server", "start", *apps, *where)

    def _web_parts(self, name: str, root: Path) -> Iterator[Part]:
        wishes = self._wishes
        if importlib.util.find_spec("uvicorn") is None:
            return say("dev", f"{name} is not served: pip install 'orchestrator[web]'")
        port = str(wishes.port or free_port(wishes.host))
        self._urls.append(("app", f"http://{wishes.host}:{port}"))
        reload = ["--reload", "--reload-dir", str(root)] if wishes.reload else []
        where = ["--app-dir", str(root), "--host", wishes.host, "--port", port]
        grace = ["--timeout-graceful-shutdown", str(WEB_GRACE_SECONDS)]
        yield self._part("app", "-m", "uvicorn", name, *where, *grace, *reload)

    def _part(self, name: str, *command: str) -> Part:
        return Part(
            name,
            command,
            self._hear,
            lambda part, code: self._events.put(Event("ended", part=part, code=code)),
        )

    def _hear(self, part: Part, line: str) -> None:
        if not part.ready and READY.search(line):
            part.ready = True
            self._events.put(Event("ready", part=part))

    # -- the whole life ------------------------------------------------------------------------------------------

    def run(self) -> int:
        """Everything until Ctrl-C; returns the exit code. In the main thread.

        Raises:
            BrokerError: the server does not answer.
        """
        self._fleet.broker.wires.commands([("PING",)])
        self._watching = self._wishes.reload and self._watch()
        with self._signals():
            self._tell()
            for part in self._parts:
                part.start()
            code: int | None = None
            while code is None:
                code = self._next()
            self._end()
        return code

    def _tell(self) -> None:
        say("dev", f"store      {server_name(self._fleet)}")
        say("dev", f"worker     {self._target}, {self._wishes.processes} processes of {self._wishes.threads} threads")
        for name, url in self._urls:
            say("dev", f"{name:<10} {url}")
        reload = "new code is taken when a file is saved" if self._watching else "no reload"
        say("dev", f"Ctrl-C ends it; {reload}")

    def _next(self) -> int | None:
        """Obey one event; the exit code when that was the last."""
        try:
            event = self._events.get(timeout=LOOK_UP_SECONDS)
        except queue.Empty:
            return None
        if event.what == "stop":
            return 0
        if event.what == "changed":
            self._renew(event.text)
        if event.what == "ready" and event.part is not None and event.part.outdated:
            self._renew_worker(event.part)
        if event.what == "ended" and event.part is not None and not event.part.lives:
            return self._obituary(event.part, event.code)
        return None

    def _obituary(self, part: Part, code: int) -> int | None:
        say("dev", f"{part.name} has ended with exit code {code}")
        if part.outdated:  # it was started with code of before: it may do better now
            part.start()
        elif not self._watching and part.name == "worker":
            return 1
        return None

    def _renew(self, what: str) -> None:
        say("dev", what)
        for part in self._parts:
            if not part.lives:
                part.start()  # it could not begin, or has died: perhaps it can now
            elif part.name == "worker":
                self._renew_worker(part)

    def _renew_worker(self, part: Part) -> None:
        """Its children are replaced, and finish what they run. One that is still beginning would die of the signal."""
        part.outdated = not part.ready
        if part.ready:
            part.signal(signal.SIGHUP)

    def _end(self) -> None:
        """The parts in order, the worker last: what the others have sent is on its way to it. A second signal kills."""
        self._stopping = True
        deadline = time.monotonic() + self._fleet.settings.shutdown_timeout_seconds + MARGIN_SECONDS
        for part in reversed(self._parts):
            part.signal(signal.SIGTERM)
        while any(part.lives for part in self._parts) and time.monotonic() < deadline:
            try:
                if self._events.get(timeout=0.1).what == "stop":
                    break
            except queue.Empty:
                continue
        for part in self._parts:
            if part.lives:
                say("dev", f"{part.name} is killed")
            part.kill()
        say("dev", "all has ended")

    # -- what happens --------------------------------------------------------------------------------------------

    @contextmanager
    def _signals(self) -> Iterator[None]:
        wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, lambda *_: self._events.put(Event("stop"))) for number in wanted}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _watch(self) -> bool:
        """Hear of changed files; whether that is possible."""
        if importlib.util.find_spec("watchfiles") is None:
            say("dev", "files are not watched: pip install 'orchestrator[reload]'")
            return False
        from task_workers.reload import watch_files

        folders = [*self._target.folders, *self._wishes.watch]
        watch_files(lambda what: self._events.put(Event("changed", what)), folders)
        return True


def free_port(host: str) -> int:
    """A port that nobody listens on at this moment.

    >>> free_port("127.0.0.1") > 0
    True
    """
    with socket.socket() as listener:
        listener.bind((host, 0))
        port: int = listener.getsockname()[1]
        return port
