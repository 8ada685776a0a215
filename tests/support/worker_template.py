"""A process that has imported what workers of tests import, and forks one for each request: a start costs no imports.

``python -m tests.support.worker_template celery 7``, where 7 is a socket on which requests come. Importing our packages
opens nothing, starts no thread and reads no environment (tests/house/test_import_is_quiet.py): a fork after the imports
is the same worker as a new Python would be. It ends with whoever has started it, and its workers with it.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
from typing import Any, Final

DIE_WITH_PARENT: Final = 1  # PR_SET_PDEATHSIG
LARGEST: Final = 1 << 17
OURS: Final = ("redis", "orchestrator.flows", "orchestrator.client.fleet", "orchestrator.slots")
CELERY: Final = """
    celery.__main__ celery.bin.celery celery.bin.worker celery.apps.worker celery.worker.worker celery.worker.components
    celery.worker.consumer.consumer celery.worker.request celery.worker.strategy celery.worker.autoscale
    celery.concurrency.prefork celery.concurrency.thread celery.app.trace celery.app.builtins celery.events
    celery.backends.redis celery.loaders.app kombu.transport.pyamqp kombu.transport.redis kombu.asynchronous
    billiard.pool
"""
COMMAND: Final = ("task_workers.cli.worker", "task_workers.logs", "task_workers.supervisor.supervisor")
PRELOADED: Final = {
    "light": (*OURS, "tests.support.light_worker"),
    "celery": (*OURS, *CELERY.split()),
    "worker": (*OURS, *COMMAND),
}
_libc: Final = ctypes.CDLL(None)


def main() -> None:
    kind, connection = sys.argv[1], socket.socket(fileno=int(sys.argv[2]))
    for name in PRELOADED[kind]:
        importlib.import_module(name)
    gc.freeze()
    request = _serve(connection)
    if request is not None:
        _work(kind, request)


def _serve(connection: socket.socket) -> dict[str, Any] | None:
    """Fork for each request; returns the request in the forked process, and nothing at the end of this one."""
    wake, written = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(written)
    parent, reports = os.getpid(), dict[int, int]()
    while True:
        ready, _, _ = select.select([connection, wake], [], [])
        if wake in ready:
            os.read(wake, 4096)
            _report_ended(reports)
        if connection not in ready:
            continue
        message, given, _, _ = socket.recv_fds(connection, LARGEST, 4)
        if not message:
            return None
        child = os.fork()
        if child == 0:
            _become(parent, given, [connection.detach(), wake, written, *reports.values()])
            request: dict[str, Any] = json.loads(message)
            return request
        *streams, report = given
        for each in streams:
            os.close(each)
        os.write(report, b"%d\n" % child)
        reports[child] = report


def _report_ended(reports: dict[int, int]) -> None:
    """Say how those have ended that have."""
    for child in list(reports):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            report = reports.pop(child)
            with contextlib.suppress(BrokenPipeError):  # nobody asks any more
                os.write(report, b"%d\n" % os.waitstatus_to_exitcode(status))
            os.close(report)


def _become(parent: int, given: list[int], others: list[int]) -> None:
    """A process of its own: with the streams that it was given, and without what is the template's."""
    _libc.prctl(DIE_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    *streams, report = given
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    for each in (*streams, report, *others):
        os.close(each)


def _work(kind: str, request: dict[str, Any]) -> None:
    """Go on as the program that was asked for; it ends as programs end."""
    if request["new_session"]:
        os.setsid()
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    elsewhere = [entry for entry in sys.path if entry not in ("", root)]
    python_path = request["environment"].get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = list(dict.fromkeys([request["folder"], *filter(None, python_path), *elsewhere]))
    if kind == "light":
        from tests.support import light_worker

        sys.argv = ["light_worker", *request["arguments"]]
        return light_worker.main()
    if kind == "worker":
        from task_workers.cli.group import main as orchestrator

        sys.argv = ["orchestrator", "worker", *request["arguments"]]
        return orchestrator()
    from celery.__main__ import main as celery

    sys.argv = ["celery", *request["arguments"]]
    sys.exit(celery())


if __name__ == "__main__":
    main()
