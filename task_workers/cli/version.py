"""``orchestrator version``."""

from __future__ import annotations

import platform

import click

from task_workers.cli.terminal import say


@click.command("version")
def command() -> None:
    """The version."""
    from orchestrator import __version__

    say(f"orchestrator {__version__} (Python {platform.python_version()})")
