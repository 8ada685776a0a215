"""The options that filter flow runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from typing import TYPE_CHECKING, Any, Final

import click

from task_workers.cli.filters import check_filters
from task_workers.cli.state_names import STATE_TYPES

if TYPE_CHECKING:
    from orchestrator.client.fleet import Fleet

_OPTIONS: Final = (
    click.option("--flow-name", "flows", multiple=True, metavar="NAME", help="Of this flow; * and ? (repeatable)."),
    click.option("--state", "states", multiple=True, metavar="NAME", help="Late, Failed, Running, ... (repeatable)."),
    click.option(
        "--state-type",
        "types",
        type=click.Choice(STATE_TYPES, case_sensitive=False),
        multiple=True,
        metavar="TYPE",
        help="SCHEDULED, FAILED, ... (repeatable).",
    ),
    click.option(
        "--deployment", "deployments", multiple=True, metavar="NAME", help="flow/deployment, or its id (repeatable)."
    ),
)


def refuse_unknown_deployments(fleet: Fleet, names: Iterable[str]) -> None:
    """For a filter that found nothing: raises ObjectNotFound for a deployment that is not there, BrokerError.

    Names with ``*`` and ``?`` may mean any.
    """
    from orchestrator.deployments.lookup import find_deployment

    for name in names:
        if not set(name) & set("*?["):
            find_deployment(fleet.broker, name)


def with_flow_run_filters(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the filter options to a command, which gets ``wanted``: a FlowRunFilter."""

    @wraps(command)
    def filtered(*args: Any, **options: Any) -> Any:
        from orchestrator.inspection import FlowRunFilter

        given = {name: options.pop(name) for name in ("flows", "states", "types", "deployments")}
        check_filters(given)
        given["states"] += given.pop("types")
        return command(*args, wanted=FlowRunFilter(**given), **options)

    for option in reversed(_OPTIONS):
        filtered = option(filtered)
    return filtered
