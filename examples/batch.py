"""10,000 calls on two worker processes, their results as they come.

Uses the workers that are running; with none it starts its own: `orchestrator worker -A examples/batch.py -c 2`.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator import as_completed, task, wait
from orchestrator.client.fleet import current_fleet

CALLS = 10_000


@task
def collatz_steps(n: int) -> int:
    """How many steps from n to 1."""
    steps = 0
    while n > 1:
        n = n // 2 if n % 2 == 0 else 3 * n + 1
        steps += 1
    return steps


def a_worker_knows(task_key: str) -> bool:
    return any(task_key in facts.get("tasks", "").split(",") for facts in current_fleet().live_workers().values())


@contextmanager
def two_worker_processes() -> Iterator[None]:
    command = [sys.executable, "-m", "orchestrator", "worker", "-A", __file__, "-c", "2", "-l", "warning"]
    worker = subprocess.Popen(command)
    try:
        yield
    finally:
        worker.terminate()
        worker.wait()


def main() -> None:
    _, missing = wait(collatz_steps.map([1, 2]), timeout=60)  # the workers are awake when these are done
    if missing:
        sys.exit("the worker did not begin")
    began = time.perf_counter()
    start_of = {future: n for n, future in enumerate(collatz_steps.map(range(1, CALLS + 1)), start=1)}
    longest = (0, 1)
    for done, future in enumerate(as_completed(start_of), start=1):
        longest = max(longest, (future.result(), start_of[future]))
        if done % (CALLS // 5) == 0:
            print(f"{done:,} done; the longest way so far: {longest[0]} steps from {longest[1]:,}")
    seconds = time.perf_counter() - began
    print(f"{CALLS:,} calls in {seconds:.2f} s: {CALLS / seconds:,.0f} calls/s")


if __name__ == "__main__":
    if a_worker_knows(collatz_steps.task_key):
        main()
    else:
        with two_worker_processes():
            main()
