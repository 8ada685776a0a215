"""arq. ``python -m on_arq [one]`` is a worker process."""

from __future__ import annotations

import os
import sys

import bodies
from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import func, run_worker
from asynchronous import all_of

SERVER = RedisSettings.from_dsn(os.environ["PEER_URL"])
LOOK_SECONDS = 0.005


async def noop(context, x):
    return await bodies.anoop(x)


async def echo(context, data):
    return await bodies.aecho(data)


async def pause(context, seconds):
    return await bodies.apause(seconds)


class WorkerSettings:
    functions = (func(noop), func(echo), func(pause))
    redis_settings = SERVER
    poll_delay = LOOK_SECONDS


pool = None


def settings():
    return (
        "2 processes, `max_jobs` 10 (default); the queue and results are looked at every "
        f"{LOOK_SECONDS * 1000:g} ms (default 500), for which an idle worker pays; redis-py 5, the newest that it takes"
    )


def worker(processes, one_at_a_time):
    return [[sys.executable, "-m", "on_arq", *(["one"] if one_at_a_time else [])]] * processes


async def send(name, *arguments):
    global pool
    if pool is None:
        pool = await create_pool(SERVER)
    return await pool.enqueue_job(name, *arguments)


async def send_many(name, rows):
    return await all_of(send, [(name, *row) for row in rows])


async def collect(handles):
    return await all_of(result, [(handle,) for handle in handles])


async def result(handle):
    return await handle.result(poll_delay=LOOK_SECONDS)


async def is_ready(handle):
    return await handle.result_info() is not None


if __name__ == "__main__":
    run_worker(WorkerSettings, **({"max_jobs": 1} if sys.argv[1:] else {}))
