"""Dramatiq on Redis, with its defaults and results."""

from __future__ import annotations

import os
import sys

import bodies
import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import ResultMissing, Results
from dramatiq.results.backends import RedisBackend

PATIENCE_MS = 60_000

broker = RedisBroker(url=os.environ["PEER_URL"])
broker.add_middleware(Results(backend=RedisBackend(url=os.environ["PEER_URL"])))
dramatiq.set_broker(broker)
TASKS = {
    body.__name__: dramatiq.actor(actor_name=body.__name__, store_results=True)(body)
    for body in (bodies.noop, bodies.echo, bodies.pause)
}


def settings():
    return "defaults, 2 processes of 8 threads, `Results` in Redis; `group()` and its `get_results()`"


def worker(processes, one_at_a_time):
    command = [sys.executable, "-m", "dramatiq", "on_dramatiq", "-p", str(processes)]
    return [command + (["-t", "1"] if one_at_a_time else [])]


def send(name, *arguments):
    return TASKS[name].send(*arguments)


def send_many(name, rows):
    return dramatiq.group([TASKS[name].message(*row) for row in rows]).run().children


def collect(handles):
    return list(dramatiq.group(handles).get_results(block=True, timeout=PATIENCE_MS))


def result(handle):
    return handle.get_result(block=True, timeout=PATIENCE_MS)


def is_ready(handle):
    try:
        handle.get_result(block=False)
    except ResultMissing:
        return False
    return True
