"""taskiq with taskiq-redis' stream broker, the one of its brokers that acknowledges."""

from __future__ import annotations

import os
import sys

import bodies
from asynchronous import all_of
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

URL = os.environ["PEER_URL"]
LOOK_SECONDS = 0.002

broker = RedisStreamBroker(URL).with_result_backend(RedisAsyncResultBackend(URL))
TASKS = {
    name: broker.task(task_name=name)(body)
    for name, body in (("noop", bodies.anoop), ("echo", bodies.aecho), ("pause", bodies.apause))
}
started = False


def settings():
    return (
        "`RedisStreamBroker`, `RedisAsyncResultBackend`, 2 processes, async tasks; results are looked for every "
        f"{LOOK_SECONDS * 1000:g} ms (default 200)"
    )


def worker(processes, one_at_a_time):
    command = [sys.executable, "-m", "taskiq", "worker", "on_taskiq:broker", "--workers", str(processes)]
    command += ["--log-level", "WARNING"]
    return [command + (["--max-async-tasks", "1", "--max-prefetch", "1"] if one_at_a_time else [])]


async def send(name, *arguments):
    global started
    if not started:  # makes the consumer group, which sees only what is sent after it
        await broker.startup()
        started = True
    return await TASKS[name].kiq(*arguments)


async def send_many(name, rows):
    return await all_of(send, [(name, *row) for row in rows])


async def collect(handles):
    return await all_of(result, [(handle,) for handle in handles])


async def result(handle):
    return (await handle.wait_result(check_interval=LOOK_SECONDS)).return_value


async def is_ready(handle):
    return await handle.is_ready()
