"""People: users, teams, keys and sessions as admins see and change them."""

from __future__ import annotations

from dataclasses import dataclass

from brokers.facets.documents import AuditLine
from orchestrator.errors import ObjectNotFound
from orchestrator.people import api_keys, sessions, teams, users
from orchestrator.people.api_keys import MadeKey
from orchestrator.people.record import ApiKey, Session, Team, User
from orchestrator.people.roles import Role
from orchestrator.people.scope import Scope
from orchestrator.server.queries.context import QueryContext

AUDITED = 30


@dataclass(frozen=True, slots=True)
class Everybody:
    """All people of a server, by name, with what they have."""

    users: list[User]
    teams: list[Team]
    keys: list[ApiKey]
    sessions: list[Session]
    audit: list[AuditLine]

    def name_of(self, user_id: str) -> str:
        """Of a user, or what stands for one that is gone."""
        if not user_id:
            return "the server's password"
        return next((user.name for user in self.users if user.id == user_id), "(deleted)")

    def teams_of(self, user: User) -> list[Team]:
        """The teams that somebody is in."""
        return [team for team in self.teams if team.id in user.teams]

    def members_of(self, team: Team) -> list[User]:
        """Who is in a team."""
        return [user for user in self.users if team.id in user.teams]


class PeopleQueries:
    """The people of the server. Changes raise ReadOnly on a server that refuses actions, and as ``people`` does."""

    def __init__(self, context: QueryContext) -> None:
        self._context, self._broker = context, context.fleet.broker

    def everybody(self) -> Everybody:
        """All, for a page."""
        return Everybody(
            users.all_users(self._broker),
            teams.all_teams(self._broker),
            users.all_keys(self._broker),
            sessions.all_sessions(self._broker),
            self._broker.documents.audit(AUDITED),
        )

    def user(self, name: str) -> User:
        """One by its name. Raises ObjectNotFound."""
        return users.existing_user(self._broker, name)

    def user_by_id(self, user_id: str | None) -> User:
        """One by its id. Raises ObjectNotFound."""
        found = users.user_by_id(self._broker, user_id) if user_id is not None else None
        if found is None:
            raise ObjectNotFound("no user has logged in here: the server's own password or token has no keys")
        return found

    def team(self, name: str) -> Team:
        """One by its name. Raises ObjectNotFound."""
        return teams.existing_team(self._broker, name)

    def keys_of(self, user: User) -> list[ApiKey]:
        """The keys of somebody, the newest first."""
        return api_keys.keys_of(self._broker, user)

    def sessions_of(self, user: User) -> list[Session]:
        """The browsers in which somebody has logged in."""
        return [one for one in sessions.all_sessions(self._broker) if one.user_id == user.id]

    def check_password(self, user: User, password: str) -> bool:
        """Whether it is the password of somebody."""
        found = users.check_log_in(self._broker, user.name, password)
        return found is not None and found.id == user.id

    # -- what admins do ----------------------------------------------------------------------------------------------

    def add(self, name: str, password: str | None, role: Role | None) -> User:
        """Add a user."""
        self._context.must_write()
        return users.add_user(self._broker, name, password, role)

    def set_role(self, user: User, role: Role | None) -> None:
        """Give somebody another role over everything, or none."""
        self._context.must_write()
        users.set_role(self._broker, user, role)

    def set_password(self, user: User, password: str) -> None:
        """Give somebody another password, which ends their sessions."""
        self._context.must_write()
        users.set_password(self._broker, user, password)

    def delete(self, user: User) -> None:
        """Forget somebody, with keys and sessions."""
        self._context.must_write()
        users.delete_user(self._broker, user)

    def create_team(self, name: str, role: Role, scope: Scope | None) -> Team:
        """Make a team."""
        self._context.must_write()
        return teams.create_team(self._broker, name, role, scope)

    def change_team(self, team: Team, role: Role, scope: Scope | None) -> None:
        """Give a team another role and scope."""
        self._context.must_write()
        teams.change_team(self._broker, team, role, scope)

    def delete_team(self, team: Team) -> None:
        """Forget a team."""
        self._context.must_write()
        teams.delete_team(self._broker, team)

    def join(self, team: Team, user: User) -> None:
        """Have somebody be in a team."""
        self._context.must_write()
        teams.add_member(self._broker, team, user)

    def leave(self, team: Team, user: User) -> None:
        """Have somebody be in a team no more."""
        self._context.must_write()
        teams.remove_member(self._broker, team, user)

    def create_key(self, user: User, name: str, days: float | None, role: Role | None) -> MadeKey:
        """Make a key of somebody, which is shown this once; ``days``: ``None``: it does not expire."""
        self._context.must_write()
        return api_keys.create_key(
            self._broker, user, name, seconds=days * 86_400 if days is not None else None, role=role
        )

    def revoke_key(self, key_id: str, user: User | None = None) -> None:
        """Have a key mean nothing; only one of this user, if there is one. Raises ObjectNotFound."""
        self._context.must_write()
        if user is not None:
            found = api_keys.key_by_id(self._broker, key_id)
            if found is None or found.user_id != user.id:
                raise ObjectNotFound("you have no such key")
        api_keys.revoke_key(self._broker, key_id)

    def end_session(self, session_id: str) -> bool:
        """End a session; whether there was one."""
        self._context.must_write()
        return sessions.end_session(self._broker, session_id)
