"""Celery on Redis with its defaults (acknowledged before it runs, four messages prefetched for each process)."""

from __future__ import annotations

import os
import sys
import time

import bodies
from celery import Celery, group
from celery.result import ResultSet

URL = os.environ["PEER_URL"]

app = Celery("peer", broker=URL, backend=URL)
app.conf.broker_connection_retry_on_startup = True
TASKS = {body.__name__: app.task(name=body.__name__)(body) for body in (bodies.noop, bodies.echo, bodies.pause)}


def settings():
    return "defaults (acknowledged before a call runs, results in Redis), prefork pool of 2; `group()` and its `get()`"


def worker(processes, one_at_a_time):
    command = [sys.executable, "-m", "celery", "-A", "on_celery:app", "worker", "-c", str(processes)]
    return [command + (["--prefetch-multiplier", "1"] if one_at_a_time else [])]


def send(name, *arguments):
    return TASKS[name].delay(*arguments)


def send_many(name, rows):
    return group(TASKS[name].s(*row) for row in rows).apply_async().results


def collect(handles):
    return ResultSet(handles, app=app).get()


def ended(handles):
    # get() may wait for ever for what other threads have sent: all share the connection that announces results.
    results = []
    for handle in handles:
        while not handle.ready():
            time.sleep(0.004)
        results.append(handle.result)
    return results


def result(handle):
    return handle.get()


def is_ready(handle):
    return handle.ready()
