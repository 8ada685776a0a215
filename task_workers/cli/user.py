"""``orchestrator user``: people of the server, who log in with names and passwords."""

from __future__ import annotations

import secrets
import sys
from typing import TYPE_CHECKING, Any

import click

from task_workers.cli.aliases import AliasGroup
from task_workers.cli.session import the_fleet
from task_workers.cli.terminal import as_json, ask_on_a_terminal, echo_json, echo_table, say, with_yes

if TYPE_CHECKING:
    from orchestrator.people.record import Team, User
    from orchestrator.people.roles import Role

HEADS = ("NAME", "ROLE", "TEAMS", "LOGS IN", "CREATED")
DROP = ("CREATED", "LOGS IN")
ROLES = ("viewer", "runner", "editor", "admin")
with_role = click.Choice((*ROLES, "none"), case_sensitive=False)
leave_without_admin = click.option("--leave-without-admin", is_flag=True, help="Even if nobody is an admin then.")


@click.group(
    "user",
    cls=AliasGroup,
    aliases={"create": "add", "list": "ls", "remove": "delete", "rm": "delete", "password": "passwd"},
)
def command() -> None:
    """Users: who may log in at the server, and as what. The first one closes a server that was open.

    \b
    orchestrator user add ann                 # the first one is an admin
    orchestrator user add bob --role viewer
    orchestrator user role bob editor
    """


@command.command("add")
@click.argument("name")
@click.option("--role", type=with_role, help="Over everything; the first user is an admin unless given, others none.")
@click.option("--password", help="Seen by whoever lists processes: leave it out, and you are asked, or pipe it in.")
@click.option("--no-password", is_flag=True, help="For a program: it has API keys only.")
@leave_without_admin
@as_json
def add(
    name: str, role: str | None, password: str | None, no_password: bool, leave_without_admin: bool, as_json: bool
) -> None:
    """Add a user. Asks for the password on a terminal, reads it from a pipe, else makes one and shows it once."""
    from orchestrator.people import users

    if password is not None and no_password:
        raise click.UsageError("--password and --no-password: say one of them")
    given, was_made = (None, False) if no_password else _password(password)
    with the_fleet() as fleet:
        is_first = not users.has_users(fleet.broker)
        wanted = _role_of(role or ("admin" if is_first else "none"))
        made = _checked(lambda: users.add_user(fleet.broker, name, given, wanted, without_admin=leave_without_admin))
    if as_json:
        return echo_json({**facts_of(made, []), **({"password": given} if was_made else {})})
    say(f"Added user {made.name!r}, {_as_what(made.role)}.")
    if was_made:
        say(f"The password, which is not shown again: {given}")
    if made.role is None:
        say(f"{made.name} sees nothing until there is a role or a team: orchestrator team add TEAM {made.name}")
    if is_first:
        say("From now on the server asks for a name and a password, or a key (orchestrator api-key create).", err=True)


@command.command("ls")
@as_json
def list_users(as_json: bool) -> None:
    """List users by name, with their roles and teams."""
    from orchestrator.people import teams, users

    with the_fleet() as fleet:
        found, known = users.all_users(fleet.broker), teams.all_teams(fleet.broker)
    if as_json:
        return echo_json([facts_of(one, known) for one in found])
    if not found:
        return say("there is no user yet, and the server asks for none: orchestrator user add NAME")
    echo_table(HEADS, [_row_of(one, known) for one in found], DROP)


@command.command("passwd")
@click.argument("name")
@click.option("--password", help="Seen by whoever lists processes: leave it out, and you are asked, or pipe it in.")
@click.option("--no-password", is_flag=True, help="Log in no more: API keys only.")
def passwd(name: str, password: str | None, no_password: bool) -> None:
    """Give a user another password. Their sessions end; their keys stay."""
    from orchestrator.people import users

    with the_fleet() as fleet:
        user = users.existing_user(fleet.broker, name)
        given, was_made = (None, False) if no_password else _password(password)
        _checked(lambda: users.set_password(fleet.broker, user, given))
    say(f"Changed the password of {user.name!r}: sessions with the old one have ended.")
    if was_made:
        say(f"The password, which is not shown again: {given}")


@command.command("role")
@click.argument("name")
@click.argument("role", type=with_role, required=False)
@leave_without_admin
def role(name: str, role: str | None, leave_without_admin: bool) -> None:
    """Give a user another role over everything, or show it. `none`: only what teams give."""
    from orchestrator.people import users

    with the_fleet() as fleet:
        user = users.existing_user(fleet.broker, name)
        if role is None:
            return say(str(user.role or "none"))
        users.set_role(fleet.broker, user, _role_of(role), without_admin=leave_without_admin)
    say(f"{user.name!r} is {_as_what(_role_of(role)).removeprefix('as ')} now.")


@command.command("delete")
@click.argument("name")
@leave_without_admin
@with_yes
def delete(name: str, leave_without_admin: bool, yes: bool) -> None:
    """Delete a user, with sessions and keys. On a terminal you are asked."""
    from orchestrator.people import users

    with the_fleet() as fleet:
        user = users.existing_user(fleet.broker, name)
        ask_on_a_terminal(f"Are you sure you want to delete user {user.name!r}?", yes)
        users.delete_user(fleet.broker, user, without_admin=leave_without_admin)
        nobody = not users.has_users(fleet.broker)
    say(f"Deleted user {user.name!r}, with sessions and keys.")
    if nobody:
        say("Nobody is left: after its next start a server without token and password is open here.", err=True)


def _password(given: str | None) -> tuple[str, bool]:
    """The password, and whether it was made here: given, typed, piped, or else by chance."""
    if given is not None:
        return given, False
    if sys.stdin.isatty():
        return str(click.prompt("Password", hide_input=True, confirmation_prompt=True)), False
    piped = sys.stdin.readline().rstrip("\r\n")
    return (piped, False) if piped else (secrets.token_urlsafe(15), True)


def _checked(do: Any) -> Any:
    try:
        return do()
    except ValueError as error:
        raise click.ClickException(str(error)) from None


def _role_of(text: str) -> Role | None:
    from orchestrator.people.roles import role_named

    return None if text.lower() == "none" else role_named(text)


def _as_what(role: Role | None) -> str:
    return f"as {role} of everything" if role is not None else "without a role"


def _row_of(user: User, known: list[Team]) -> tuple[str, ...]:
    facts = facts_of(user, known)
    if user.trouble:
        return user.name, f"unreadable: {user.trouble[:80]}", "-", "-", "-"
    logs_in = "yes" if facts["password"] else "keys only"
    return user.name, facts["role"] or "-", ", ".join(facts["teams"]) or "-", logs_in, facts["created"] or "-"


def facts_of(user: User, known: list[Team]) -> dict[str, Any]:
    """A user as JSON, without what is kept of the password."""
    from orchestrator.variables import moment_of

    created = moment_of(user.created_ms)
    return {
        "id": user.id,
        "name": user.name,
        "role": str(user.role) if user.role is not None else None,
        "teams": [team.name for team in known if team.id in user.teams],
        "password": user.password is not None,
        "created": created.isoformat(timespec="seconds") if created is not None else None,
        "trouble": user.trouble or None,
    }
