"""``orchestrator automation``: what is done when something happens, in the words that Prefect's users know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from task_workers.cli import automation_create
from task_workers.cli.numbers import Number
from task_workers.cli.session import the_fleet
from task_workers.cli.terminal import as_json, ask, ask_on_a_terminal, echo_json, echo_table, first_line, say, with_yes

if TYPE_CHECKING:
    from orchestrator.automations.deliveries import Delivery, FiringView
    from orchestrator.automations.record import AutomationRecord
    from orchestrator.client.fleet import Fleet

HEADS = ("AUTOMATION", "ENABLED", "TRIGGER", "ACTIONS", "ID")
DROP = ("ID", "ACTIONS")  # on a narrow terminal, in this order
LONGEST_CELL = 60
SHOWN_FIRINGS = 10


class _Words(click.Group):
    """``pause`` is ``disable``, ``resume`` is ``enable``, as Prefect takes them."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, {"pause": "disable", "resume": "enable"}.get(cmd_name, cmd_name))


@click.group("automation", cls=_Words)
def command() -> None:
    """Automations: what is done when something happens, or does not happen in time.

    \b
    orchestrator automation create --name alerts --on Failed,Crashed --flow 'etl*' --notify slack-webhook/alerts
    orchestrator automation create --from-file automations.yaml
    orchestrator automation test alerts
    """


command.add_command(automation_create.create)
_NAME = click.argument("name", required=False)
_ID = click.option("--id", "automation_id", metavar="UUID", help="Its id, instead of its name.")


@command.command("ls")
@as_json
def list_automations(as_json: bool) -> None:
    """List automations, by name."""
    from orchestrator.automations.record import all_automations

    with the_fleet() as fleet:
        found = all_automations(fleet.broker)
    if as_json:
        return echo_json([one.as_json() for one in found])
    if not found:
        return say("there is no automation yet: orchestrator automation create --help")
    return echo_table(HEADS, [_row_of(one) for one in found], DROP)


def _row_of(one: AutomationRecord) -> tuple[str, ...]:
    if one.core is None:
        return (one.name, "unreadable", first_line(one.trouble, LONGEST_CELL), "", one.id)
    trigger = " ".join(one.core.trigger.describe_for_cli().split())
    actions = "; ".join(action.describe_for_cli() for action in one.core.all_actions)
    enabled = "yes" if one.enabled else "no"
    return (one.name, enabled, first_line(trigger, LONGEST_CELL), first_line(actions, LONGEST_CELL), one.id)


@command.command()
@_NAME
@_ID
@click.option("--yaml", "as_yaml", is_flag=True, help="As YAML, as --from-file takes it.")
@as_json
def inspect(name: str | None, automation_id: str | None, as_yaml: bool, as_json: bool) -> None:
    """Show an automation, its last firings, and what came of them."""
    from orchestrator.automations.deliveries import firings_of

    with the_fleet() as fleet:
        found = _one(fleet, name, automation_id)
        total, firings = firings_of(fleet, found.id, 0, SHOWN_FIRINGS)
    if as_json:
        return echo_json({**found.as_json(), "firings": [firing.as_json() for firing in firings]})
    if as_yaml:
        return say(_yaml(found.as_json()))
    _print(found)
    say(f"firings: {total:,}" + (f", the last {len(firings)}:" if firings else ""))
    for firing in firings:
        _print_firing(firing)
    return None


def _yaml(facts: dict[str, Any]) -> str:
    import yaml

    return str(yaml.safe_dump(facts, sort_keys=False, allow_unicode=True)).rstrip()


def _print(found: AutomationRecord) -> None:
    say(f"{found.name}  {'enabled' if found.enabled else 'disabled'}  {found.id}")
    if found.core is None:
        return say(f"it cannot be read here: {found.trouble}")
    if found.core.description:
        say(found.core.description)
    say("when: " + found.core.trigger.describe_for_cli().replace("\n", "\n      "))
    for action in found.core.all_actions:
        say(f"then: {action.describe_for_cli()}")
    return None


def _print_firing(firing: FiringView) -> None:
    by = firing.event or "what did not come in time"
    held = "  held back: it is set off by what it does itself" if firing.held else ""
    say(f"  {firing.at:%Y-%m-%d %H:%M:%S}Z  {by}  {firing.resource}{held}")
    for one in firing.deliveries:
        say(f"    {line_of(one)}")


def line_of(one: Delivery) -> str:
    """A delivery in a line."""
    tries = "" if one.tries < 2 else f" after {one.tries} tries"
    message = f": {first_line(one.message)}" if one.message else ""
    replay = f"  (again: orchestrator runs retry {one.id})" if one.may_be_replayed else ""
    return f"{one.action}  {one.state}{tries}{message}{replay}"


@command.command()
@_NAME
@_ID
def enable(name: str | None, automation_id: str | None) -> None:
    """Look at it again, from now on."""
    _switch(name, automation_id, True)


@command.command()
@_NAME
@_ID
def disable(name: str | None, automation_id: str | None) -> None:
    """Do not look at it until it is enabled."""
    _switch(name, automation_id, False)


def _switch(name: str | None, automation_id: str | None, on: bool) -> None:
    from orchestrator.automations.editing import switch_automation

    word = "enabled" if on else "disabled"
    with the_fleet() as fleet:
        found = _one(fleet, name, automation_id)
        changed = switch_automation(fleet, found.id, on)
    say(f"Automation {found.name!r} {'is' if changed else 'was'} {word}{'' if changed else ' already'}.")


@command.command()
@_NAME
@_ID
@click.option("--all", "everything", is_flag=True, help="All of them.")
@with_yes
def delete(name: str | None, automation_id: str | None, everything: bool, yes: bool) -> None:
    """Delete an automation, or all."""
    from orchestrator.automations.editing import delete_automations
    from orchestrator.automations.record import all_automations

    if everything and (name or automation_id):
        raise click.UsageError("give a name, --id, or --all")
    with the_fleet() as fleet:
        if everything:
            found = all_automations(fleet.broker)
            ask(f"delete {len(found):,} automations?", yes)
        else:
            found = [_one(fleet, name, automation_id)]
            ask_on_a_terminal(f"delete the automation {found[0].name!r}?", yes)
        delete_automations(fleet, [one.id for one in found])
    say(f"Deleted {len(found):,} automations." if everything else f"Deleted automation {found[0].name!r}.")


@command.command()
@_NAME
@_ID
@click.option("--flow-run", "flow_run_id", metavar="ID", help="Have the event be about this flow run.")
@click.option("--wait", type=Number(min=0), default=15.0, show_default=True, help="Seconds for the actions.")
def test(name: str | None, automation_id: str | None, flow_run_id: str | None, wait: float) -> None:
    """Fire it once, now, and show what comes of its actions. Exits with 1 unless all are done."""
    from orchestrator.automations.by_hand import fire_by_hand
    from orchestrator.automations.here import wait_for_actions

    with the_fleet() as fleet:
        found = _one(fleet, name, automation_id)
        calls = fire_by_hand(fleet, found, flow_run_id)
        deliveries = wait_for_actions(fleet, calls, wait)
    say(f"Automation {found.name!r} fired: {len(calls)} actions")
    for one in deliveries:
        say(f"  {line_of(one)}")
    if any(one.state_type != "COMPLETED" for one in deliveries):
        raise click.exceptions.Exit(1)


def _one(fleet: Fleet, name: str | None, automation_id: str | None) -> AutomationRecord:
    """Raises ``click.UsageError``, and AutomationNotFound: one line and exit code 1."""
    from orchestrator.automations.lookup import find_automation

    if (name is None) == (automation_id is None):
        raise click.UsageError("give a name, or --id")
    return find_automation(fleet.broker, name if name is not None else automation_id)
