"""Tasks that a process would rather not have: they spoil arguments, leak, leave threads, close descriptors."""

from __future__ import annotations

import asyncio
import decimal
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from orchestrator import get_run_logger, progress, task
from orchestrator.runtime import task_run
from tests.support.app_for_workers import note


@task
def which_process() -> int:
    return os.getpid()


@task
def add(a: int, b: int) -> int:
    return a + b


@task(retries=2, retry_delay_seconds=0.05)
def spoil(basket: list[Any], table: dict[str, Any], failures: int = 0) -> list[Any]:
    """Changes its arguments, and returns what they had been."""
    had = [list(basket), {**table, "inner": list(table["inner"])}]
    basket.append("spoilt")
    table["inner"].clear()
    table["spoilt"] = True
    if (task_run.run_count or 1) <= failures:
        raise ValueError("again")
    return had


_leaked: list[bytearray] = []


@task
def leak(megabytes: int) -> int:
    _leaked.append(bytearray(megabytes * 2**20))
    return os.getpid()


@task
def leave_threads(folder: str, count: int) -> int:
    """They outlive the call, and are no daemons; so is one that fails later."""
    for _ in range(count):
        threading.Thread(target=time.sleep, args=(600,)).start()

    def fail_later() -> None:
        note(folder, f"a thread fails in {os.getpid()}")
        raise ValueError("in a thread that nobody asked for")

    threading.Timer(0.05, fail_later).start()
    return threading.active_count()


LINE = "x" * 1023


@task
def shout(megabytes: int) -> int:
    for _ in range(megabytes * 1024):
        print(LINE)
    return os.getpid()


@task(log_prints=True)
def shout_into_the_log(megabytes: int) -> int:
    """Long lines, and many of them."""
    for _ in range(megabytes):
        print(LINE * 1024)
    for number in range(5000):
        print(number)
    return os.getpid()


@task(max_deliveries=2)
def close_descriptors(folder: str, seconds: float) -> str:
    """All that are not the standard ones, unless the test has forbidden it."""
    note(folder, f"closing in {os.getpid()}")
    if (Path(folder) / "forbidden").exists():
        return "left them alone"
    os.closerange(3, 1000)
    time.sleep(seconds)
    return "closed them"


# -- what one call must not leave to the next ------------------------------------------------------------------------

tenant: ContextVar[str | None] = ContextVar("tenant", default=None)
by_the_app: ContextVar[str | None] = ContextVar("by_the_app", default=None)
by_the_app.set("set at import")
decimal.getcontext().prec = 50  # in force at import, and so in every call


@task
def sees_and_sets(name: str) -> list[Any]:
    seen = [tenant.get(), by_the_app.get(), decimal.getcontext().prec]
    tenant.set(name)
    by_the_app.set(name)
    decimal.getcontext().prec = 7
    return seen


@task
async def sees_and_sets_async(name: str) -> list[Any]:
    seen = [tenant.get(), by_the_app.get(), decimal.getcontext().prec]
    tenant.set(name)
    by_the_app.set(name)
    decimal.getcontext().prec = 7
    return seen


# -- what ends more than a task, elsewhere ---------------------------------------------------------------------------

ENDS: dict[str, type[BaseException]] = {
    "SystemExit": SystemExit,
    "KeyboardInterrupt": KeyboardInterrupt,
    "GeneratorExit": GeneratorExit,
}


@task
def raises(name: str) -> None:
    raise ENDS[name](2)


@task
async def raises_async(name: str) -> None:
    raise ENDS[name](2)


@task
async def raises_in_a_child_task(name: str) -> None:
    async def inner() -> None:
        raise ENDS[name](2)

    await asyncio.wait_for(inner(), 20)


@task
async def raises_in_a_forgotten_task(name: str) -> str:
    async def inner() -> None:
        raise ENDS[name](2)

    asyncio.get_running_loop().create_task(inner())
    await asyncio.sleep(0.05)
    return "went on"


@task
async def cancels_itself(when: str) -> str:
    if when == "all":
        for running in asyncio.all_tasks():
            running.cancel()
    else:
        current = asyncio.current_task()
        assert current is not None
        current.cancel()
    if when != "and returns":
        await asyncio.sleep(20)
    return "went on"


@task
async def stops_the_loop() -> str:
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0.01)
    return "went on"


class ExitsWhenRead:
    """Its unpickling ends programs."""

    def __reduce__(self) -> Any:
        return exit_2, ()


def exit_2() -> None:
    raise SystemExit(2)


def raises_in_a_hook(*_: Any) -> None:
    raise KeyboardInterrupt


@task(on_completion=[raises_in_a_hook])
def hooked(value: Any) -> Any:
    return value


@task
async def add_async(a: int, b: int) -> int:
    return a + b


# -- forks -----------------------------------------------------------------------------------------------------------


def _in_a_copy(folder: str, how: str) -> None:
    note(folder, f"copy of {os.getppid()} begins in {os.getpid()}")
    progress.set(1)
    get_run_logger().info("from the copy")
    if how == "exits":
        sys.exit(3)
    if how == "fails":
        raise ValueError("in the copy")
    if how == "closes":
        raise GeneratorExit


def _end_of(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@task(retries=3)
def forks(folder: str, how: str) -> list[Any]:
    pid = os.fork()
    if pid == 0:
        _in_a_copy(folder, how)
        return ["from the copy"]
    return ["from the worker", _end_of(pid)]


@task(retries=3)
async def forks_async(folder: str, how: str) -> list[Any]:
    pid = os.fork()
    if pid == 0:
        if how == "awaits":
            await asyncio.sleep(0)
        _in_a_copy(folder, how)
        return ["from the copy"]
    return ["from the worker", await asyncio.to_thread(_end_of, pid)]


@task
def forks_by_multiprocessing(folder: str) -> list[Any]:
    context = multiprocessing.get_context("fork")
    ends, stubborn = (
        context.Process(target=_in_a_copy, args=(folder, "exits")),
        context.Process(target=time.sleep, args=(600,)),
    )
    ends.start()
    stubborn.start()
    stubborn.terminate()
    stubborn.join()
    ends.join()
    return [ends.exitcode, stubborn.exitcode]


# -- signals and programs --------------------------------------------------------------------------------------------


@task
def runs_a_program_of_its_own() -> str:
    """As servers and bots do: signal handlers that are the default ones again when it ends."""

    async def main() -> None:
        for signum in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(signum, print)
        await asyncio.sleep(0)

    asyncio.run(main())
    return "ran"


def _start_program(folder: str) -> None:
    program = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    note(folder, f"program {program.pid} of {os.getpid()}")


@task
def converts(folder: str) -> None:
    _start_program(folder)
    time.sleep(600)


@task
def leaves_a_program(folder: str) -> None:
    _start_program(folder)
