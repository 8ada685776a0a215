"""``orchestrator demo``; what it does is in ``task_workers.demo``."""

from __future__ import annotations

import sys

import click

from task_workers.cli.numbers import Whole


@click.command("demo")
@click.option("--kill-worker", is_flag=True, help="Kill one worker process half-way, with SIGKILL.")
@click.option("-c", "--concurrency", type=Whole(1), default=2, show_default=True, help="Worker processes.")
@click.option("--limit", type=Whole(1), help="Measure so many files only.")
def command(kill_worker: bool, concurrency: int, limit: int | None) -> None:
    """Count the standard library on worker processes, and prove that the numbers add up."""
    from task_workers.demo import main_demo

    sys.exit(main_demo(kill_worker, concurrency, limit))
