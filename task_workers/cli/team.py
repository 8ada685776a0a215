"""``orchestrator team``: roles over parts of everything, for several people."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from task_workers.cli.aliases import AliasGroup
from task_workers.cli.session import the_fleet
from task_workers.cli.terminal import as_json, ask_on_a_terminal, echo_json, echo_table, say, with_yes
from task_workers.cli.user import ROLES

if TYPE_CHECKING:
    from orchestrator.people.record import Team
    from orchestrator.people.scope import Scope

HEADS = ("NAME", "ROLE", "MEMBERS", "SCOPE")
DROP = ("MEMBERS",)


@click.group("team", cls=AliasGroup, aliases={"list": "ls", "rm": "delete", "join": "add"})
def command() -> None:
    """Teams: a role over a scope, for those who are in it. What several teams give adds up.

    \b
    orchestrator team create etl --role editor --deployment 'etl*/*'
    orchestrator team add etl bob
    """


def with_scope(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say what a team sees."""
    options = (
        ("--deployment", "deployments", "Deployments and their runs: patterns of flow/deployment."),
        ("--pool", "pools", "Work pools and their deployments: patterns."),
        ("--tag", "tags", "Deployments, task runs and variables with such a tag: patterns."),
    )
    for option, name, meaning in reversed(options):
        names = [option, "--scope"] if option == "--deployment" else [option]
        function = click.option(*names, name, multiple=True, metavar="PATTERN", help=f"{meaning} Repeatable.")(function)
    return click.option("--everything", is_flag=True, help="No scope: everything.")(function)


def scope_of(
    deployments: tuple[str, ...], pools: tuple[str, ...], tags: tuple[str, ...], everything: bool
) -> Scope | None:
    """The scope that somebody wrote; ``None``: everything. Raises ClickException, UsageError."""
    from orchestrator.people.scope import Scope, patterns_of

    if everything and (deployments or pools or tags):
        raise click.UsageError("--everything, and patterns as well: say one of them")
    try:
        scope = Scope(patterns_of(deployments), patterns_of(pools), patterns_of(tags))
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    return None if everything or scope == Scope() else scope


@command.command("create")
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES, case_sensitive=False), default="viewer", show_default=True)
@with_scope
@as_json
def create(name: str, role: str, as_json: bool, **scope: Any) -> None:
    """Create a team. Without a scope its members have the role over everything."""
    from orchestrator.people import teams
    from orchestrator.people.roles import role_named

    wanted = scope_of(**scope)
    with the_fleet() as fleet:
        try:
            made = teams.create_team(fleet.broker, name, role_named(role), wanted)
        except ValueError as error:
            raise click.ClickException(str(error)) from None
    if as_json:
        return echo_json(facts_of(made, []))
    say(f"Created team {made.name!r}: {made.role} of {_scope_text(made)}.")


@command.command("ls")
@as_json
def list_teams(as_json: bool) -> None:
    """List teams by name, with role, members and scope."""
    from orchestrator.people import teams, users

    with the_fleet() as fleet:
        found, people = teams.all_teams(fleet.broker), users.all_users(fleet.broker)
    members = {team.id: [user.name for user in people if team.id in user.teams] for team in found}
    if as_json:
        return echo_json([facts_of(one, members[one.id]) for one in found])
    if not found:
        return say("there is no team yet: orchestrator team create NAME --role ROLE --deployment 'flow/deployment'")
    echo_table(HEADS, [_row_of(one, members[one.id]) for one in found], DROP)


@command.command("add")
@click.argument("team")
@click.argument("users", nargs=-1, required=True)
def add(team: str, users: tuple[str, ...]) -> None:
    """Have users be in a team."""
    from orchestrator.people import teams
    from orchestrator.people.users import existing_user

    with the_fleet() as fleet:
        found = teams.existing_team(fleet.broker, team)
        for user in [existing_user(fleet.broker, name) for name in users]:
            is_new = teams.add_member(fleet.broker, found, user)
            say(f"{user.name!r} is in team {found.name!r}{'' if is_new else ' already'}.")


@command.command("remove")
@click.argument("team")
@click.argument("users", nargs=-1, required=True)
def remove(team: str, users: tuple[str, ...]) -> None:
    """Have users be in a team no more."""
    from orchestrator.people import teams
    from orchestrator.people.users import existing_user

    with the_fleet() as fleet:
        found = teams.existing_team(fleet.broker, team)
        for user in [existing_user(fleet.broker, name) for name in users]:
            if not teams.remove_member(fleet.broker, found, user):
                raise click.ClickException(f"{user.name!r} is not in team {found.name!r}")
            say(f"{user.name!r} is in team {found.name!r} no more.")


@command.command("scope")
@click.argument("name")
@click.argument("patterns", nargs=-1)
@click.option("--role", type=click.Choice(ROLES, case_sensitive=False), help="Another role as well.")
@with_scope
def scope(name: str, patterns: tuple[str, ...], role: str | None, **given: Any) -> None:
    """Show what a team sees, or have it see something else. PATTERNS are those of --deployment."""
    from orchestrator.people import teams
    from orchestrator.people.roles import role_named

    given["deployments"] = (*patterns, *given["deployments"])
    with the_fleet() as fleet:
        team = teams.existing_team(fleet.broker, name)
        if not (role or any(given.values())):
            return say(_scope_text(team))
        wanted = scope_of(**given) if any(given.values()) else team.scope
        chosen = role_named(role) if role else team.role
        if chosen is None:
            raise click.ClickException(f"team {team.name!r} has no role that can be read: give it one (--role)")
        teams.change_team(fleet.broker, team, chosen, wanted)
        changed = teams.existing_team(fleet.broker, name)
    say(f"Team {changed.name!r}: {changed.role} of {_scope_text(changed)}.")


@command.command("delete")
@click.argument("name")
@with_yes
def delete(name: str, yes: bool) -> None:
    """Delete a team: its members lose what it gave them. On a terminal you are asked."""
    from orchestrator.people import teams

    with the_fleet() as fleet:
        team = teams.existing_team(fleet.broker, name)
        ask_on_a_terminal(f"Are you sure you want to delete team {team.name!r}?", yes)
        teams.delete_team(fleet.broker, team)
    say(f"Deleted team {team.name!r}.")


def _scope_text(team: Team) -> str:
    return "everything" if team.scope is None else str(team.scope)


def _row_of(team: Team, members: list[str]) -> tuple[str, ...]:
    role = f"unreadable: {team.trouble[:80]}" if team.trouble else str(team.role)
    return team.name, role, ", ".join(members) or "-", _scope_text(team)


def facts_of(team: Team, members: list[str]) -> dict[str, Any]:
    """A team as JSON; ``scope``: ``None`` where it is everything."""
    scope = team.scope
    return {
        "id": team.id,
        "name": team.name,
        "role": str(team.role) if team.role is not None else None,
        "members": members,
        "scope": None
        if scope is None
        else {"deployments": list(scope.deployments), "pools": list(scope.pools), "tags": list(scope.tags)},
        "trouble": team.trouble or None,
    }
