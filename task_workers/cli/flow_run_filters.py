"""The options that filter flow runs."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Final

import click

_OPTIONS: Final = (
    click.option("--flow-name", "flows", multiple=True, metavar="NAME", help="Of this flow; * and ? (repeatable)."),
    click.option("--state", "states", multiple=True, metavar="NAME", help="Late, Failed, Running, ... (repeatable)."),
    click.option("--state-type", "types", multiple=True, metavar="TYPE", help="SCHEDULED, FAILED, ... (repeatable)."),
    click.option(
        "--deployment", "deployments", multiple=True, metavar="NAME", help="flow/deployment, or its id (repeatable)."
    ),
)


def with_flow_run_filters(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the filter options to a command, which gets ``wanted``: a FlowRunFilter."""

    @wraps(command)
    def filtered(*args: Any, **options: Any) -> Any:
        from orchestrator.inspection import FlowRunFilter

        given = {name: options.pop(name) for name in ("flows", "states", "types", "deployments")}
        given["states"] += given.pop("types")
        return command(*args, wanted=FlowRunFilter(**given), **options)

    for option in reversed(_OPTIONS):
        filtered = option(filtered)
    return filtered
