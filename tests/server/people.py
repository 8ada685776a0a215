"""People for tests of the server: users with keys, and clients that send them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.applications import Starlette
from starlette.testclient import TestClient

from orchestrator.client.fleet import Fleet
from orchestrator.people import api_keys, sessions, teams, users
from orchestrator.people.record import User
from orchestrator.people.roles import Role
from orchestrator.people.scope import Scope
from orchestrator.server import make_app
from orchestrator.server.security import COOKIE

HERE = ("127.0.0.1", 5000)


def somebody(fleet: Fleet, name: str, role: Role | None, password: str | None = None) -> User:
    """A user, the first one too, whatever the role."""
    return users.add_user(fleet.broker, name, password, role, without_admin=True)


def key_for(fleet: Fleet, name: str, role: Role | None) -> str:
    """A key of a new user with such a role over everything."""
    return api_keys.create_key(fleet.broker, somebody(fleet, name, role), "of the tests").text


def key_in_team(fleet: Fleet, name: str, role: Role, scope: Scope) -> str:
    """A key of a new user who has a role over a part."""
    team = teams.create_team(fleet.broker, f"team of {name}", role, scope)
    user = somebody(fleet, name, None)
    teams.add_member(fleet.broker, team, user)
    return api_keys.create_key(fleet.broker, user, "of the tests").text


def app_client(app: Starlette, key: str = "", base: str = "") -> TestClient:
    """A client of an app, with a key if there is one."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return TestClient(app, base_url=f"http://127.0.0.1{base}", client=HERE, headers=headers, follow_redirects=False)


def logged_in(app: Starlette, fleet: Fleet, user: User) -> TestClient:
    """A client in which a user has logged in, with the token of its forms."""
    client = app_client(app)
    client.cookies[COOKIE] = sessions.begin_session(fleet.broker, user, "").cookie
    found = re.search(r'name="csrf_token" value="([^"]+)"', client.get("/me").text)
    assert found is not None
    client.headers["X-CSRF-Token"] = found[1]
    return client


@contextmanager
def running(fleet: Fleet) -> Iterator[Starlette]:
    """The app of a fleet, whose index follows it."""
    app = make_app(fleet)
    try:
        yield app
    finally:
        app.state.queries.index.stop()
