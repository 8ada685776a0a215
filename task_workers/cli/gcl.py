"""``orchestrator gcl``: global concurrency limits, what goes on under them and who waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from task_workers.cli.numbers import Number, Whole
from task_workers.cli.session import the_fleet
from task_workers.cli.terminal import as_json, ask_on_a_terminal, echo_json, echo_table, say, with_yes

if TYPE_CHECKING:
    from orchestrator.client.fleet import Fleet
    from orchestrator.concurrency.declared import DeclaredLimit

HEADS = ("NAME", "LIMIT", "TAKEN", "WAITING", "DECAY/S", "STATE")
DROP = ("DECAY/S", "WAITING")  # on a narrow terminal, in this order


@click.group("gcl")
def command() -> None:
    """Global concurrency limits: create, list, change, switch on and off, delete.

    Code takes places with orchestrator.concurrency, tasks with @task(concurrency=(NAME, SIZE)). A change holds at once
    for what has not begun.
    """


_limit = click.option("--limit", "-l", type=Whole(min=0), help="How many places; 0: none may start.")
_decay = click.option(
    "--slot-decay-per-second",
    type=Number(min=0),
    help="Places that come back per second after rate_limit; 0: none.",
)


@command.command()
@click.argument("name")
@click.option("--limit", "-l", type=Whole(min=0), required=True, help="How many places; 0: none may start.")
@_decay
@click.option("--disable", is_flag=True, help="Make it, but let it hold nobody up yet.")
def create(name: str, limit: int, slot_decay_per_second: float | None, disable: bool) -> None:
    """Make a limit. Exits with 1 if there is one of that name."""
    from orchestrator.errors import BrokerConflict

    decay = slot_decay_per_second or 0.0
    try:
        with the_fleet() as fleet:
            _declare(fleet, name, limit=limit, active=not disable, slot_decay_per_second=decay, only_new=True)
    except BrokerConflict:
        raise click.ClickException(
            f"there is a limit {name!r} already; it is changed with: orchestrator gcl update {name} --limit {limit}"
        ) from None
    say(f"{name}: {limit} places" + (", switched off" if disable else ""))


@command.command("ls")
@as_json
def list_limits(as_json: bool) -> None:
    """List the limits, what was changed last first."""
    from orchestrator.concurrency.declared import all_declared

    with the_fleet() as fleet:
        total, limits = all_declared(fleet, count=1000)
    if as_json:
        return echo_json([limit.as_json() for limit in limits])
    if not limits:
        return say("there is no limit yet: orchestrator gcl create NAME --limit N")
    echo_table(HEADS, [_row_of(limit) for limit in limits], DROP)
    if total > len(limits):
        say(f"and {total - len(limits):,} more")


def _row_of(limit: DeclaredLimit) -> tuple[str, ...]:
    state = "on" if limit.active else "off"
    decay = f"{limit.slot_decay_per_second:g}" if limit.slot_decay_per_second else "-"
    return limit.name, f"{limit.limit:,}", f"{limit.use.taken:g}", f"{limit.use.waiting:,}", decay, state


@command.command()
@click.argument("name")
@as_json
def inspect(name: str, as_json: bool) -> None:
    """Show a limit, who holds its places, and how many wait."""
    with the_fleet() as fleet:
        limit = _existing(fleet, name)
    if as_json:
        return echo_json(limit.as_json())
    echo_table(HEADS, [_row_of(limit)], DROP)
    for holder in limit.use.holders:
        say(f"  {'block' if holder.is_lease else 'run'} {holder.who} holds {holder.places}")
    for run_id in limit.use.waiting_runs:
        say(f"  run {run_id} waits")


@command.command()
@click.argument("name")
@_limit
@_decay
@click.option("--enable/--disable", "active", default=None, help="Switch it on or off.")
def update(name: str, limit: int | None, slot_decay_per_second: float | None, active: bool | None) -> None:
    """Change a limit: what waits and fits now goes on; what runs keeps its place."""
    if limit is None and slot_decay_per_second is None and active is None:
        raise click.UsageError("nothing to change: give --limit, --slot-decay-per-second, --enable or --disable")
    with the_fleet() as fleet:
        _existing(fleet, name)
        _declare(fleet, name, limit=limit, slot_decay_per_second=slot_decay_per_second, active=active)
    say(f"{name} is changed")


@command.command()
@click.argument("name")
def enable(name: str) -> None:
    """Let it hold up again whatever is too much."""
    _switch(name, True)


@command.command()
@click.argument("name")
def disable(name: str) -> None:
    """Let it hold nobody up, until it is enabled."""
    _switch(name, False)


def _switch(name: str, on: bool) -> None:
    word = "on" if on else "off"
    with the_fleet() as fleet:
        if _existing(fleet, name).active is on:
            return say(f"{name} was {word} already")
        _declare(fleet, name, active=on)
    return say(f"{name} is {word}")


@command.command()
@click.argument("name")
@with_yes
def delete(name: str, yes: bool) -> None:
    """Forget a limit; tasks whose code names a size keep to that."""
    from orchestrator.concurrency.declared import forget

    with the_fleet() as fleet:
        _existing(fleet, name)
        ask_on_a_terminal(f"delete the limit {name}?", yes)
        forget(fleet, [name])
    say(f"{name} is deleted")


def _existing(fleet: Fleet, name: str) -> DeclaredLimit:
    """Raises ClickException, exit code 1, where there is none of that name."""
    from orchestrator.concurrency.declared import declared

    (limit,) = declared(fleet, [name])
    if limit is None:
        raise click.ClickException(f"Limit {name!r} not found!")
    return limit


def _declare(fleet: Fleet, name: str, **what: Any) -> None:
    from orchestrator.concurrency.declared import declare

    try:
        declare(fleet, name, **what)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
