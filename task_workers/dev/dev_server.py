"""Starts the processes of an application, reloads them when its files change, and stops them at its own end."""

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

from orchestrator.client.fleet import Fleet
from task_workers.banner import server_name
from task_workers.dev.app_process import AppProcess, say
from task_workers.dev.target import Target

MARGIN_SECONDS: Final = 3.0  # above the time that a worker takes for its running calls
POLL_SECONDS: Final = 0.5
READY: Final = re.compile(r"\bready\b")  # in the output of a worker that has begun, Celery's too
WEB_GRACE_SECONDS: Final = 2  # open event streams do not hold the end up for longer


@dataclass(frozen=True, slots=True)
class DevOptions:
    """Options of ``orchestrator dev``. Port 0: any free one."""

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
    """An event: ``stop``, ``changed`` (what), ``ready`` (which process), ``ended`` (which process, exit code)."""

    what: str
    text: str = ""
    process: AppProcess | None = None
    code: int = 0


class DevServer:
    """Runs one application with its worker, web server and dashboard.

    Args:
        fleet: the fleet whose store is used; a private server lives as long as it.
        target: the application.
        options: ports and numbers.
    """

    def __init__(self, fleet: Fleet, target: Target, options: DevOptions) -> None:
        self._fleet, self._target, self._options = fleet, target, options
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._urls: list[tuple[str, str]] = []
        self._stopping = False
        self._watching = False
        self._processes = list(self._make_processes())

    def _make_processes(self) -> Iterator[AppProcess]:
        options, target = self._options, self._target
        apps = [word for app in target.apps for word in ("-A", app)]
        queues = ["-Q", options.queues] if options.queues else []
        numbers = ["-c", str(options.processes), "--threads", str(options.threads)]
        yield self._process_named("worker", "-m", "orchestrator", "worker", *apps, *queues, *numbers)
        if target.web is not None:
            yield from self._web_processes(target.web.name, target.web.root)
        if options.dashboard and importlib.util.find_spec("task_workers.cli.server") is not None:
            port = str(options.dashboard_port or free_port(options.host))
            self._urls.append(("dashboard", f"http://{options.host}:{port}"))
            where = ["--host", options.host, "--port", port]
            yield self._process_named("dashboard", "-m", "orchestrator", "server", "start", *apps, *where)

    def _web_processes(self, name: str, root: Path) -> Iterator[AppProcess]:
        options = self._options
        if importlib.util.find_spec("uvicorn") is None:
            return say("dev", f"{name} is not served: pip install 'orchestrator[web]'")
        port = str(options.port or free_port(options.host))
        self._urls.append(("app", f"http://{options.host}:{port}"))
        reload = ["--reload", "--reload-dir", str(root)] if options.reload else []
        where = ["--app-dir", str(root), "--host", options.host, "--port", port]
        grace = ["--timeout-graceful-shutdown", str(WEB_GRACE_SECONDS)]
        yield self._process_named("app", "-m", "uvicorn", name, *where, *grace, *reload)

    def _process_named(self, name: str, *command: str) -> AppProcess:
        return AppProcess(
            name,
            command,
            self._on_line,
            lambda process, code: self._events.put(Event("ended", process=process, code=code)),
        )

    def _on_line(self, process: AppProcess, line: str) -> None:
        if not process.ready and READY.search(line):
            process.ready = True
            self._events.put(Event("ready", process=process))

    # -- the whole life ------------------------------------------------------------------------------------------

    def run(self) -> int:
        """Run until Ctrl-C; returns the exit code. Main thread only.

        Raises:
            BrokerError: the server does not respond.
        """
        self._fleet.broker.health.ping()
        self._watching = self._options.reload and self._watch()
        with self._signals():
            self._print_summary()
            for process in self._processes:
                process.start()
            code: int | None = None
            while code is None:
                code = self._handle_next()
            self._end()
        return code

    def _print_summary(self) -> None:
        say("dev", f"store      {server_name(self._fleet)}")
        say("dev", f"worker     {self._target}, {self._options.processes} processes of {self._options.threads} threads")
        for name, url in self._urls:
            say("dev", f"{name:<10} {url}")
        reload = "new code is taken when a file is saved" if self._watching else "no reload"
        say("dev", f"Ctrl-C ends it; {reload}")

    def _handle_next(self) -> int | None:
        """Handle one event; returns the exit code if it was the last."""
        try:
            event = self._events.get(timeout=POLL_SECONDS)
        except queue.Empty:
            return None
        if event.what == "stop":
            return 0
        if event.what == "changed":
            self._reload(event.text)
        if event.what == "ready" and event.process is not None and event.process.outdated:
            self._reload_worker(event.process)
        if event.what == "ended" and event.process is not None and not event.process.is_alive:
            return self._on_exit(event.process, event.code)
        return None

    def _on_exit(self, process: AppProcess, code: int) -> int | None:
        say("dev", f"{process.name} has ended with exit code {code}")
        if process.outdated:  # it was started with code of before: it may do better now
            process.start()
        elif not self._watching and process.name == "worker":
            return 1
        return None

    def _reload(self, what: str) -> None:
        say("dev", what)
        for process in self._processes:
            if not process.is_alive:
                process.start()  # it could not begin, or has died: perhaps it can now
            elif process.name == "worker":
                self._reload_worker(process)

    def _reload_worker(self, process: AppProcess) -> None:
        """Replace the worker's children, which finish their calls. A worker that is starting would die of SIGHUP."""
        process.outdated = not process.ready
        if process.ready:
            process.signal(signal.SIGHUP)

    def _end(self) -> None:
        """Stop the processes, the worker last, since the others may still send calls. A second signal kills."""
        self._stopping = True
        deadline = time.monotonic() + self._fleet.settings.shutdown_timeout_seconds + MARGIN_SECONDS
        for process in reversed(self._processes):
            process.signal(signal.SIGTERM)
        while any(process.is_alive for process in self._processes) and time.monotonic() < deadline:
            try:
                if self._events.get(timeout=0.1).what == "stop":
                    break
            except queue.Empty:
                continue
        for process in self._processes:
            if process.is_alive:
                say("dev", f"{process.name} is killed")
            process.kill()
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
        """Watch files for changes; whether that is possible."""
        if importlib.util.find_spec("watchfiles") is None:
            say("dev", "files are not watched: pip install 'orchestrator[reload]'")
            return False
        from task_workers.supervisor.reload import watch_files

        folders = [*self._target.folders, *self._options.watch]
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
