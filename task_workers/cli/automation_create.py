"""``orchestrator automation create``: by options, or from a file or text as Prefect has it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from task_workers.cli.numbers import Number, Whole
from task_workers.cli.session import the_fleet
from task_workers.cli.state_names import unknown_among
from task_workers.cli.terminal import say

if TYPE_CHECKING:
    from orchestrator.events.schemas.automations import AutomationCore

BODY: Final = (
    "Flow run {{ flow_run.name }} of flow {{ flow.name }} is {{ flow_run.state.name }}.\n{{ flow_run.state.message }}"
    "{% if ui_url %}\n{{ flow_run.ui_url }}{% endif %}"
)
STATES: Final = (
    "Scheduled Late AwaitingConcurrencySlot AwaitingRetry Pending Running Retrying Completed Cached Failed TimedOut "
    "Cancelling Cancelled Crashed Paused Suspended RolledBack"
)
SUBJECT: Final = "Flow run {{ flow_run.name }} is {{ flow_run.state.name }}"


@click.command("create")
@click.option(
    "--from-file", "-f", type=click.Path(dir_okay=False, path_type=Path), help="YAML or JSON: one, or several."
)
@click.option("--from-json", "-j", metavar="JSON", help="The same as text.")
@click.option("--name", "-n", help="Of the new automation.")
@click.option("--on", metavar="STATE,...", help="States of flow runs, as Failed,Crashed; or names of events.")
@click.option("--flow", "flows", multiple=True, metavar="NAME", help="Of these flows only; * at the end is any text.")
@click.option("--deployment", "deployments", multiple=True, metavar="FLOW/NAME", help="Of these deployments only.")
@click.option("--notify", "blocks", multiple=True, metavar="SLUG/NAME", help="Send a message with this block.")
@click.option("--run", "runs", multiple=True, metavar="FLOW/NAME", help="Run this deployment.")
@click.option("--cancel", is_flag=True, help="Cancel the flow run.")
@click.option("--threshold", type=Whole(min=1), default=1, show_default=True, help="How many events.")
@click.option("--within", type=Number(min=0), default=0.0, help="In how many seconds; 0: any time.")
@click.option("--subject", default=SUBJECT, help="Template of the message's subject.")
@click.option("--body", default=BODY, help="Template of the message.")
@click.option("--disabled", is_flag=True, help="Make it, but do not look at it yet.")
def create(from_file: Path | None, from_json: str | None, **given: Any) -> None:
    """Make automations.

    \b
    orchestrator automation create --name alerts --on Failed,Crashed --flow 'etl*' --notify slack-webhook/alerts
    orchestrator automation create --from-file automations.yaml

    A file has one automation, a list of them, or a list under "automations". Exits with 1 if one cannot be made.
    """
    sources = [from_file is not None, from_json is not None, given["name"] is not None]
    if sum(sources) != 1:
        raise click.UsageError("give --name with --on and what is to be done, or --from-file, or --from-json")
    if given["name"] is not None:
        wanted = [_from_options(**given)]
    else:
        wanted = _listed(_read(from_file) if from_file is not None else _json(from_json or "", "--from-json"))
    if not wanted:
        raise click.ClickException("there is no automation in it, and none was made")
    _make(wanted)


def _make(wanted: list[Any]) -> None:
    from orchestrator.automations.editing import create_automation
    from orchestrator.errors import OrchestratorError

    failed = False
    with the_fleet() as fleet:
        for number, facts in enumerate(wanted):
            try:
                made = create_automation(fleet, _core(facts))
                say(f"Created automation {made.name!r} with id {made.id}")
            except (OrchestratorError, ValueError) as error:
                failed = True
                name = facts.get("name") if isinstance(facts, dict) else None
                say(f"{name or f'automation {number + 1}'}: {_why(error)}", err=True)
    if failed:
        raise click.exceptions.Exit(1)


def _core(facts: Any) -> AutomationCore:
    from orchestrator.events.schemas.automations import AutomationCore

    if not isinstance(facts, dict):
        raise ValueError("an automation is an object with name, trigger and actions")
    return AutomationCore(**{key: value for key, value in facts.items() if isinstance(key, str) and key != "id"})


def _why(error: Exception) -> str:
    """In one line, for each field that does not fit."""
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return str(error)
    parts = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_url=False))
    return "; ".join(parts)


def _listed(data: Any) -> list[Any]:
    if isinstance(data, dict) and "automations" in data:
        data = data["automations"]
    return data if isinstance(data, list) else [data]


def _read(path: Path) -> Any:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{path} cannot be read: {error}") from None
    if path.suffix.lower() == ".json":
        return _json(text, str(path))
    if path.suffix.lower() not in (".yaml", ".yml"):
        raise click.ClickException(f"{path}: a file of automations ends with .yaml, .yml or .json")
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise click.ClickException(f"{path} is no YAML: {error}") from None


def _json(text: str, source: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise click.ClickException(f"{source} is no JSON: {error}") from None


def _from_options(
    name: str, on: str | None, flows: tuple[str, ...], deployments: tuple[str, ...], **given: Any
) -> dict[str, Any]:
    words = [word.strip() for word in (on or "").split(",") if word.strip()]
    if not words:
        raise click.UsageError("--on is missing: states of flow runs, as Failed,Crashed, or names of events")
    actions: list[dict[str, Any]] = [
        {"type": "send-notification", "block_document_id": block, "subject": given["subject"], "body": given["body"]}
        for block in given["blocks"]
    ]
    actions += [{"type": "run-deployment", "deployment_id": deployment} for deployment in given["runs"]]
    actions += [{"type": "cancel-flow-run"}] if given["cancel"] else []
    if not actions:
        raise click.UsageError("what is to be done? Give --notify, --run or --cancel")
    for word in unknown_among(word for word in words if "." not in word):
        say(f"no state of ours is called {word!r}: it happens only where a flow calls one so itself", err=True)
    trigger = {
        "expect": [event_of(word) for word in words],
        "match_related": _related(flows, deployments),
        "threshold": given["threshold"],
        "within": given["within"],
    }
    return {"name": name, "enabled": not given["disabled"], "trigger": trigger, "actions": actions}


def event_of(word: str) -> str:
    """The event that is meant: a state of flow runs, or a name with a dot.

    >>> event_of("Failed"), event_of("timedout"), event_of("shop.order.paid")
    ('prefect.flow-run.Failed', 'prefect.flow-run.TimedOut', 'shop.order.paid')
    """
    word = word.strip()
    if "." in word or word == "*":
        return word
    known = {one.lower(): one for one in STATES.split()}
    return f"prefect.flow-run.{known.get(word.lower(), word)}"


def _related(flows: tuple[str, ...], deployments: tuple[str, ...]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if flows:
        found.append({"prefect.resource.role": "flow", "prefect.resource.name": list(flows)})
    if deployments:
        names = [name.rpartition("/")[2] for name in deployments] + list(deployments)
        found.append({"prefect.resource.role": "deployment", "prefect.resource.name": names})
    return found
