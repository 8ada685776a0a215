"""``orchestrator config``: the settings."""

from __future__ import annotations

import os
from typing import Any

import click

from task_workers.cli.at_work import as_json, echo_json, echo_table


@click.group("config")
def command() -> None:
    """The settings and where they come from."""


@command.command()
@as_json
def show(as_json: bool) -> None:
    """Every setting with its value (secrets masked), its variable and its meaning."""
    from orchestrator.settings import current, describe

    settings = current()
    rows = [
        {
            "name": row.name,
            "value": _shown(row.name, getattr(settings, row.name)),
            "variable": row.variable,
            "from": "environment" if os.environ.get(row.variable) else "default",
            "meaning": row.meaning,
        }
        for row in describe()
    ]
    if as_json:
        return echo_json(rows)
    table = [(row["variable"], _text(row["value"]), row["from"], row["meaning"]) for row in rows]
    return echo_table(("VARIABLE", "VALUE", "FROM", "MEANING"), table)


def _shown(name: str, value: Any) -> Any:
    """A value that may be shown to anyone."""
    from brokers.urls import masked

    if value is None or isinstance(value, bool | int | float):
        return value
    if name in ("secret_key", "encryption_key"):
        return "***"
    return masked(value) if name.endswith("_url") else str(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
