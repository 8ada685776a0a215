"""RQ, with its defaults: a worker forks a process for each job."""

from __future__ import annotations

import os
import sys

import bodies
from redis import Redis
from rq import Queue

PATIENCE_SECONDS = 60

# Its blocking read of a result expects the replies of protocol 2.
server = Redis.from_url(os.environ["PEER_URL"], protocol=2)
queue = Queue(connection=server)


def settings():
    return "defaults, 2 x `rq worker`, a fork for each job; `enqueue_many()` and `latest_result(timeout)`"


def worker(processes, one_at_a_time):
    command = [sys.executable, "-m", "rq.cli", "worker", "--logging_level", "WARNING"]  # RQ_REDIS_URL says where
    return [command] * processes


def send(name, *arguments):
    return queue.enqueue(getattr(bodies, name), *arguments)


def send_many(name, rows):
    function = getattr(bodies, name)
    return queue.enqueue_many([Queue.prepare_data(function, args=tuple(row)) for row in rows])


def collect(handles):
    return [result(handle) for handle in handles]


def result(handle):
    return handle.latest_result(timeout=PATIENCE_SECONDS).return_value


def is_ready(handle):
    return handle.latest_result() is not None
