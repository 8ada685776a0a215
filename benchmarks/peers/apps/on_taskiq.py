"""taskiq with taskiq-redis' stream broker, the one of its brokers that acknowledges."""

from __future__ import annotations

import asyncio
import inspect
import os
import sys

import bodies
from redis import Redis
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

URL = os.environ["PEER_URL"]
TUNED = os.environ["PEER_SETTINGS"] == "tuned"
STREAM = GROUP = "taskiq"

broker = RedisStreamBroker(
    URL,
    **({"idle_timeout": 15_000, "unacknowledged_lock_timeout": 5.0} if TUNED else {}),
).with_result_backend(RedisAsyncResultBackend(URL))
TASKS = {
    body.__name__: broker.task(task_name=body.__name__)(body)
    for body in (bodies.add, bodies.note, bodies.slow, bodies.poison)
}
loop = asyncio.new_event_loop()
server = Redis.from_url(URL)
started = False


def settings() -> str:
    if TUNED:
        return (
            "the same, and `idle_timeout` 15 s, `unacknowledged_lock_timeout` 5 s; "
            "a task that takes longer than 15 s is run twice"
        )
    default = inspect.signature(RedisStreamBroker).parameters["idle_timeout"].default
    return (
        "`RedisStreamBroker` and `RedisAsyncResultBackend`, 2 worker processes, acknowledged when the result is saved "
        f"(default); `idle_timeout` is the default, {default // 1000} s"
    )


def worker(name: str) -> list[list[str]]:
    return [[sys.executable, "-m", "taskiq", "worker", "on_taskiq:broker", "--workers", "2"]]


def send(task: str, *arguments: object) -> str:
    global started
    if not started:  # makes the consumer group, which sees only what is sent after it
        loop.run_until_complete(broker.startup())
        started = True
    return str(loop.run_until_complete(TASKS[task].kiq(*arguments)).task_id)


def state(call: str) -> str:
    results = broker.result_backend
    if loop.run_until_complete(results.is_result_ready(call)):
        return "failed" if loop.run_until_complete(results.get_result(call)).is_err else "done"
    entries = [entry for entry, fields in server.xrange(STREAM) if call.encode() in fields[b"data"]]
    if not entries:
        return "gone from the server"
    pending = server.xpending_range(STREAM, GROUP, entries[0], entries[-1], 100)
    return "unacknowledged" if pending else "queued"
