"""``orchestrator deployment run``."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click

from task_workers.cli import watch
from task_workers.cli.flow_run_facts import facts_of_flow_run
from task_workers.cli.moments import moment_after, moment_of, span_of
from task_workers.cli.numbers import Number
from task_workers.cli.previews import show_preview
from task_workers.cli.session import polled_queues, the_fleet
from task_workers.cli.terminal import age_text, as_json, echo_json, json_of, json_or_text, say

if TYPE_CHECKING:
    from orchestrator.client.fleet import Fleet
    from orchestrator.deployments.flow_run_value import FlowRun

WATCHED_TOO_LONG: Final = 124  # as of timeout(1)
_pairs: Final[dict[str, Any]] = {"multiple": True, "metavar": "NAME=VALUE"}


@click.command("run")
@click.argument("name", metavar="[NAME]", required=False)
@click.option("--id", "deployment_id", metavar="ID", help="The deployment by its id.")
@click.option("-p", "--param", "params", **_pairs, help="A parameter; JSON where it is that (repeatable).")
@click.option("--params", "all_params", metavar="JSON", help="Parameters as one JSON object; - reads it from stdin.")
@click.option("--start-in", metavar="SPAN", help="Begin after this: 90s, 10m, '2 hours'.")
@click.option("--start-at", metavar="MOMENT", help="Begin then: 2030-01-31T14:00.")
@click.option("-t", "--tag", "tags", multiple=True, help="A tag of the run (repeatable).")
@click.option("-jv", "--job-variable", "job_variables", **_pairs, help="Over the deployment's (repeatable).")
@click.option("--flow-run-name", metavar="NAME", help="Name of the run; {parameter} is filled in.")
@click.option("--version", metavar="VERSION", help="Number or label of the version that runs.")
@click.option("--dry-run", is_flag=True, help="Show what would be started, and make no run.")
@click.option("--watch", "watched", is_flag=True, help="Follow it; the exit code is its end, as of `watch`.")
@click.option("--watch-interval", type=float, hidden=True, help="Accepted: nothing is polled so seldom.")
@click.option("--watch-timeout", type=Number(0), metavar="SECONDS", help="Stop watching after this: exit code 124.")
@as_json
def run(name: str | None, deployment_id: str | None, as_json: bool, **wanted: Any) -> None:
    """Make a run of a deployment. NAME is FLOW/DEPLOYMENT, or an id.

    \b
    orchestrator deployment run daily-etl/nightly -p day=3 -p 'cities=["Oslo"]' --watch
    echo '{"day": 3}' | orchestrator deployment run daily-etl/nightly --params - --start-in 10m
    orchestrator deployment run daily-etl/nightly -p day=3 --dry-run

    With --watch the exit code is its end: 0 completed, 1 failed, 3 cancelled, 4 crashed, 124 --watch-timeout is over.
    """
    from orchestrator.deployments.envelope import RunWishes
    from orchestrator.deployments.lookup import find_deployment
    from orchestrator.deployments.running import RunRequest, run_deployment

    if (name is None) == (deployment_id is None):
        raise click.UsageError("which deployment? Give its name, FLOW/DEPLOYMENT, or --id")
    parameters = parameters_of(wanted["params"], wanted["all_params"])
    variables, when = (
        pairs_of(wanted["job_variables"], "--job-variable"),
        _start(wanted["start_in"], wanted["start_at"]),
    )
    with the_fleet() as fleet:
        record = find_deployment(fleet.broker, deployment_id if name is None else name)
        if wanted["dry_run"]:
            wishes = RunWishes(job_variables=variables or None)
            request = RunRequest(record.id, parameters, version=wanted["version"], wishes=wishes)
            return show_preview(fleet, record, request, as_json)
        made: FlowRun = run_deployment(
            record.id,
            parameters=parameters,
            scheduled_time=when,
            flow_run_name=_name_of(wanted["flow_run_name"], {**record.parameters, **parameters}, fleet),
            timeout=0,
            tags=wanted["tags"],
            job_variables=variables or None,
            version=wanted["version"],
        )
        if not as_json:
            _say_created(fleet, made, record.run_queue, record.full_name, variables, when)
        code = _watch(fleet, str(made.id), wanted["watch_timeout"], as_json) if wanted["watched"] else 0
        if as_json:
            echo_json({**facts_of_flow_run(fleet, str(made.id)), "job_variables": variables})
    sys.exit(code)


def _name_of(template: str | None, parameters: Mapping[str, Any], fleet: Fleet) -> str | None:
    """The name of a run, with parameters in it. Raises ``click.BadParameter``: it asks for another one."""
    if template is None or "{" not in template:
        return template
    from orchestrator.observability.redaction import Redaction

    try:
        return template.format(**Redaction(fleet.settings.redacted_names).of(parameters))
    except (LookupError, ValueError, AttributeError, TypeError):
        known = ", ".join(sorted(parameters)) or "none"
        raise click.BadParameter(
            f"{template!r} cannot be filled in; parameters of this run: {known}; braces of their own are doubled",
            param_hint="--flow-run-name",
        ) from None


def parameters_of(params: Sequence[str], all_params: str | None) -> dict[str, Any]:
    """The parameters of both options. Raises ``click.BadParameter``."""
    text = sys.stdin.read() if all_params == "-" else all_params
    whole: dict[str, Any] = {} if text is None else json_of("--params", text, dict)
    return {**whole, **pairs_of(params, "--param")}


def pairs_of(texts: Sequence[str], option: str) -> dict[str, Any]:
    """``NAME=VALUE``, values as JSON where they are that. Raises ``click.BadParameter``."""
    pairs = [text.partition("=") for text in texts]
    if wrong := [name for name, equals, _ in pairs if not equals or not name]:
        raise click.BadParameter(f"{wrong[0]!r}: write NAME=VALUE", param_hint=option)
    return {name: json_or_text(value) for name, _, value in pairs}


def _start(start_in: str | None, start_at: str | None) -> datetime | None:
    if start_in is not None and start_at is not None:
        raise click.UsageError("either --start-in or --start-at, not both")
    if start_in is not None:
        return moment_after(span_of(start_in, "--start-in"), "--start-in")
    return moment_of(start_at, "--start-at") if start_at is not None else None


def _say_created(
    fleet: Fleet, made: FlowRun, queue: str, name: str, variables: dict[str, Any], when: datetime | None
) -> None:
    from orchestrator.inspection.values import Redaction

    expected = made.expected_start_time
    begins = f"{expected.astimezone():%Y-%m-%d %H:%M:%S %Z}" if expected else "-"
    left = (when - datetime.now(UTC)).total_seconds() if when is not None else 0
    say(f"Created flow run {made.name!r}.")
    say(f"  UUID: {made.id}")
    say(f"  Parameters: {Redaction(fleet.settings.redacted_names).of(made.parameters)}")
    say(f"  Job Variables: {variables}")
    say(f"  Scheduled start time: {begins} ({f'in {age_text(left)}' if left > 0 else 'now'})")
    say(f"  URL: {_url(made)}")
    if queue not in polled_queues(fleet):
        say(f"nobody serves {name!r} now: the run waits until somebody does", err=True)


def _url(made: FlowRun) -> str:
    return f"http://127.0.0.1:4200/flows/{made.id} (after `orchestrator server start`)"


def _watch(fleet: Fleet, run_id: str, timeout: float | None, silent: bool) -> int:
    """Follow it; the exit code."""
    ended = watch.follow(fleet, run_id, timeout, show=not silent)
    if ended is None or not ended.ended:
        say(f"the run goes on: orchestrator flow-run watch {run_id}", err=True)
        return WATCHED_TOO_LONG
    return watch.EXIT_CODES.get(ended.type, 1)
