"""``orchestrator version``."""

from __future__ import annotations

import platform

import click


@click.command("version")
def command() -> None:
    """The version."""
    from orchestrator import __version__

    click.echo(f"orchestrator {__version__} (Python {platform.python_version()})")
