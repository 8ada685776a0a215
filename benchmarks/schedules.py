"""``python -m benchmarks.schedules``: a thousand schedules due in one second, and what looking costs when none is due.

Two processes fire. Lateness is from the tick to the moment (server's clock) at which its run was queued, in the id of
its queue entry; the processor's time is that of one of the processes, asked of the system.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from orchestrator.client.fleet import current_fleet
from orchestrator.schedules import Interval
from orchestrator.schedules.spec import schedule_id
from orchestrator.scheduling import edit
from orchestrator.scheduling.calls import task_template
from orchestrator.submission.call_options import NO_OPTIONS
from orchestrator.testing.throwaway import throwaway_fleet

PROCESSES = 2
IDLE_SECONDS = 5.0


def start(count: int) -> list[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.support.tick_process"]
    root = Path(__file__).parents[1]
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root)
        for _ in range(count)
    ]
    for process in started:
        assert process.stdout is not None
        process.stdout.readline()
    return started


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def idle_share(pid: int) -> float:
    before, begun = processor_seconds(pid), time.monotonic()
    time.sleep(IDLE_SECONDS)
    return (processor_seconds(pid) - before) / (time.monotonic() - begun)


def lateness(count: int) -> list[int]:
    """Milliseconds between the tick of so many schedules and the moment at which each was queued, sorted."""
    from benchmarks.tasks import noop

    broker: Any = current_fleet().broker
    schedule = Interval(3600)
    tick_ms = broker.ticks.now_ms() // 1000 * 1000 + 2000 + 5 * count
    for number in range(count):
        owner = f"t:bench-{number}"
        the_id = schedule_id(owner, schedule)
        template, route = task_template(current_fleet(), noop, the_id, (1,), {}, NO_OPTIONS)
        edit.apply(current_fleet(), owner, schedule, template, route)
        broker.schedules.write(the_id, {}, due_ms=tick_ms)
    stream = broker.keys.stream("default:ds")
    while broker.wires.commands([("XLEN", stream)])[0] < count:
        time.sleep(0.1)
    entries = broker.wires.commands([("XRANGE", stream, "-", "+")])[0]
    return sorted(int(entry.partition(b"-")[0]) - tick_ms for entry, _ in entries)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--schedules", type=int, default=1000)
    count = parser.parse_args().schedules
    with throwaway_fleet():
        processes = start(PROCESSES)
        try:
            print(f"nothing due: {idle_share(processes[0].pid):.2%} of a core for one process that looks")
            late = lateness(count)
            print(
                f"{count} due at once, {PROCESSES} processes: the last is queued after {late[-1]} ms, "
                f"p50 {late[len(late) // 2]} ms, p99 {late[len(late) * 99 // 100]} ms"
            )
        finally:
            for process in processes:
                process.communicate()


if __name__ == "__main__":
    main()
