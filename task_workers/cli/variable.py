"""``orchestrator variable``: values that flows read, set and looked at in the words that Prefect's users know."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from task_workers.cli.numbers import Whole
from task_workers.cli.session import the_fleet
from task_workers.cli.terminal import as_json, ask_on_a_terminal, echo_json, echo_table, json_or_text, say, with_yes

if TYPE_CHECKING:
    from orchestrator.client.fleet import Fleet
    from orchestrator.variables import Variable

HEADS = ("NAME", "VALUE", "TAGS", "CREATED", "UPDATED")
DROP = ("CREATED", "TAGS", "UPDATED")  # on a narrow terminal, in this order
LONGEST_CELL = 50


class _Words(click.Group):
    """``delete`` is ``unset``, as Prefect takes it."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, "unset" if cmd_name == "delete" else cmd_name)


@click.group("variable", cls=_Words)
def command() -> None:
    """Variables: values under names that flows read while they run. They are no place for secrets.

    \b
    orchestrator variable set cities '["Oslo", "Rome"]' --tag etl
    orchestrator variable get cities
    """


@command.command("set")
@click.argument("name")
@click.argument("value")
@click.option("--overwrite", is_flag=True, help="Change one that is there.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="For lists; may be given more than once.")
def set_variable(name: str, value: str, overwrite: bool, tags: tuple[str, ...]) -> None:
    """Set a variable. VALUE is JSON; what is none is a text. Exits with 1 if there is one of that name."""
    from orchestrator import variables

    with the_fleet() as fleet:
        if not overwrite and variables.read(fleet, name) is not None:
            raise click.ClickException(f"Variable {name!r} already exists. Use `--overwrite` to update it.")
        try:
            variables.write(fleet, name, json_or_text(value), tags, overwrite=overwrite)
        except ValueError as error:
            raise click.ClickException(str(error)) from None
    say(f"Set variable {name!r}.")


@command.command("get")
@click.argument("name")
def get_variable(name: str) -> None:
    """Write the value of a variable as JSON."""
    with the_fleet() as fleet:
        found = _existing(fleet, name)
    if found.trouble:
        raise click.ClickException(f"Variable {name!r} cannot be read here: {found.trouble}")
    echo_json(found.value, indent=None)


@command.command("ls")
@click.option("--limit", type=Whole(min=1), default=100, show_default=True, help="How many at most.")
@as_json
def list_variables(limit: int, as_json: bool) -> None:
    """List variables by name; of many, those that were written last."""
    from orchestrator import variables

    with the_fleet() as fleet:
        total, found = variables.records(fleet.broker, limit=limit)
    found = sorted(found, key=lambda one: one.name)
    if as_json:
        return echo_json([_facts(one) for one in found])
    if not found:
        return say("there is no variable yet: orchestrator variable set NAME VALUE")
    echo_table(HEADS, [_row_of(one) for one in found], DROP)
    if total > len(found):
        say(f"and {total - len(found):,} more")


@command.command("inspect")
@click.argument("name")
@as_json
def inspect_variable(name: str, as_json: bool) -> None:
    """Show a variable with its tags and when it was written."""
    with the_fleet() as fleet:
        found = _existing(fleet, name)
    facts = _facts(found)
    if as_json:
        return echo_json(facts)
    for key, value in facts.items():
        if value is not None:
            say(f"{key}: {json.dumps(value, ensure_ascii=False) if key in ('value', 'tags') else value}")


@command.command("unset")
@click.argument("name")
@with_yes
def unset_variable(name: str, yes: bool) -> None:
    """Delete a variable. On a terminal you are asked."""
    from orchestrator import variables

    with the_fleet() as fleet:
        _existing(fleet, name)
        ask_on_a_terminal(f"Are you sure you want to unset variable {name!r}?", yes)
        variables.delete(fleet, name)
    say(f"Unset variable {name!r}.")


def _existing(fleet: Fleet, name: str) -> Variable:
    """Raises ClickException, exit code 1, where there is none of that name."""
    from orchestrator import variables

    found = variables.read(fleet, name)
    if found is None:
        raise click.ClickException(f"Variable {name!r} not found!")
    return found


def _row_of(one: Variable) -> tuple[str, ...]:
    text = f"unreadable: {one.trouble}" if one.trouble else json.dumps(one.value, ensure_ascii=False)
    shown = text if len(text) <= LONGEST_CELL else text[: LONGEST_CELL - 1] + "…"
    written = (f"{at.astimezone():%Y-%m-%d %H:%M:%S}" if at is not None else "-" for at in (one.created, one.updated))
    return one.name, shown, ", ".join(one.tags) or "-", *written


def _facts(one: Variable) -> dict[str, Any]:
    return {
        "id": one.id,
        "name": one.name,
        "value": one.value,
        "tags": one.tags,
        "created": one.created.isoformat() if one.created is not None else None,
        "updated": one.updated.isoformat() if one.updated is not None else None,
        "trouble": one.trouble or None,
    }
