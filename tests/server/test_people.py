"""People at the server: log-ins, sessions, keys, and what becomes of them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from brokers.errors import BrokerConflict
from orchestrator.client.fleet import Fleet
from orchestrator.errors import ConfigurationError
from orchestrator.people import api_keys, sessions, teams, users
from orchestrator.people.record import KEY, SESSION, TEAM, USER
from orchestrator.people.roles import Role
from orchestrator.server import make_app
from orchestrator.server.security import COOKIE
from orchestrator.settings import Settings
from tests.server.conftest import Site
from tests.server.people import key_for, somebody
from tests.support.engines import redis_fleet
from tests.support.fleets import fleet_of
from tests.support.servers import ServerProcess

PASSWORD = "what ann alone knows"


@pytest.fixture
def site(own_fleet: Fleet) -> Iterator[Site]:
    served = Site(make_app(own_fleet))
    yield served
    served.close()


@pytest.fixture
def ann(own_fleet: Fleet) -> users.User:
    return somebody(own_fleet, "ann", Role.ADMIN, PASSWORD)


def csrf_of(client: httpx.Client) -> str:
    page = client.get("/login").text
    return page.split('name="csrf_token" value="', 1)[1].split('"', 1)[0].strip()


def log_in(client: httpx.Client, name: str = "ann", password: str = PASSWORD) -> httpx.Response:
    form = {"csrf_token": csrf_of(client), "name": name, "secret": password, "next": "/about"}
    return client.post("/login", data=form)


def may_read(client: httpx.Client) -> bool:
    status = client.get("/api/version").status_code
    assert status in (200, 401)
    return status == 200


def with_key(site: Site, key: str) -> httpx.Client:
    return site.client(headers={"Authorization": f"Bearer {key}"})


# -- the open server closes ------------------------------------------------------------------------------------------


def test_the_first_user_closes_an_open_server_that_runs(site: Site, own_fleet: Fleet) -> None:
    with site.client() as client:
        assert may_read(client)
        assert 'name="name"' not in client.get("/login").text
        user = somebody(own_fleet, "ann", Role.ADMIN)
        assert not may_read(client)
        assert client.get("/").headers["location"].startswith("/login?next=")
        assert 'name="name"' in client.get("/login").text
        assert client.get("/api/version", headers={"Host": "shop.example"}).status_code == 401, "as other closed ones"
        users.delete_user(own_fleet.broker, user, without_admin=True)
        assert not may_read(client), "it does not open again by itself"
    with closing(Site(make_app(own_fleet))) as started_again, started_again.client() as client:
        assert may_read(client)


def test_a_server_that_does_not_know_yet_whether_it_is_open_shows_nobody_anything(tmp_path: Path) -> None:
    settings = Settings(redis_url=f"unix://{tmp_path}/nobody.sock", namespace="nobody", command_timeout_seconds=1)
    with closing(Fleet(settings)) as fleet, closing(Site(make_app(fleet))) as site, site.client() as client:
        for path in ("/api/settings", "/about", "/", "/api/version"):
            answer = client.get(path)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "2"), path
            assert "the server does not answer" in answer.text
        assert client.get("/static/base.css").status_code == 200


def test_a_server_that_is_known_to_be_open_stays_so_while_the_store_is_away(
    own_server: Callable[..., ServerProcess], namespace: str
) -> None:
    server = own_server()
    settings = redis_fleet().settings(server, namespace, command_timeout_seconds=1)
    with fleet_of(settings) as fleet, closing(Site(make_app(fleet))) as site, site.client() as client:
        assert client.get("/api/settings").status_code == 200
        server.kill()
        assert client.get("/api/settings").status_code == 200


def test_an_app_without_people_asks_for_its_token_only(own_fleet: Fleet) -> None:
    key = key_for(own_fleet, "ann", Role.ADMIN)
    with closing(Site(make_app(own_fleet, token="a-token", users=False))) as site:
        with with_key(site, key) as client:
            assert not may_read(client)
        with with_key(site, "a-token") as client:
            assert may_read(client)


def test_token_and_password_stay_as_one_admin(own_fleet: Fleet, ann: users.User) -> None:
    with closing(Site(make_app(own_fleet, token="a-token", password="a password"))) as site:
        with with_key(site, "a-token") as client:
            assert client.post("/api/queues/nothing/purge").status_code == 200
        with site.client() as client:
            assert log_in(client, "", "a password").headers["location"] == "/about"
            assert may_read(client)


# -- log-ins and sessions --------------------------------------------------------------------------------------------


def test_somebody_logs_in_by_name_is_named_and_logs_out(site: Site, ann: users.User) -> None:
    with site.client() as client:
        answer = log_in(client, "ANN")
        assert (answer.status_code, answer.headers["location"]) == (303, "/about")
        assert may_read(client)
        page = client.get("/about").text
        assert "ann" in page
        assert "Log out" in page
        assert client.post("/logout", data={"csrf_token": csrf_of(client)}).status_code == 303
        assert not may_read(client)


@pytest.mark.parametrize(
    ("name", "password"),
    [("ann", "wrong"), ("bob", PASSWORD), ("ann", ""), ("", PASSWORD), ("a/b", "x" * 5000), ("\u2603", "\u2603")],
)
def test_a_wrong_name_or_password_is_told_apart_by_nobody(
    site: Site, ann: users.User, name: str, password: str
) -> None:
    with site.client() as client:
        assert log_in(client, name, password).headers["location"].startswith("/login?failed=1")
        assert not may_read(client)


def test_an_unknown_name_costs_the_same_work_as_a_wrong_password(
    own_fleet: Fleet, ann: users.User, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    from orchestrator.people import passwords

    real = passwords._scrypt
    monkeypatch.setattr(
        passwords, "_scrypt", lambda *given: made.append(given[2] * given[3] * given[4]) or real(*given)
    )
    keys_only = somebody(own_fleet, "ci", Role.VIEWER)
    for name in ("ann", "nobody", keys_only.name, "no name at all"):
        assert users.check_log_in(own_fleet.broker, name, "wrong") is None
    assert len(made) == 4
    assert len(set(made)) == 1


def test_a_session_outlives_the_server_with_its_forms(own_fleet: Fleet, site: Site, ann: users.User) -> None:
    with site.client() as client:
        log_in(client)
        token, cookie = csrf_of(client), client.cookies[COOKIE]
    site.close()
    with closing(Site(make_app(own_fleet))) as after, after.client(cookies={COOKIE: cookie}) as client:
        assert may_read(client)
        answer = client.post("/api/queues/nothing/purge", headers={"X-CSRF-Token": token})
        assert answer.status_code == 200
        assert client.post("/api/queues/nothing/purge").status_code == 403


@pytest.mark.parametrize("what", ["revoked", "password", "deleted", "damaged"])
def test_a_session_ends_at_once(own_fleet: Fleet, site: Site, ann: users.User, what: str) -> None:
    broker = own_fleet.broker
    with site.client() as client:
        log_in(client)
        assert may_read(client)
        (session,) = sessions.all_sessions(broker)
        if what == "revoked":
            assert sessions.end_session(broker, session.id)
        elif what == "password":
            users.set_password(broker, users.existing_user(broker, "ann"), "another password")
        elif what == "deleted":
            users.delete_user(broker, users.existing_user(broker, "ann"), without_admin=True)
        else:
            broker.documents.write(USER, ann.id, {"d": b"\xff damaged"})
        assert not may_read(client)


def test_a_session_of_the_own_password_ends_with_it(own_fleet: Fleet) -> None:
    with closing(Site(make_app(own_fleet, password="a password"))) as site, site.client() as client:
        log_in(client, "", "a password")
        assert may_read(client)
        cookie = client.cookies[COOKIE]
    with (
        closing(Site(make_app(own_fleet, password="another"))) as site,
        site.client(cookies={COOKIE: cookie}) as client,
    ):
        assert not may_read(client)
    with (
        closing(Site(make_app(own_fleet, token="a token of it"))) as site,
        site.client(cookies={COOKIE: cookie}) as client,
    ):
        assert not may_read(client)


def test_sessions_that_are_over_are_forgotten(
    own_fleet: Fleet, ann: users.User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "SESSION_SECONDS", -1)
    old = [sessions.begin_session(own_fleet.broker, ann, "").session.id for _ in range(3)]
    assert sessions.session_in(own_fleet.broker, sessions.begin_session(own_fleet.broker, ann, "").cookie) is None
    monkeypatch.setattr(sessions, "SESSION_SECONDS", 60)
    sessions.begin_session(own_fleet.broker, ann, "")
    assert own_fleet.broker.documents.read(SESSION, old) == [None] * 3


# -- keys ------------------------------------------------------------------------------------------------------------


def test_a_key_that_is_revoked_is_refused_at_its_next_request(site: Site, own_fleet: Fleet, ann: users.User) -> None:
    made = api_keys.create_key(own_fleet.broker, ann, "ci")
    with with_key(site, made.text) as client:
        assert may_read(client)
        assert client.post("/api/queues/nothing/purge", headers={"Origin": "https://x.example"}).status_code == 200
        api_keys.revoke_key(own_fleet.broker, made.key.id)
        assert not may_read(client)


def test_a_key_ends_when_it_is_to_and_with_its_user(site: Site, own_fleet: Fleet, ann: users.User) -> None:
    broker = own_fleet.broker
    over = api_keys.create_key(broker, ann, "over", seconds=0.001)
    kept = api_keys.create_key(broker, ann, "kept", seconds=3600)
    with with_key(site, over.text) as client:
        assert not may_read(client)
    with with_key(site, kept.text) as client:
        assert may_read(client)
        users.delete_user(broker, ann, without_admin=True)
        assert not may_read(client)
        somebody(own_fleet, "ann", Role.ADMIN)  # another one of that name
        assert not may_read(client)


def test_a_key_may_no_more_than_its_own_role(site: Site, own_fleet: Fleet, ann: users.User) -> None:
    text = api_keys.create_key(own_fleet.broker, ann, "reads", role=Role.VIEWER).text
    with with_key(site, text) as client:
        assert may_read(client)
        refused = client.post("/api/queues/nothing/purge")
        assert (refused.status_code, refused.json()["detail"]) == (403, "editor is needed for this, and ann is viewer")


@pytest.mark.parametrize(
    "change", ["x", "orc_", "orc_{id}_", "orc_{id}_" + "A" * 43, "orc_" + "0" * 12 + "_" + "A" * 43]
)
def test_what_is_no_key_is_refused(site: Site, own_fleet: Fleet, ann: users.User, change: str) -> None:
    made = api_keys.create_key(own_fleet.broker, ann, "ci")
    with with_key(site, change.format(id=made.key.id)) as client:
        assert not may_read(client)


def test_a_user_has_a_bounded_number_of_keys_and_all_are_seen(
    own_fleet: Fleet, ann: users.User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(users, "MAX_LISTED", 7)  # how many are read at once
    broker, eve = own_fleet.broker, somebody(own_fleet, "eve", Role.VIEWER)
    api_keys.create_key(broker, ann, "first")
    api_keys.create_key(broker, eve, "over", seconds=0.001)
    for number in range(api_keys.MOST_KEYS - 1):
        api_keys.create_key(broker, eve, f"key-{number}")
    assert api_keys.create_key(broker, eve, "in place of the one that is over")
    refused: list[Exception] = []

    def one_more(name: str) -> None:
        try:
            api_keys.create_key(broker, eve, name)
        except ConfigurationError as error:
            refused.append(error)

    one_more("too many")
    api_keys.revoke_key(broker, api_keys.keys_of(broker, eve)[0].id)
    threads = [threading.Thread(target=one_more, args=(f"at once {number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(api_keys.keys_of(broker, eve)) <= api_keys.MOST_KEYS
    assert "nobody has more" in str(refused[0])
    assert [key.name for key in api_keys.keys_of(broker, ann)] == ["first"], "of others all are seen"
    users.delete_user(broker, eve)
    assert [key.name for key in users.all_keys(broker)] == ["first"]


def test_prefects_and_our_clients_send_the_key(site: Site, own_fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    from orchestrator.client.orchestration import get_client
    from orchestrator.settings import Settings, use

    key = key_for(own_fleet, "ann", Role.VIEWER)
    settings = Settings(**{**own_fleet.settings.model_dump(), "api_url": f"{site.url}/api", "api_key": key})
    with use(settings), get_client(sync_client=True) as client:
        assert client.read_flows() == []
        with pytest.raises(Exception, match="runner is needed for this, and ann is viewer"):
            client.create_flow_from_name("etl")


# -- the store -------------------------------------------------------------------------------------------------------


def test_no_secret_is_in_the_store_a_log_an_audit_or_a_page(
    site: Site, own_fleet: Fleet, ann: users.User, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    broker, made = own_fleet.broker, api_keys.create_key(own_fleet.broker, ann, "ci")
    with site.client() as client:
        log_in(client)
        log_in(client, "ann", "nearly " + PASSWORD)
        cookie = client.cookies[COOKIE]
        texts = [client.get(path).text for path in ("/about", "/login", "/api/settings")]
    texts += [record.getMessage() for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]
    texts += [repr(line) for line in broker.documents.audit(1000)]
    for kind in (USER, KEY, SESSION, TEAM):
        ids = broker.documents.newest(kind)[1]
        texts += [repr(document) for document in broker.documents.read(kind, ids)]
    secrets = (PASSWORD, made.text, made.text.rpartition("_")[2], cookie, cookie.rpartition(".")[2])
    assert not [text[:200] for text in texts if any(secret in text for secret in secrets)]


def test_the_audit_names_the_person_and_the_key(site: Site, own_fleet: Fleet, ann: users.User) -> None:
    text = api_keys.create_key(own_fleet.broker, ann, "ci").text
    with with_key(site, text) as client:
        assert client.post("/api/variables/", json={"name": "cities", "value": 1}).status_code == 201
    with site.client() as client:
        log_in(client)
        headers = {"X-CSRF-Token": csrf_of(client)}
        assert client.post("/api/variables/", json={"name": "towns", "value": 1}, headers=headers).status_code == 201
    lines = [(line.who, line.what) for line in own_fleet.broker.documents.audit(20) if line.kind == "variable"]
    assert lines == [("ann", "created"), ("ann (key ci)", "created")]
    assert [line.who for line in own_fleet.broker.documents.audit(20) if line.kind == SESSION] == ["ann"]


@pytest.mark.parametrize("stored", [b"", b"\xff", b"\x92\x01\xc0", b"\x92\x01\x80", b"\x92\x63\x80"])
def test_a_damaged_person_may_nothing_and_keeps_nobody_else_out(
    site: Site, own_fleet: Fleet, ann: users.User, stored: bytes
) -> None:
    broker, bob = own_fleet.broker, somebody(own_fleet, "bob", Role.ADMIN, PASSWORD)
    team = teams.create_team(broker, "all", Role.ADMIN, None)
    teams.add_member(broker, team, bob)
    keys = [api_keys.create_key(broker, one, "ci").text for one in (ann, users.existing_user(broker, "bob"))]
    broker.documents.write(USER, bob.id, {"d": stored})
    broker.documents.write(TEAM, team.id, {"d": stored})
    with with_key(site, keys[1]) as client:
        assert client.get("/api/version").status_code in (401, 403)
    with with_key(site, keys[0]) as client:
        assert may_read(client)
    with site.client() as client:
        assert log_in(client, "bob").headers["location"].startswith("/login?failed=1")
    assert [user.name for user in users.all_users(broker)] == ["ann", "bob"]


def test_a_name_is_what_was_signed_not_what_stands_beside_it(own_fleet: Fleet, ann: users.User) -> None:
    broker, eve = own_fleet.broker, somebody(own_fleet, "eve", Role.VIEWER, PASSWORD)
    eve = users.existing_user(broker, "eve")
    stored = {"d": eve.document()}
    broker.documents.delete(USER, [ann.id])
    broker.documents.write(USER, eve.id, stored, name="ann")  # as somebody does who can write to the store
    assert [user.name for user in users.all_users(broker)] == ["eve"]
    assert users.find_user(broker, "ann") is None, "nobody was given that name"
    assert users.check_log_in(broker, "ann", PASSWORD) is None


@pytest.mark.parametrize("name", ["аnn", "annο", "ɑрp"])
def test_a_name_that_looks_like_another_by_mixing_scripts_is_refused(own_fleet: Fleet, name: str) -> None:
    with pytest.raises(ValueError, match="look alike"):
        somebody(own_fleet, name, Role.VIEWER)
    assert users.all_users(own_fleet.broker) == []


def test_names_of_one_script_are_fine(own_fleet: Fleet) -> None:
    for name in ("анна", "søren", "田中-tanaka", "ann.2@東京", "αννα"):
        assert somebody(own_fleet, name, Role.VIEWER).name == name


def test_two_admins_cannot_both_leave_at_once(own_fleet: Fleet, ann: users.User) -> None:
    broker = own_fleet.broker
    people = [ann, somebody(own_fleet, "bob", Role.ADMIN)]
    refused: list[Exception] = []

    def leave(user: users.User) -> None:
        try:
            users.set_role(broker, user, Role.VIEWER)
        except (ConfigurationError, BrokerConflict) as error:
            refused.append(error)

    threads = [threading.Thread(target=leave, args=(user,)) for user in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len([user for user in users.all_users(broker) if user.role is Role.ADMIN]) >= 1
    assert refused


def test_one_who_was_made_the_last_admin_meanwhile_is_not_deleted(own_fleet: Fleet, ann: users.User) -> None:
    broker, bob = own_fleet.broker, somebody(own_fleet, "bob", Role.VIEWER)
    users.set_role(broker, bob, Role.ADMIN)
    users.set_role(broker, ann, Role.VIEWER)
    with pytest.raises(BrokerConflict, match="nothing was deleted"):
        users.delete_user(broker, bob)  # as it was read before
    as_read = users.existing_user(broker, "bob")
    users.set_role(broker, users.existing_user(broker, "ann"), Role.ADMIN)
    users.set_teams(broker, as_read, ["x"])
    with pytest.raises(BrokerConflict):
        users.delete_user(broker, as_read)
    users.set_role(broker, users.existing_user(broker, "ann"), Role.VIEWER)  # the other one stays after all
    assert [user.name for user in users.all_users(broker) if user.role is Role.ADMIN] == ["bob"]
    with pytest.raises(ConfigurationError, match="last admin"):
        users.delete_user(broker, users.existing_user(broker, "bob"))


def test_two_changes_of_one_user_at_once_are_a_conflict(own_fleet: Fleet, ann: users.User) -> None:
    broker = own_fleet.broker
    users.set_teams(broker, ann, ["x"])
    with pytest.raises(BrokerConflict):
        users.set_teams(broker, ann, ["y"])
    assert users.existing_user(broker, "ann").teams == ("x",)
