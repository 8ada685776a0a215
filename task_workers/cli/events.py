"""``orchestrator events``: what happened is listed, followed as it happens, and reported, as in Prefect's words."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, TextIO

import click

from task_workers.cli.filters import check_filters, moment_or_span
from task_workers.cli.numbers import Whole
from task_workers.cli.session import the_fleet
from task_workers.cli.terminal import as_json, echo_json, echo_table, json_of, say

if TYPE_CHECKING:
    from orchestrator.events.filters import EventFilter
    from orchestrator.events.schemas.events import ReceivedEvent

HEADS = ("OCCURRED", "EVENT", "RESOURCE", "NAME", "ID")
DROP = ("ID", "NAME")  # on a narrow terminal, in this order
_patterns = click.option(
    "--filter", "-f", "patterns", multiple=True, metavar="NAME", help="prefect.flow-run.* and the like (repeatable)."
)
_resources = click.option(
    "--resource",
    "-r",
    "resources",
    multiple=True,
    metavar="ID",
    help="prefect.flow-run.<id>, or any other; * at its end.",
)


@click.group("events")
def command() -> None:
    """What happened: to runs, deployments, work pools, schedules, workers, and whatever programs report.

    \b
    orchestrator events stream --filter 'prefect.flow-run.*'
    orchestrator events ls --filter prefect.flow-run.Failed --since 1h
    orchestrator events emit shop.order.paid --resource-id shop.order.7 --payload '{"total": 12}'
    """


@command.command("ls")
@_patterns
@_resources
@click.option("--since", callback=moment_or_span, metavar="MOMENT", help="15m, 1h, 2d ago, or 2030-01-31T14:00.")
@click.option("--until", callback=moment_or_span, metavar="MOMENT", help="Not after.")
@click.option("--text", default="", help="Words in names, labels or the payload; -WORD: not this one.")
@click.option("-n", "--limit", type=Whole(1, 10_000), default=50, show_default=True, help="At most so many.")
@click.option("--cursor", metavar="PLACE", help="Go on where an earlier list stopped.")
@as_json
def list_events(
    patterns: tuple[str, ...],
    resources: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    text: str,
    limit: int,
    cursor: str | None,
    as_json: bool,
) -> None:
    """List events, the newest first."""
    from orchestrator.events.search import find_events

    check_filters({"filter": patterns, "resource": resources, "since": since, "until": until})
    wanted = _filter(patterns, resources, since, until, text)
    with the_fleet() as fleet:
        try:
            page = find_events(fleet.broker, wanted, limit, cursor, seconds=5.0)
        except ValueError as error:
            raise click.UsageError(str(error)) from None
    if as_json:
        return echo_json([event.model_dump(mode="json") for event in page.events])
    if page.events:
        echo_table(HEADS, [_row_of(event) for event in page.events], DROP)
    else:
        say("no such events")
    if page.next is not None:
        say(f"looked at {page.looked_at:,} events; older ones: --cursor {page.next}", err=True)


@command.command("stream")
@_patterns
@_resources
@click.option("--format", "form", type=click.Choice(["json", "text"]), default="json", show_default=True)
@click.option("--output-file", type=click.File("a", lazy=False), metavar="FILE", help="Append to a file instead.")
@click.option("--run-once", is_flag=True, help="End after one event.")
def stream(
    patterns: tuple[str, ...], resources: tuple[str, ...], form: str, output_file: TextIO | None, run_once: bool
) -> None:
    """Write events as they happen, one a line, until Ctrl-C."""
    from orchestrator.events.subscription import subscribe

    write = _writer(form, output_file)
    with the_fleet(), subscribe(_filter(patterns, resources)) as events:
        say("Subscribing to event stream...", err=True)
        try:
            for event in events:
                write(event)
                if run_once:
                    return
        except KeyboardInterrupt:
            return


@command.command("emit")
@click.argument("event")
@click.option("--resource", "-r", metavar="KEY=VALUE|JSON", multiple=True, help="Labels of what it happened to.")
@click.option("--resource-id", metavar="ID", help="As --resource prefect.resource.id=ID.")
@click.option("--related", metavar="JSON", help="A list of the labels of what else has to do with it.")
@click.option("--payload", "-p", metavar="JSON", help="Whatever else is known.")
def emit(
    event: str, resource: tuple[str, ...], resource_id: str | None, related: str | None, payload: str | None
) -> None:
    """Report an event. Exits with 1 if it can be none.

    \b
    orchestrator events emit user.logged_in --resource-id user-123
    orchestrator events emit order.shipped --resource-id order-456 --payload '{"tracking": "ABC123"}'
    """
    from orchestrator.events.schemas.events import Event
    from orchestrator.events.stored import stored_from

    labels = {key: value for text in resource for key, value in _labels(text).items()}
    if resource_id is not None:
        labels["prefect.resource.id"] = resource_id
    facts = {
        "event": event,
        "resource": labels,
        "related": json_of("--related", related, list) if related is not None else [],
        "payload": json_of("--payload", payload, dict) if payload is not None else {},
    }
    try:
        emitted = Event.model_validate(facts)
        stored = stored_from(emitted)
    except ValueError as error:
        raise click.ClickException(_first_problem(error)) from None
    with the_fleet() as fleet:
        fleet.broker.events.append([stored])
    say(f"Successfully emitted event {event!r} with ID {emitted.id}")


def _first_problem(error: ValueError) -> str:
    """One line of it."""
    details = getattr(error, "errors", None)
    return details()[0]["msg"].removeprefix("Value error, ") if details else str(error)


def _labels(text: str) -> dict[str, str]:
    key, equals, value = text.partition("=")
    if text.lstrip().startswith("{") or not equals:
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise click.ClickException(f"--resource {text!r} is neither KEY=VALUE nor a JSON object")
        return {str(label): value if isinstance(value, str) else json.dumps(value) for label, value in found.items()}
    return {key: value}


def _filter(
    patterns: tuple[str, ...],
    resources: tuple[str, ...],
    since: datetime | None = None,
    until: datetime | None = None,
    text: str = "",
) -> EventFilter:
    from orchestrator.events.filters import EventFilter

    conditions: dict[str, Any] = {}
    if patterns:
        conditions["event"] = {"pattern": list(patterns)}
    if resources:
        conditions["any_resource"] = {"labels": {"prefect.resource.id": list(resources)}}
    occurred = {name: moment for name, moment in (("since", since), ("until", until)) if moment is not None}
    if occurred:
        conditions["occurred"] = occurred
    if text:
        conditions["text"] = {"query": text[:200]}
    return EventFilter.model_validate(conditions)


def _writer(form: str, file: TextIO | None) -> Callable[[ReceivedEvent], None]:
    def write(event: ReceivedEvent) -> None:
        line = event.model_dump_json() if form == "json" else _line_of(event)
        if file is None:
            say(line)
        else:
            file.write(line + "\n")
            file.flush()

    return write


def _line_of(event: ReceivedEvent) -> str:
    return f"{event.occurred.isoformat()} {event.event} {event.resource.id}"


def _row_of(event: ReceivedEvent) -> tuple[str, ...]:
    return (
        f"{event.occurred.astimezone():%Y-%m-%d %H:%M:%S}",
        event.event,
        event.resource.id,
        event.resource.name or "-",
        str(event.id),
    )
