"""Rights: what a person may do, and with what."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from brokers.base import Broker
from orchestrator.errors import OrchestratorError
from orchestrator.people.record import ApiKey, Team, User
from orchestrator.people.roles import Role
from orchestrator.people.scope import Scope
from orchestrator.people.teams import teams_of


class NotAllowed(OrchestratorError):
    """Somebody asked for something that their role does not allow."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A role over a scope; ``scope`` is ``None`` where it is everything."""

    role: Role
    scope: Scope | None = None
    team: str = ""  # that gives it


@dataclass(frozen=True, slots=True)
class Person:
    """Whoever sends a request.

    Attributes:
        name: of the user, or what stands for one.
        grants: what they may; rights add up.
        by: how they are known, such as ``key ci``; empty: by name and password.
        user_id: ``None`` for the server's own token and password, and on an open server.
        session_id: of their browser.
        key_id: of the key that they send.
    """

    name: str
    grants: tuple[Grant, ...]
    by: str = ""
    user_id: str | None = None
    session_id: str | None = None
    key_id: str | None = None

    @property
    def role(self) -> Role | None:
        """The highest one that they have anywhere."""
        return max((grant.role for grant in self.grants), default=None)

    @property
    def label(self) -> str:
        """For the audit."""
        return f"{self.name} ({self.by})" if self.by else self.name

    def scopes(self, needed: Role) -> tuple[Scope | None, ...]:
        """Over what they have at least this role."""
        return tuple(grant.scope for grant in self.grants if grant.role >= needed)

    def has_all(self, needed: Role) -> bool:
        """Whether they have at least this role over everything."""
        return None in self.scopes(needed)

    def may(self, needed: Role, *, in_part: bool) -> bool:
        """Whether they may do something of this kind; ``in_part``: it can be done with a part of everything."""
        return bool(self.scopes(needed)) if in_part else self.has_all(needed)

    def why_not(self, needed: Role, *, in_part: bool) -> str:
        """The sentence for somebody who may not."""
        if self.role is None:
            return (
                f"{needed} is needed for this, and {self.name} has no role yet: an admin gives one "
                f"(orchestrator user role {self.name} viewer) or adds {self.name} to a team"
            )
        if self.scopes(needed) and not in_part:
            return f"{needed} of everything is needed for this, and {self.name} has that over a part only"
        return f"{needed} is needed for this, and {self.name} is {self.role}"


def person_of(broker: Broker, user: User, key: ApiKey | None = None, session_id: str | None = None) -> Person:
    """What a user may, with a key perhaps less. Raises BrokerError."""
    grants = grants_of(user, teams_of(broker, user))
    if key is not None and key.role is not None:
        grants = tuple(Grant(min(grant.role, key.role), grant.scope, grant.team) for grant in grants)
    if key is None:
        return Person(user.name, grants, "", user.id, session_id)
    return Person(user.name, grants, f"key {key.name}", user.id, session_id, key.id)


def grants_of(user: User, teams: Iterable[Team]) -> tuple[Grant, ...]:
    """What a user has of itself, and of the teams; somebody damaged has nothing.

    >>> ann = User("1", "ann", Role.VIEWER)
    >>> [str(grant.role) for grant in grants_of(ann, [Team("2", "etl", Role.EDITOR, Scope(("etl*/*",)))])]
    ['viewer', 'editor']
    """
    if user.trouble:
        return ()
    own = [Grant(user.role)] if user.role is not None else []
    given = [Grant(team.role, team.scope, team.name) for team in teams if team.role is not None and not team.trouble]
    return (*own, *given)


EVERYTHING: Final = (Grant(Role.ADMIN),)
