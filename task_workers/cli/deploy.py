"""``orchestrator deploy``: write deployments, of a flow that is named or of those that the project's file describes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from task_workers.cli.deployment_run import pairs_of, parameters_of
from task_workers.cli.numbers import Whole
from task_workers.cli.schedule_options import with_schedule_options
from task_workers.cli.session import polled_queues, the_fleet
from task_workers.cli.terminal import as_json, echo_json, say

if TYPE_CHECKING:
    from orchestrator.client.fleet import Fleet
    from orchestrator.deployments.project_file import ProjectDeployment

_PAIRS: Final[dict[str, Any]] = {"multiple": True, "metavar": "NAME=VALUE"}
_SAME: Final = ("description", "version", "work_pool_name", "work_queue_name", "concurrency_limit", "paused")


@click.command("deploy")
@click.argument("entrypoint", metavar="[FILE:FLOW]", required=False)
@click.option("-n", "--name", "names", multiple=True, help="Name; of those in the file also * and ? (repeatable).")
@click.option("--all", "everything", is_flag=True, help="All that the project's file describes.")
@click.option(
    "--prefect-file", "--file", "file", type=click.Path(dir_okay=False, path_type=Path), help="The project's file."
)
@click.option("-p", "--pool", "work_pool_name", metavar="POOL", help="The work pool whose workers run it.")
@click.option("-q", "--work-queue", "work_queue_name", metavar="QUEUE", help="A queue of that pool.")
@with_schedule_options
@click.option("-d", "--description", help="For people.  [default: the flow's docstring]")
@click.option("--version", metavar="LABEL", help="Label of the version.")
@click.option("-t", "--tag", "tags", multiple=True, help="A tag of its runs (repeatable).")
@click.option("--param", "params", **_PAIRS, help="A parameter of its runs; JSON where it is that (repeatable).")
@click.option("--params", "all_params", metavar="JSON", help="Parameters as one JSON object; - reads it from stdin.")
@click.option("-jv", "--job-variable", "job_variables", **_PAIRS, help="For the work pool's template (repeatable).")
@click.option("-l", "--concurrency-limit", type=Whole(0), help="Runs of it at once.")
@click.option("--paused/--active", default=None, help="Whether its schedules are left alone.  [default: as it was]")
@click.option(
    "--enforce-parameter-schema/--no-enforce-parameter-schema",
    default=None,
    help="Whether parameters are checked before a run is made.  [default: they are]",
)
@as_json
def command(
    entrypoint: str | None, names: tuple[str, ...], everything: bool, file: Path | None, as_json: bool, **given: Any
) -> None:
    """Write a deployment of a flow, or those that orchestrator.yaml (else prefect.yaml) in this folder describes.

    \b
    orchestrator deploy flows.py:etl -n nightly --cron '0 6 * * *' --timezone Europe/Oslo -p my-pool
    orchestrator deploy --all
    orchestrator deploy -n nightly --param days=3

    What is not given stays as it was; options win over the file. Without a pool whoever serves it has its runs.
    """
    wanted = _options(given)
    found = _described(entrypoint, names, everything, file)
    with the_fleet() as fleet:
        written = [_deployed(fleet, each, wanted) for each in found]
    if as_json:
        return echo_json(written)
    for each in written:
        _say_deployed(each)
    return None


def _options(given: dict[str, Any]) -> dict[str, Any]:
    """What the options say, as ``to_deployment`` has it."""
    options = {name: given[name] for name in (*_SAME, "enforce_parameter_schema") if given[name] is not None}
    parameters = parameters_of(given["params"], given["all_params"])
    several = {
        "schedules": given["schedules"],
        "tags": list(given["tags"]),
        "parameters": parameters,
        "job_variables": pairs_of(given["job_variables"], "--job-variable"),
    }
    return options | {name: value for name, value in several.items() if value}


def _described(
    entrypoint: str | None, names: Sequence[str], everything: bool, file: Path | None
) -> list[ProjectDeployment]:
    """The deployments that are meant. Raises ConfigurationError, ``click.UsageError``."""
    from orchestrator.deployments.project_file import ProjectDeployment, find_project_file, read_project_file, selected

    if entrypoint is not None:
        if len(names) != 1 or everything:
            raise click.UsageError(f"what is the deployment of {entrypoint} called? Give it one name: -n NAME")
        return [ProjectDeployment(names[0], entrypoint, {})]
    path = file or find_project_file(Path.cwd())
    if path is None:
        raise click.UsageError("which flow? Name it, FILE:FLOW, or describe deployments in an orchestrator.yaml here")
    described = read_project_file(path)
    if names:
        return selected(described, names)
    if len(described) > 1 and not everything:
        known = ", ".join(one.name for one in described)
        raise click.UsageError(f"{path.name} describes {known}: say which with -n NAME, or --all")
    return described


def _deployed(fleet: Fleet, described: ProjectDeployment, wanted: dict[str, Any]) -> dict[str, Any]:
    """Write one; what is to be shown of it. Raises ConfigurationError, MissingFlowError, ObjectNotFound, ..."""
    from orchestrator.deployments.lookup import find_deployment
    from orchestrator.deployments.project_steps import filled_in, run_steps
    from orchestrator.deployments.stored_values import with_variables
    from orchestrator.errors import ConfigurationError
    from orchestrator.flows import load_flow_from_entrypoint
    from orchestrator.variables import value_named

    for what in described.left_out:
        say(f"{described.name}: {what} of the file is left out: {_WHY.get(what, 'it means nothing here')}", err=True)
    outputs = run_steps(described.steps)
    read = partial(value_named, fleet)
    entrypoint = filled_in(with_variables(described.entrypoint, read), outputs)
    if not entrypoint:
        raise ConfigurationError(f"deployment {described.name!r} has no entrypoint: write FILE:FLOW")
    flow = load_flow_from_entrypoint(entrypoint)
    try:
        options = {name: value for name, value in described.options.items() if name != "triggers"}
        options = filled_in(with_variables(options, read), outputs)
        triggers = described.options.get("triggers")  # their templates are filled in when they fire
        made = flow.to_deployment(described.name, triggers=triggers, **{**options, **wanted})
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"deployment {described.name!r}: {error}") from None
    pool = made.work_pool_name or fleet.settings.default_work_pool
    record = find_deployment(fleet.broker, made.apply(pool))
    return {
        "id": record.id,
        "name": record.full_name,
        "version": record.version_number,
        "entrypoint": entrypoint,
        "work_pool_name": record.work_pool_name,
        "is_polled": record.run_queue in polled_queues(fleet),
    }


_WHY: Final = {
    "pull": "workers have the code of the version that they run",
    "sla": "this version watches no service levels",
}


def _say_deployed(written: dict[str, Any]) -> None:
    say(f"Deployment {written['name']!r} successfully created with id {written['id']!r}: version {written['version']}.")
    say(f"  run it:  orchestrator deployment run {written['name']!r}")
    if not written["is_polled"]:
        pool = written["work_pool_name"]
        start = (
            f"worker start --pool {pool!r}"
            if pool
            else f"serve {written['entrypoint']} -n {written['name'].partition('/')[2]!r}"
        )
        say(f"  nobody takes its runs yet:  orchestrator {start}")
