"""Huey on Redis, with worker processes."""

from __future__ import annotations

import os
import sys

import bodies
from huey import RedisHuey

PATIENCE_SECONDS = 60

huey = RedisHuey("peer", url=os.environ["PEER_URL"], notify_result=True)
TASKS = {body.__name__: huey.task(name=body.__name__)(body) for body in (bodies.noop, bodies.echo, bodies.pause)}


def settings():
    return (
        "2 processes (`-k process`), `notify_result` (results are waited for, not looked for); `map()` and its `get()`"
    )


def worker(processes, one_at_a_time):
    return [
        [sys.executable, "-m", "huey.bin.huey_consumer", "on_huey.huey", "-k", "process", "-w", str(processes), "-q"]
    ]


def send(name, *arguments):
    return TASKS[name](*arguments)


def send_many(name, rows):
    return list(TASKS[name].map([tuple(row) for row in rows]))


def collect(handles):
    return [result(handle) for handle in handles]


def result(handle):
    return handle.get(blocking=True, timeout=PATIENCE_SECONDS)


def is_ready(handle):
    return handle.is_ready()
