"""``orchestrator top``: the fleet, live."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from orchestrator.observability.plain_text import printable
from task_workers.cli.numbers import Number
from task_workers.cli.queues import DROP as QUEUE_DROP
from task_workers.cli.queues import HEADS as QUEUE_HEADS
from task_workers.cli.queues import row_of as queue_row
from task_workers.cli.session import the_fleet
from task_workers.cli.terminal import as_json, echo_json, echo_table, say, table_of
from task_workers.cli.workers import DROP as WORKER_DROP
from task_workers.cli.workers import HEADS as WORKER_HEADS
from task_workers.cli.workers import row_of as worker_row

if TYPE_CHECKING:
    from orchestrator.client.fleet import Fleet
    from orchestrator.inspection import QueueView, WorkerView

MAX_WORKERS: Final = 30  # rows on a screen
ENDS: Final = {"completed": b"C", "failed": b"F", "cancelled": b"K", "crashed": b"Z", "not ready": b"N"}


@dataclass(frozen=True, slots=True)
class Sight:
    """The fleet at one moment."""

    moment: float  # seconds of the monotonic clock
    queues: list[QueueView]
    workers: list[WorkerView]
    ended: Mapping[str, int]  # since the namespace began

    def rates(self, before: Sight) -> dict[str, float]:
        """Ends per second since then."""
        seconds = max(1e-3, self.moment - before.moment)
        return {name: max(0, count - before.ended.get(name, 0)) / seconds for name, count in self.ended.items()}


def look(fleet: Fleet) -> Sight:
    """The fleet now."""
    from orchestrator.inspection import queues_of, workers_of

    counts = fleet.broker.figures.ended()
    ended = {name: sum(n for (_, status), n in counts.items() if status == letter) for name, letter in ENDS.items()}
    return Sight(time.monotonic(), queues_of(fleet), workers_of(fleet), ended)


@click.command("top")
@click.option("--once", is_flag=True, help="Write it once and end, as for a pipe.")
@click.option(
    "--interval",
    type=Number(0.1),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="Between two looks.",
)
@as_json
def command(once: bool, interval: float, as_json: bool) -> None:
    """Show the fleet, live: rates, queues, workers. Ctrl-C ends it."""
    with suppress(KeyboardInterrupt), the_fleet() as fleet:
        before = look(fleet)
        time.sleep(interval)
        if once or as_json or not sys.stdout.isatty():
            _write(look(fleet), before, as_json)
        else:
            _show(fleet, before, interval)


def _write(now: Sight, before: Sight, as_json: bool) -> None:
    rates = now.rates(before)
    if as_json:
        return echo_json(
            {
                "ended": now.ended,
                "per_second": rates,
                "queues": [queue.as_json() for queue in now.queues],
                "workers": [worker.as_json() for worker in now.workers],
            }
        )
    say(headline(now, rates))
    for heads, rows, drop in _tables(now):
        say()
        echo_table(heads, rows, drop)
    return None


def headline(now: Sight, rates: Mapping[str, float]) -> str:
    """The numbers on one line."""
    waiting, held = sum(queue.waiting for queue in now.queues), sum(queue.held for queue in now.queues)
    ends = ", ".join(f"{count:,} {name} ({rates[name]:,.1f}/s)" for name, count in now.ended.items() if count)
    return f"{waiting:,} waiting, {held:,} held, {len(now.workers)} worker processes; {ends or 'nothing has ended yet'}"


def _tables(now: Sight) -> list[tuple[tuple[str, ...], list[tuple[str, ...]], tuple[str, ...]]]:
    tables: list[tuple[tuple[str, ...], list[tuple[str, ...]], tuple[str, ...]]] = []
    if now.queues:
        tables.append((QUEUE_HEADS, [queue_row(queue) for queue in now.queues], QUEUE_DROP))
    if now.workers:
        busiest = sorted(now.workers, key=lambda worker: (-len(worker.running), -worker.held, worker.name))
        tables.append((WORKER_HEADS, [worker_row(worker) for worker in busiest[:MAX_WORKERS]], WORKER_DROP))
    return tables


def _show(fleet: Fleet, before: Sight, interval: float) -> None:
    from rich.live import Live

    from orchestrator.errors import BrokerError

    with Live(auto_refresh=False, screen=True) as live:
        while True:
            try:
                now = look(fleet)
                live.update(_screen(now, before), refresh=True)
                before = now
            except BrokerError as error:
                from rich.text import Text

                live.update(Text(printable(f"{error}; trying again")), refresh=True)
            time.sleep(interval)


def _screen(now: Sight, before: Sight) -> Any:
    from rich.console import Group
    from rich.text import Text

    parts: list[Any] = [Text(headline(now, now.rates(before)), "bold"), Text()]
    for heads, rows, drop in _tables(now):
        parts += [table_of(heads, rows, drop), Text()]
    return Group(*parts)
