"""``orchestrator api-key``: keys with which programs come to the server, each of a user."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from task_workers.cli.aliases import AliasGroup
from task_workers.cli.session import the_fleet
from task_workers.cli.terminal import as_json, ask_on_a_terminal, echo_json, echo_table, say, with_yes
from task_workers.cli.user import ROLES

if TYPE_CHECKING:
    from orchestrator.client.fleet import Fleet
    from orchestrator.people.record import ApiKey, User

HEADS = ("ID", "NAME", "USER", "ROLE", "EXPIRES", "LAST USED", "CREATED")
DROP = ("CREATED", "LAST USED", "ROLE")


@click.group("api-key", cls=AliasGroup, aliases={"add": "create", "list": "ls", "delete": "revoke", "rm": "revoke"})
def command() -> None:
    """API keys: what programs send instead of a password, with the rights of their user.

    \b
    orchestrator api-key create ci --user ann --expires-in 90d
    ORCHESTRATOR_API_URL=http://host:4200/api ORCHESTRATOR_API_KEY=orc_... python report.py
    """


@command.command("create")
@click.argument("name", default="")
@click.option("--user", help="Whose rights it has; the only user unless given.")
@click.option("--role", type=click.Choice(ROLES, case_sensitive=False), help="It may no more than that.")
@click.option("--expires-in", metavar="TIME", help="Such as 12h or 90d; never unless given.")
@click.option("--expires-at", metavar="MOMENT", help="Such as 2027-01-31 or 2027-01-31T12:00+01:00.")
@as_json
def create(
    name: str, user: str | None, role: str | None, expires_in: str | None, expires_at: str | None, as_json: bool
) -> None:
    """Create a key. It is written to the output this once, and kept as SHA-256 only."""
    from orchestrator.people import api_keys
    from orchestrator.people.roles import role_named

    seconds = _seconds(expires_in, expires_at)
    with the_fleet() as fleet:
        owner = _owner(fleet, name, user)
        name = name or f"key-{datetime.now(UTC):%Y%m%d-%H%M%S}"
        try:
            made = api_keys.create_key(
                fleet.broker, owner, name, seconds=seconds, role=role_named(role) if role else None
            )
        except ValueError as error:
            raise click.ClickException(str(error)) from None
    if as_json:
        return echo_json({**facts_of(made.key, owner.name), "key": made.text})
    say(f"Created key {name!r} of user {owner.name!r}; it is not shown again:", err=True)
    say(made.text)


def _owner(fleet: Fleet, name: str, user: str | None) -> User:
    """Whose key it is to be. Raises ObjectNotFound; UsageError: none is given, and there are several."""
    from orchestrator.people import users

    if user is not None:
        return users.existing_user(fleet.broker, user)
    everybody = users.all_users(fleet.broker)
    if len(everybody) == 1:
        return everybody[0]
    named = users.find_user(fleet.broker, name) if name else None
    if named is not None:
        return named
    if not everybody:
        raise click.UsageError("there is no user yet whose key it could be: orchestrator user add NAME")
    raise click.UsageError(f"whose key is it? --user {' | '.join(one.name for one in everybody[:5])}")


@command.command("ls")
@click.option("--user", help="Those of one user.")
@as_json
def list_keys(user: str | None, as_json: bool) -> None:
    """List keys, the newest first. None of them can be shown again."""
    from orchestrator.people import users

    with the_fleet() as fleet:
        names = {one.id: one.name for one in users.all_users(fleet.broker)}
        wanted = users.existing_user(fleet.broker, user).id if user is not None else None
        found = [key for key in users.all_keys(fleet.broker) if wanted in (None, key.user_id)]
    if as_json:
        return echo_json([facts_of(one, names.get(one.user_id)) for one in found])
    if not found:
        return say("there is no key yet: orchestrator api-key create NAME --user USER")
    rows = [[str(value or "-") for value in facts_of(one, names.get(one.user_id)).values()] for one in found]
    echo_table(HEADS, rows, DROP)


@command.command("revoke")
@click.argument("key")
@click.option("--user", help="Whose, where several have a key of that name.")
@with_yes
def revoke(key: str, user: str | None, yes: bool) -> None:
    """Revoke a key, by its id, its name or itself: it is refused at its next request."""
    from orchestrator.people import api_keys, users

    with the_fleet() as fleet:
        found = api_keys.find_keys(fleet.broker, key)
        if user is not None:
            wanted = users.existing_user(fleet.broker, user).id
            found = [one for one in found if one.user_id == wanted]
        if not found:
            raise click.ClickException(f"API key {key[:20]!r} not found!")
        if len(found) > 1:
            raise click.ClickException(f"several keys are called {key!r}: name one by its id, or give --user")
        ask_on_a_terminal(f"Are you sure you want to revoke key {found[0].name!r}?", yes)
        api_keys.revoke_key(fleet.broker, found[0].id)
    say(f"Revoked key {found[0].name!r}: it is refused from now on.")


def _seconds(expires_in: str | None, expires_at: str | None) -> float | None:
    """How long a key is to last. Raises UsageError, BadParameter."""
    from task_workers.cli.moments import moment_of, span_of

    if expires_in is not None and expires_at is not None:
        raise click.UsageError("--expires-in and --expires-at: say one of them")
    if expires_in is not None:
        return span_of(expires_in, "--expires-in").total_seconds()
    if expires_at is None:
        return None
    left = (moment_of(expires_at, "--expires-at") - datetime.now(UTC)).total_seconds()
    if left <= 0:
        raise click.BadParameter(f"{expires_at} is over", param_hint="--expires-at")
    return left


def facts_of(key: ApiKey, user: str | None) -> dict[str, Any]:
    """A key as JSON, without what is kept of it."""
    return {
        "id": key.id,
        "name": f"{key.name} (unreadable: {key.trouble[:80]})" if key.trouble else key.name,
        "user": user,
        "role": str(key.role) if key.role is not None else None,
        "expires": _text(key.ends_at),
        "last_used": _text(key.used_ms / 1000 if key.used_ms else None),
        "created": _text(key.created_ms / 1000 if key.created_ms else None),
    }


def _text(seconds: float | None) -> str | None:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds") if seconds else None
