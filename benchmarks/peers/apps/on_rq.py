"""RQ. Jobs have retries left (``Retry``), without which RQ ends the job of a dead worker as failed."""

from __future__ import annotations

import os
import sys

import bodies
from redis import Redis
from rq import Queue, Retry
from rq.defaults import DEFAULT_JOB_MONITORING_INTERVAL, DEFAULT_MAINTENANCE_TASK_INTERVAL
from rq.exceptions import NoSuchJobError
from rq.job import Job

URL = os.environ["PEER_URL"]
TUNED = os.environ["PEER_SETTINGS"] == "tuned"
PROCESSES = 2

server = Redis.from_url(URL)
queue = Queue(connection=server)


def settings() -> str:
    if TUNED:
        return "the same, and `--maintenance-interval 5 --job-monitoring-interval 5`"
    return (
        "2 x `rq worker --with-scheduler` on one queue, jobs with `Retry(max=3)`; maintenance every "
        f"{DEFAULT_MAINTENANCE_TASK_INTERVAL} s, a running job counts as abandoned "
        f"{DEFAULT_JOB_MONITORING_INTERVAL} + 60 s after its last heartbeat"
    )


def worker(name: str) -> list[list[str]]:
    command = [sys.executable, "-m", "rq.cli", "worker", "--with-scheduler"]  # RQ_REDIS_URL says where
    if TUNED:
        command += ["--maintenance-interval", "5", "--job-monitoring-interval", "5"]
    return [command] * PROCESSES


def send(task: str, *arguments: object) -> str:
    return str(queue.enqueue(getattr(bodies, task), args=arguments, retry=Retry(max=3)).id)


def state(call: str) -> str:
    try:
        job = Job.fetch(call, connection=server)
    except NoSuchJobError:
        return "gone from the server"
    status = str(job.get_status().value)
    if status == "queued" and server.lpos(queue.intermediate_queue_key, call) is not None:
        return "in the intermediate queue"
    if status == "failed":
        return "failed, kept in the registry"
    return {"finished": "done", "started": "marked as started"}.get(status, status)
