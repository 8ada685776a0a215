"""docket (pydocket), with its defaults."""

from __future__ import annotations

import os
import sys

import bodies
from asynchronous import all_of
from docket import Docket
from docket.execution import ExecutionState

URL = os.environ["PEER_URL"]


async def noop(x: int) -> int:
    return await bodies.anoop(x)


async def echo(data: str) -> int:
    return await bodies.aecho(data)


async def pause(seconds: float) -> int:
    return await bodies.apause(seconds)


tasks = [noop, echo, pause]
TASKS = {"noop": noop, "echo": echo, "pause": pause}
docket = Docket(url=URL)
opened = False


def settings():
    return "2 x `docket worker`, `concurrency` 10 (default); `add_many()` and `get_result()`"


def worker(processes, one_at_a_time):
    command = [sys.executable, "-m", "docket", "worker", "--url", URL, "--tasks", "on_docket:tasks"]
    command += ["--logging-level", "WARNING", *(["--concurrency", "1"] if one_at_a_time else [])]
    return [[*command, "--name", f"w{number}"] for number in range(processes)]


async def _open():
    global opened
    if not opened:
        await docket.__aenter__()
        for one in tasks:
            docket.register(one)
        opened = True


async def send(name, *arguments):
    await _open()
    return await docket.add(TASKS[name])(*arguments)


async def send_many(name, rows):
    await _open()
    return await docket.add_many(docket.call(TASKS[name])(*row) for row in rows)


async def collect(handles):
    return await all_of(result, [(handle,) for handle in handles])


async def result(handle):
    return await handle.get_result()


async def is_ready(handle):
    await handle.sync()
    return handle.state is ExecutionState.COMPLETED
