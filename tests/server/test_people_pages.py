"""The pages of people: for admins all, for everybody their own; buttons that a role may not use are not shown."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from orchestrator import variables
from orchestrator.client.fleet import Fleet
from orchestrator.people import api_keys, sessions, teams, users
from orchestrator.people.roles import Role
from orchestrator.people.scope import Scope
from tests.server.people import app_client, key_for, logged_in, running, somebody
from tests.support.apps import deployed_flows

PASSWORD = "what ann alone knows"


@pytest.fixture
def app(own_fleet: Fleet) -> Iterator[Starlette]:
    with running(own_fleet) as made:
        yield made


@pytest.fixture
def admin(app: Starlette, own_fleet: Fleet) -> Iterator[TestClient]:
    with logged_in(app, own_fleet, somebody(own_fleet, "ann", Role.ADMIN)) as client:
        yield client


def done(answer: object) -> str:
    location: str = answer.headers["location"]  # type: ignore[attr-defined]
    return re.sub(r".*done=([a-z-]+).*", r"\1", location)


def test_an_admin_adds_changes_and_deletes_people(admin: TestClient, own_fleet: Fleet) -> None:
    broker = own_fleet.broker
    added = admin.post("/people/add-user", data={"name": "Bob", "password": PASSWORD, "role": ""})
    assert done(added) == "add-user"
    assert users.check_log_in(broker, "bob", PASSWORD) is not None
    assert done(admin.post("/people/set-role", data={"name": "bob", "role": "runner"})) == "set-role"
    made = admin.post("/people/create-team", data={"team": "etl", "role": "editor", "deployments": "etl*/*, shop"})
    assert done(made) == "create-team"
    assert teams.existing_team(broker, "etl").scope == Scope(("etl*/*", "shop"))
    assert done(admin.post("/people/join", data={"team": "etl", "name": "bob"})) == "join"
    page = admin.get("/people").text
    for text in ("bob", "runner", "etl*/*, shop", "with a password", "Make a key"):
        assert text in page
    form = admin.get("/people/team?name=etl").text
    generation = re.search(r'name="generation" value="(\d+)"', form)
    assert generation is not None
    change = {"team": "etl", "role": "viewer", "pools": "blue", "generation": generation[1]}
    assert done(admin.post("/people/change-team", data=change)) == "change-team"
    again = admin.post("/people/change-team", data=change)
    assert (again.status_code, "somebody else has changed the team" in again.text) == (422, True)
    assert done(admin.post("/people/leave", data={"team": "etl", "name": "bob"})) == "leave"
    assert "Delete the user" in admin.get("/people/delete-user?name=bob").text
    assert done(admin.post("/people/delete-user", data={"name": "bob"})) == "delete-user"
    assert done(admin.post("/people/delete-team", data={"team": "etl"})) == "delete-team"
    assert [user.name for user in users.all_users(broker)] == ["ann"]


def test_a_key_is_shown_on_one_page_and_never_again(admin: TestClient, own_fleet: Fleet) -> None:
    shown = admin.post("/people/create-key", data={"user": "ann", "key": "ci", "days": "90", "role": "viewer"})
    assert shown.status_code == 201
    found = re.search(r"orc_[0-9a-f]{12}_[\w-]{43}", shown.text)
    assert found is not None
    key = api_keys.key_in(own_fleet.broker, found[0])
    assert key is not None
    assert key.role is Role.VIEWER
    assert found[0] not in admin.get("/people").text
    assert done(admin.post("/people/revoke-key", data={"key": key.id})) == "revoke-key"
    assert api_keys.key_in(own_fleet.broker, found[0]) is None


@pytest.mark.parametrize(
    ("what", "form", "why"),
    [
        ("add-user", {"name": "two words", "password": PASSWORD}, "is no name of a user"),
        ("add-user", {"name": "bob", "password": "short"}, "a password has 8 to 1,000 characters"),
        ("add-user", {"name": "ann", "password": PASSWORD}, "already exists"),
        ("set-role", {"name": "ann", "role": "viewer"}, "this is the last admin"),
        ("delete-user", {"name": "ann"}, "this is the last admin"),
        ("create-team", {"team": "x", "role": "editor"}, "say what the team sees"),
        ("create-team", {"team": "x", "role": "owner", "everything": "1"}, "is no role"),
        ("create-key", {"user": "ann", "key": "ci", "days": "soon"}, "is no number of days"),
        ("create-key", {"user": "ann", "key": "ci", "days": "-1"}, "give it a time to come"),
    ],
)
def test_what_cannot_be_is_said_on_the_page(admin: TestClient, what: str, form: dict[str, str], why: str) -> None:
    answer = admin.post(f"/people/{what}", data=form)
    assert answer.status_code == 422
    assert why in answer.text
    assert "short" not in answer.text
    for missing in ("set-role", "delete-user", "join", "revoke-key", "change-team"):
        data = {"name": "gone", "team": "gone", "key": "gone", "role": "viewer"}
        assert admin.post(f"/people/{missing}", data=data).status_code == 404, missing


def test_an_admin_ends_the_session_of_somebody(admin: TestClient, own_fleet: Fleet) -> None:
    begun = sessions.begin_session(own_fleet.broker, users.existing_user(own_fleet.broker, "ann"), "10.0.0.8")
    assert "10.0.0.8" in admin.get("/people").text
    assert done(admin.post("/people/end-session", data={"session": begun.session.id})) == "end-session"
    assert sessions.session_in(own_fleet.broker, begun.cookie) is None


def test_everybody_sees_who_they_are_and_a_key_makes_no_other(app: Starlette, own_fleet: Fleet) -> None:
    with app_client(app, key_for(own_fleet, "bob", None)) as client:
        assert "You have no role yet" in client.get("/me").text
        for what in ("create-key", "set-password"):
            answer = client.post(f"/me/{what}", data={"key": "more", "password": PASSWORD, "old": ""})
            assert (answer.status_code, "a key makes no other keys" in answer.text) == (403, True)
        assert client.get("/people").status_code == 403
        assert client.post("/people/set-role", data={"name": "bob", "role": "admin"}).status_code == 403
    assert users.existing_user(own_fleet.broker, "bob").role is None


def test_the_key_of_an_admin_makes_nothing_that_outlives_it(app: Starlette, own_fleet: Fleet) -> None:
    somebody(own_fleet, "bob", Role.VIEWER)
    with app_client(app, key_for(own_fleet, "ann", Role.ADMIN)) as client:
        for what, form in {
            "create-key": {"user": "bob", "key": "more"},
            "set-password": {"name": "bob", "password": PASSWORD},
            "add-user": {"name": "eve", "password": PASSWORD, "role": "admin"},
        }.items():
            answer = client.post(f"/people/{what}", data=form)
            assert (answer.status_code, "a key makes no other keys" in answer.text) == (403, True), what
        assert done(client.post("/people/set-role", data={"name": "bob", "role": "runner"})) == "set-role"
    assert [user.name for user in users.all_users(own_fleet.broker)] == ["ann", "bob"]
    assert api_keys.keys_of(own_fleet.broker, users.existing_user(own_fleet.broker, "bob")) == []


def test_a_key_revokes_itself_and_no_other(app: Starlette, own_fleet: Fleet) -> None:
    bob = somebody(own_fleet, "bob", Role.VIEWER)
    mine, other = (api_keys.create_key(own_fleet.broker, bob, name) for name in ("mine", "other"))
    with app_client(app, mine.text) as client:
        answer = client.post("/me/revoke-key", data={"key": other.key.id})
        assert (answer.status_code, "a key revokes itself only" in answer.text) == (403, True)
        assert api_keys.key_in(own_fleet.broker, other.text) is not None
        assert done(client.post("/me/revoke-key", data={"key": mine.key.id})) == "revoke-key"
    assert api_keys.key_in(own_fleet.broker, mine.text) is None


def test_somebody_who_has_logged_in_has_keys_and_another_password(app: Starlette, own_fleet: Fleet) -> None:
    user = somebody(own_fleet, "bob", Role.VIEWER, PASSWORD)
    begun = sessions.begin_session(own_fleet.broker, user, "")
    with app_client(app) as client:
        client.cookies["orchestrator_session"] = begun.cookie
        found = re.search(r'name="csrf_token" value="([^"]+)"', client.get("/me").text)
        assert found is not None
        csrf = {"csrf_token": found[1]}
        assert client.post("/me/create-key", data={"key": "mine"}).status_code == 403, "no page of ours sent it"
        assert client.post("/me/create-key", data={**csrf, "key": "mine", "days": ""}).status_code == 201
        (key,) = api_keys.keys_of(own_fleet.broker, user)
        wrong = client.post("/me/set-password", data={**csrf, "old": "wrong", "password": "another password"})
        assert (wrong.status_code, "not your password" in wrong.text) == (422, True)
        other = api_keys.create_key(own_fleet.broker, somebody(own_fleet, "eve", None), "theirs").key
        assert client.post("/me/revoke-key", data={**csrf, "key": other.id}).status_code == 404
        assert done(client.post("/me/revoke-key", data={**csrf, "key": key.id})) == "revoke-key"
        right = {**csrf, "old": PASSWORD, "password": "another password"}
        assert done(client.post("/me/set-password", data=right)) == "set-password"
        assert client.get("/me").headers["location"].startswith("/login")
    assert users.check_log_in(own_fleet.broker, "bob", "another password") is not None


def test_buttons_that_a_role_may_not_use_are_not_shown(app: Starlette, own_fleet: Fleet) -> None:
    deployed_flows.tracker.to_deployment("nightly", cron="0 9 * * *").apply(_sync=True)
    variables.write(own_fleet, "cities", 1)
    roles = (Role.VIEWER, Role.RUNNER, Role.EDITOR, Role.ADMIN)
    clients = {role: app_client(app, key_for(own_fleet, f"user-{role}", role)) for role in roles}
    (found,) = clients[Role.VIEWER].post("/api/deployments/filter", json={}).json()
    page = f"/deployments/{found['id']}"
    for path, text, needed in (
        (page, "Run…", Role.RUNNER),
        (page, "Pause", Role.EDITOR),
        (page, "Delete…", Role.EDITOR),
        ("/variables", "Set a variable", Role.EDITOR),
        ("/variables", "Delete…", Role.EDITOR),
        ("/work-pools", "Make a pool", Role.EDITOR),
        ("/variables", 'href="/people"', Role.ADMIN),
    ):
        for role, client in clients.items():
            shown = client.get(path)
            assert shown.status_code == 200
            assert (text in shown.text) is (role >= needed), (path, text, str(role))
    for client in clients.values():
        client.close()
