"""Dramatiq on Redis. Its defaults are its reliable settings: a message is acknowledged after its actor has run."""

from __future__ import annotations

import os
import sys

import bodies
import dramatiq
from dramatiq.brokers.redis import DEFAULT_HEARTBEAT_TIMEOUT, DEFAULT_MAINTENANCE_CHANCE, RedisBroker

TUNED = os.environ["PEER_SETTINGS"] == "tuned"
QUEUE = "dramatiq:default"

broker = RedisBroker(
    url=os.environ["PEER_URL"],
    **({"heartbeat_timeout": 15_000, "maintenance_chance": 1_000_000} if TUNED else {}),
)
dramatiq.set_broker(broker)
TASKS = {
    body.__name__: dramatiq.actor(actor_name=body.__name__)(body)
    for body in (bodies.add, bodies.note, bodies.slow, bodies.poison)
}
REDIS_IDS: dict[str, str] = {}


def settings() -> str:
    if TUNED:
        return (
            "the same, and `RedisBroker(heartbeat_timeout=15_000, maintenance_chance=1_000_000)`, so every command "
            "looks for dead workers"
        )
    return (
        "defaults, 2 processes of 8 threads: a worker counts as dead after "
        f"{DEFAULT_HEARTBEAT_TIMEOUT // 1000} s without a heartbeat, which {DEFAULT_MAINTENANCE_CHANCE} of a million "
        "commands look for"
    )


def worker(name: str) -> list[list[str]]:
    return [[sys.executable, "-m", "dramatiq", "on_dramatiq", "-p", "2", "-t", "8"]]


def send(task: str, *arguments: object) -> str:
    message = TASKS[task].send(*arguments)
    REDIS_IDS[message.message_id] = message.options["redis_message_id"]
    return str(message.message_id)


def state(call: str) -> str:
    redis_id, server = REDIS_IDS[call], broker.client
    if server.zscore(f"{QUEUE}.XQ", redis_id) is not None:
        return "dead letter"
    if not server.hexists(f"{QUEUE}.msgs", redis_id):
        return "done"  # acknowledged; whether it failed is not kept, but then it would be retried or a dead letter
    queued = server.lpos(QUEUE, redis_id) is not None
    return "queued" if queued else "unacknowledged"
