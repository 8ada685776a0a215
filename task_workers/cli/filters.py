"""The options that filter runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import TYPE_CHECKING, Any, Final

import click

from task_workers.cli.session import whole_id

if TYPE_CHECKING:
    from orchestrator.client.fleet import Fleet
    from orchestrator.inspection import RunFilter

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def moment_or_span(context: click.Context, option: click.Parameter, text: str | None) -> datetime | None:
    """``90s``, ``15m``, ``1h``, ``2d``, ``1w`` before now, or ISO 8601 (local time unless it says)."""
    if text is None:
        return None
    try:
        if text[-1:] in _SECONDS:
            return datetime.now(UTC) - timedelta(seconds=float(text[:-1]) * _SECONDS[text[-1]])
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{text!r} is neither a span such as 15m, 1h, 2d nor a moment such as 2030-01-31T14:00"
        ) from None


_OPTIONS: Final = (
    click.option(
        "--state", "states", multiple=True, metavar="STATE", help="failed, running, timedout, ... (repeatable)."
    ),
    click.option("--task", "tasks", multiple=True, metavar="NAME", help="Task; * and ? mean any (repeatable)."),
    click.option("-Q", "--queue", "queues", multiple=True, metavar="NAME", help="Queue; * and ? (repeatable)."),
    click.option("--tag", "tags", multiple=True, metavar="TAG", help="Tag; all that are given (repeatable)."),
    click.option("--worker", "workers", multiple=True, metavar="NAME", help="Who ran it; * and ? (repeatable)."),
    click.option("--flow-run", "flow_run", metavar="ID", help="The flow run that submitted it."),
    click.option(
        "--since",
        callback=moment_or_span,
        metavar="MOMENT",
        help="Created after: 15m, 1h, 2d ago, or 2030-01-31T14:00.",
    ),
    click.option("--until", callback=moment_or_span, metavar="MOMENT", help="Created before."),
    click.option("--text", help="In the id, the task's name or the message."),
)


def with_whole_ids(fleet: Fleet, wanted: RunFilter | None) -> RunFilter | None:
    """The filter with a partial id completed."""
    if wanted is None or wanted.flow_run_id is None:
        return wanted
    return replace(wanted, flow_run_id=whole_id(fleet, wanted.flow_run_id))


def with_filters(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the filter options to a command, which gets ``wanted``: a RunFilter, or ``None`` if no option was given."""

    @wraps(command)
    def filtered(*args: Any, **options: Any) -> Any:
        names = ("states", "tasks", "queues", "tags", "workers", "since", "until", "text")
        given = {name: options.pop(name) for name in names}
        given["flow_run_id"] = options.pop("flow_run")
        check_filters(given)
        return command(*args, wanted=_filter_of(given) if any(given.values()) else None, **options)

    for option in reversed(_OPTIONS):
        filtered = option(filtered)
    return filtered


def check_filters(given: Mapping[str, Any]) -> None:
    """Raises ``click.UsageError``: a condition is blank (a variable that was not set), or a time ends before it begins.

    A blank condition must not mean none: ``runs cancel --task "$TASK"`` would cancel all.
    """
    for name, value in given.items():
        if any(
            isinstance(part, str) and not part.strip() for part in (value if isinstance(value, tuple) else (value,))
        ):
            raise click.UsageError(f"--{_OPTION_OF.get(name, name)} is blank: leave it out, or say which")
    check_order("--since", given.get("since"), "--until", given.get("until"))


def check_order(first: str, begin: datetime | None, last: str, end: datetime | None) -> None:
    """Raises ``click.UsageError``: of the values of two options the first is later than the last."""
    if begin is not None and end is not None and begin > end:
        raise click.UsageError(
            f"{first} ({begin.isoformat(timespec='seconds')}) is later than {last} "
            f"({end.isoformat(timespec='seconds')}): nothing is between them"
        )


_OPTION_OF: Final = {
    "states": "state", "tasks": "task", "queues": "queue", "tags": "tag", "workers": "worker",
    "flow_run_id": "flow-run", "flows": "flow-name", "types": "state-type", "deployments": "deployment",
}  # fmt: skip


def _filter_of(given: dict[str, Any]) -> RunFilter:
    from orchestrator.inspection import RunFilter

    return RunFilter(**{name: value for name, value in given.items() if value is not None})
