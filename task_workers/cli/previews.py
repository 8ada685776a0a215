"""What would be started: a run of a deployment, and what a work pool has before it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import click

from task_workers.cli.moments import span_of
from task_workers.cli.numbers import Number
from task_workers.cli.session import polled_queues, the_fleet
from task_workers.cli.terminal import as_json, echo_json, echo_table, say

if TYPE_CHECKING:
    from orchestrator.client.fleet import Fleet
    from orchestrator.deployments.preview import ComingRun
    from orchestrator.deployments.record import DeploymentRecord
    from orchestrator.deployments.running import RunRequest
    from orchestrator.work_pools.job import Job

HEADS: Final = ("DUE", "WHAT", "DEPLOYMENT", "QUEUE", "ENV", "WHERE", "RUN")
DROP: Final = ("RUN", "WHERE", "ENV", "QUEUE")  # on a narrow terminal, in this order


def show_preview(fleet: Fleet, record: DeploymentRecord, request: RunRequest, as_json: bool) -> None:
    """What a run would be, which is not made. Raises what refuses such a run."""
    from orchestrator.deployments.preview import preview_of
    from orchestrator.inspection.values import Redaction

    found, redaction = preview_of(fleet, record, request), Redaction(fleet.settings.redacted_names)
    facts: dict[str, Any] = {
        "deployment": found.deployment,
        "version": found.version,
        "entrypoint": found.entrypoint,
        "parameters": redaction.of(found.parameters),
        "work_pool": found.work_pool,
        "queue": found.queue,
        "is_read": found.queue in polled_queues(fleet),
        **_plain(found.job, redaction, record.flow_name),
    }
    if as_json:
        return echo_json(facts)
    say("no run was made; it would be:")
    for name, value in facts.items():
        if value is not None:
            say(f"  {name}: {value if isinstance(value, str) else json.dumps(value, default=str)}")
    return None


def _plain(job: Job, redaction: Any, flow_name: str) -> dict[str, Any]:
    from orchestrator.work_pools.started import shown_start

    facts = {"type": job.kind, "env": redaction.of(job.env), "working_dir": job.working_dir}
    return facts | shown_start(job, flow_name, redaction)


@click.command("preview")
@click.argument("name")
@click.option("--hours", "-h", type=Number(0, 24 * 366), help="So far ahead.  [default: 1]")
@click.option("--within", metavar="SPAN", help="The same as a span: 90s, 10m, '2 days'.")
@as_json
def preview(name: str, hours: float | None, within: str | None, as_json: bool) -> None:
    """Show what a work pool will start: runs that wait, and ticks of schedules to come, with their environment.

    \b
    orchestrator work-pool preview my-pool --hours 24
    """
    from orchestrator.deployments.preview import coming_runs
    from orchestrator.inspection.values import Redaction
    from orchestrator.work_pools.lookup import find_pool

    if hours is not None and within is not None:
        raise click.UsageError("either --hours or --within, not both")
    span = span_of(within, "--within") if within is not None else timedelta(hours=1 if hours is None else hours)
    with the_fleet() as fleet:
        pool = find_pool(fleet.broker, name)
        runs, redaction = coming_runs(fleet, name, span.total_seconds()), Redaction(fleet.settings.redacted_names)
    if as_json:
        return echo_json([_json_of(run, redaction) for run in runs])
    if pool.paused:
        say(f"{name} is paused: nothing of this is handed out until it is resumed")
    if not runs:
        return say(f"{name} has nothing to start within {span}")
    return echo_table(HEADS, [_row_of(run, redaction) for run in runs], DROP)


def _row_of(run: ComingRun, redaction: Any) -> tuple[str, ...]:
    env = ", ".join(f"{name}={value}" for name, value in redaction.of(run.job.env).items())
    due = f"{run.moment.astimezone():%Y-%m-%d %H:%M:%S}"
    what = run.trouble or ("tick" if run.is_tick else "waits")
    return due, what, run.deployment, run.work_queue, env or "-", _where(run.job), run.run_id


def _where(job: Job) -> str:
    """Folder of a process, image of a container."""
    if job.is_process:
        return job.working_dir or "-"
    return str(job.configuration.get("image") or _image_in(job.configuration.get("job_manifest")) or "-")


def _image_in(manifest: Any) -> Any:
    try:
        return manifest["spec"]["template"]["spec"]["containers"][0]["image"]
    except (TypeError, KeyError, IndexError):  # a template of somebody's own
        return None


def _json_of(run: ComingRun, redaction: Any) -> dict[str, Any]:
    return {
        "due": run.moment.isoformat(),
        "flow_run_id": run.run_id,
        "deployment": run.deployment,
        "work_queue": run.work_queue,
        "is_tick": run.is_tick,
        "trouble": run.trouble or None,
        **_plain_if_well(run, redaction),
    }


def _plain_if_well(run: ComingRun, redaction: Any) -> dict[str, Any]:
    from orchestrator.errors import ConfigurationError

    try:
        return _plain(run.job, redaction, run.deployment.partition("/")[0])
    except ConfigurationError as error:  # one of many that are listed
        return {"type": run.job.kind, "trouble": run.trouble or str(error)}
