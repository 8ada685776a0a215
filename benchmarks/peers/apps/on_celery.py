"""Celery on Redis, with the settings by which its documentation lets a call survive its worker."""

from __future__ import annotations

import os
import sys

import bodies
from celery import Celery
from kombu.transport.redis import Channel

URL = os.environ["PEER_URL"]
TUNED = os.environ["PEER_SETTINGS"] == "tuned"

app = Celery("peer", broker=URL, backend=URL)
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    broker_connection_retry_on_startup=True,
)
if TUNED:
    app.conf.update(
        task_retry_on_worker_lost=True,
        broker_transport_options={
            "visibility_timeout": 30,
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
        },
        result_backend_transport_options={"visibility_timeout": 30},
    )
options = {"default_retry_delay": 1} if TUNED else {}
TASKS = {
    body.__name__: app.task(name=body.__name__, **options)(body)
    for body in (bodies.add, bodies.note, bodies.slow, bodies.poison)
}


def settings() -> str:
    if TUNED:
        return (
            "the same, and `task_retry_on_worker_lost` with a `default_retry_delay` of 1 s (default 180 s, at most 3 "
            "retries), `visibility_timeout` 30 s, `unacked_restore_interval` 5 s, `unacked_restore_throttle` 1; "
            "a task that takes longer than 30 s is run twice"
        )
    return (
        "`task_acks_late`, `task_reject_on_worker_lost`, prefork pool of 2; "
        f"`visibility_timeout` is the default, {Channel.visibility_timeout} s"
    )


def worker(name: str) -> list[list[str]]:
    command = [sys.executable, "-m", "celery", "-A", "on_celery:app", "worker", "-c", "2", "-n", f"{name}@%h"]
    return [[*command, "-l", "info"]]


def send(task: str, *arguments: object) -> str:
    return str(TASKS[task].apply_async(arguments).id)


def state(call: str) -> str:
    end = {"SUCCESS": "done", "FAILURE": "failed", "RETRY": "waits for a retry"}.get(app.AsyncResult(call).state)
    return end or _place(call)


def _place(call: str) -> str:
    with app.connection_for_read() as connection:
        server = connection.default_channel.client
        if any(call.encode() in body for body in server.hvals(Channel.unacked_key)):
            return "unacknowledged"
        return (
            "queued"
            if any(call.encode() in body for body in server.lrange("celery", 0, -1))
            else "gone from the server"
        )
