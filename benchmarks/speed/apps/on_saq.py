"""SAQ, with its defaults."""

from __future__ import annotations

import asyncio
import os
import sys

import bodies
from asynchronous import all_of
from saq import Queue, Status

LOOK_SECONDS = 0.005

queue = Queue.from_url(os.environ["PEER_URL"])


async def noop(context, *, x):
    return await bodies.anoop(x)


async def echo(context, *, data):
    return await bodies.aecho(data)


async def pause(context, *, seconds):
    return await bodies.apause(seconds)


ARGUMENT = {"noop": "x", "echo": "data", "pause": "seconds"}
usual = {"queue": queue, "functions": [noop, echo, pause]}
one = {**usual, "concurrency": 1}


def settings():
    return (
        "2 processes, `concurrency` 10 (default); results are looked for every "
        f"{LOOK_SECONDS * 1000:g} ms, as its `map()` does every 500; redis-py 7, the newest that it takes"
    )


def worker(processes, one_at_a_time):
    named = "on_saq.one" if one_at_a_time else "on_saq.usual"
    return [[sys.executable, "-m", "saq", named, "--workers", str(processes)]]


async def send(name, argument):
    return await queue.enqueue(name, **{ARGUMENT[name]: argument})


async def send_many(name, rows):
    return await all_of(send, [(name, *row) for row in rows])


async def collect(handles):
    # What Queue.map() does with the jobs that it has sent.
    found, left = {}, [handle.key for handle in handles]
    while left:
        for first in range(0, len(left), 500):
            some = left[first : first + 500]
            for key, job in zip(some, await queue.jobs(some), strict=True):
                if job is not None and job.completed:
                    if job.status is not Status.COMPLETE:
                        raise RuntimeError(f"{job.status}: {job.error}")
                    found[key] = job.result
        left = [key for key in left if key not in found]
        if left:
            await asyncio.sleep(LOOK_SECONDS)
    return [found[handle.key] for handle in handles]


async def result(handle):
    (found,) = await collect([handle])
    return found


async def is_ready(handle):
    await handle.refresh()
    return handle.completed
