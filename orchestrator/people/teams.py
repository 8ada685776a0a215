"""Teams: a role over a part of everything, for those who are in it."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace
from typing import Final
from uuid import uuid4

from brokers.base import Broker
from brokers.errors import BrokerConflict
from orchestrator.errors import ConfigurationError, ObjectNotFound
from orchestrator.people.record import TEAM, Team, User, team_of
from orchestrator.people.roles import Role
from orchestrator.people.scope import Scope
from orchestrator.people.users import MAX_LISTED, all_users, set_teams

_NAME: Final = re.compile(r"[\w.@+-][\w.@+ -]{0,99}")


def team_name(text: object) -> str:
    """A name as it may be. Raises ValueError.

    >>> team_name("data-platform")
    'data-platform'
    """
    if not isinstance(text, str) or not _NAME.fullmatch(text):
        raise ValueError(f"{str(text)[:120]!r} is no name of a team: 1 to 100 letters, digits and any of . _ @ + -")
    return text


def all_teams(broker: Broker) -> list[Team]:
    """All of them, by name."""
    _, ids = broker.documents.newest(TEAM, 0, MAX_LISTED)
    found = [team_of(document) for document in broker.documents.read(TEAM, ids)] if ids else []
    return sorted((team for team in found if team is not None), key=lambda team: team.name)


def teams_of(broker: Broker, user: User) -> list[Team]:
    """Those that a user is in; one that was deleted gives nothing."""
    found = [team_of(document) for document in broker.documents.read(TEAM, user.teams)] if user.teams else []
    return [team for team in found if team is not None]


def members_of(broker: Broker, team: Team) -> list[User]:
    """Who is in it, by name."""
    return [user for user in all_users(broker) if team.id in user.teams]


def existing_team(broker: Broker, name: str) -> Team:
    """One by its name. Raises ObjectNotFound."""
    (team_id,) = broker.documents.find(TEAM, [name])
    found = team_of(broker.documents.read(TEAM, [team_id])[0]) if team_id is not None else None
    if found is None:
        raise ObjectNotFound(f"Team {name[:120]!r} not found!")
    return found


def create_team(broker: Broker, name: str, role: Role, scope: Scope | None) -> Team:
    """Make one.

    Args:
        broker: of the fleet.
        name: unique.
        role: of its members over the scope.
        scope: what they see; ``None``: everything.

    Raises:
        ValueError: a name that cannot be one. BrokerConflict: there is one of that name.
        ConfigurationError: an admin has everything.
    """
    made = Team(str(uuid4()), team_name(name), role, scope)
    _check(role, scope)
    if broker.documents.find(TEAM, [name]) != [None]:
        raise BrokerConflict(f"Team {name!r} already exists: nothing was changed")
    generation = broker.documents.write(TEAM, made.id, {"d": made.document()}, name=name, only_new=True)
    return replace(made, generation=generation)


def change_team(broker: Broker, team: Team, role: Role, scope: Scope | None) -> None:
    """Give a team another role or scope. Raises ConfigurationError; BrokerConflict: somebody else was faster."""
    _check(role, scope)
    changed = replace(team, role=role, scope=scope)
    broker.documents.write(TEAM, team.id, {"d": changed.document()}, name=team.name, expected=team.generation)


def _check(role: Role, scope: Scope | None) -> None:
    if role is Role.ADMIN and scope is not None:
        raise ConfigurationError(
            "an admin manages people and everything else, so a team of admins has no scope: give it the role editor, "
            "or everything"
        )


def delete_team(broker: Broker, team: Team) -> None:
    """Forget one; its members lose what it gave them."""
    broker.documents.delete(TEAM, [team.id])  # another one of its name has another id: nobody is in that by accident
    for user in members_of(broker, team):
        with suppress(BrokerConflict):  # the id of a team that is gone gives nothing
            set_teams(broker, user, [team_id for team_id in user.teams if team_id != team.id])


def add_member(broker: Broker, team: Team, user: User) -> bool:
    """Have somebody be in it; whether that is new. Raises BrokerConflict."""
    if team.id in user.teams:
        return False
    set_teams(broker, user, [*user.teams, team.id])
    return True


def remove_member(broker: Broker, team: Team, user: User) -> bool:
    """Have somebody be in it no more; whether they were. Raises BrokerConflict."""
    if team.id not in user.teams:
        return False
    set_teams(broker, user, [team_id for team_id in user.teams if team_id != team.id])
    return True
