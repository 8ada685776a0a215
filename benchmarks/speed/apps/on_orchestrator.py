"""Us, with the settings that everyone gets who sets none."""

from __future__ import annotations

import os
import sys
import time

import bodies

from orchestrator import task
from orchestrator.settings import current

noop, echo, pause = task(bodies.noop), task(bodies.echo), task(bodies.pause)
TASKS = {"noop": noop, "echo": echo, "pause": pause}


def settings():
    now = current()
    return (
        f"defaults: tracking, results (kept {now.result_ttl_seconds / 3600:g} h), fencing and leases "
        f"({now.lease_seconds:g} s) on, `orchestrator worker -c 2`"
    )


def worker(processes, one_at_a_time):
    return [[sys.executable, "-m", "orchestrator", "worker", "-A", "on_orchestrator", "-c", str(processes)]]


def send(name, *arguments):
    return TASKS[name].delay(*arguments)


async def asend(name, *arguments):
    return await TASKS[name].adelay(*arguments)


def send_watched(name, *arguments):
    return TASKS[name].submit(*arguments)


def send_many(name, rows):
    return TASKS[name].map(*zip(*rows, strict=True))


def collect(handles):
    return type(noop.map([]))(handles).result()


def result(handle):
    return handle.result()


def is_ready(handle):
    return handle.state.is_final()


def bare_sends(calls):
    """Seconds of so many XADDs of redis-py, one after the other: what a send costs at least."""
    import redis

    client = redis.Redis.from_url(os.environ["ORCHESTRATOR_REDIS_URL"])
    begun = time.perf_counter()
    for _ in range(calls):
        client.xadd("limit:xadd", {"b": b"x" * 100})
    seconds = time.perf_counter() - begun
    client.delete("limit:xadd")
    return seconds
