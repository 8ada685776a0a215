"""``orchestrator user``, ``team``, ``api-key`` and ``audit``: people on the command line."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orchestrator.client.fleet import Fleet
from orchestrator.people import api_keys, users
from tests.support.command_line import Command, command_on

pytestmark = pytest.mark.parametrize("row", ["embedded"], indirect=True)  # what it says does not depend on the engine


@pytest.fixture
def command(fleet: Fleet) -> Command:
    for user in users.all_users(fleet.broker):
        users.delete_user(fleet.broker, user, without_admin=True)
    return command_on(fleet)


def as_json(command: Command, *arguments: str) -> Any:
    done = command(*arguments, "-o", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_people_from_their_coming_to_their_going(command: Command, fleet: Fleet) -> None:
    assert "there is no user yet" in command("user", "ls").stdout
    first = command("user", "add", "Ann", stdin="a password\n")
    assert (first.returncode, first.stdout) == (0, "Added user 'ann', as admin of everything.\n")
    assert "asks for a name and a password" in first.stderr
    assert users.check_log_in(fleet.broker, "ann", "a password") is not None
    assert command("user", "add", "bob", "--no-password").stdout.startswith("Added user 'bob', without a role.")
    assert command("user", "role", "bob", "runner").stdout == "'bob' is runner of everything now.\n"
    assert command("user", "role", "bob").stdout == "runner\n"
    assert command("team", "create", "etl", "--role", "editor", "--scope", "etl*/*").returncode == 0
    assert command("team", "add", "etl", "bob").stdout == "'bob' is in team 'etl'.\n"
    table = command("user", "ls").stdout.splitlines()
    assert [line.split()[:3] for line in table] == [
        ["NAME", "ROLE", "TEAMS"],
        ["ann", "admin", "-"],
        ["bob", "runner", "etl"],
    ]
    found = as_json(command, "user", "ls")
    assert [(one["name"], one["role"], one["teams"], one["password"]) for one in found] == [
        ("ann", "admin", [], True),
        ("bob", "runner", ["etl"], False),
    ]
    assert command("user", "delete", "bob").stdout == "Deleted user 'bob', with sessions and keys.\n"
    assert command("team", "delete", "etl").returncode == 0


def test_a_password_that_nobody_gave_is_made_and_shown_once(command: Command, fleet: Fleet) -> None:
    made = as_json(command, "user", "add", "ann")
    assert users.check_log_in(fleet.broker, "ann", made["password"]) is not None
    again = command("user", "passwd", "ann", "--password", "another one")
    assert again.returncode == 0
    assert "another one" not in again.stdout + again.stderr
    assert users.check_log_in(fleet.broker, "ann", made["password"]) is None
    assert users.check_log_in(fleet.broker, "ANN", "another one") is not None


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("user", "delete", "gone"), "User 'gone' not found!"),
        (("user", "passwd", "gone", "--password", "long enough"), "User 'gone' not found!"),
        (("user", "add", "two words", "--password", "long enough"), "is no name of a user"),
        (("user", "add", "bob", "--password", "short"), "a password has 8 to 1,000 characters"),
        (("user", "add", "bob", "--role", "viewer", "--no-password"), "would be the first user and no admin"),
        (("team", "add", "gone", "ann"), "Team 'gone' not found!"),
        (("team", "create", "x/y"), "is no name of a team"),
        (("team", "create", "all", "--role", "admin", "--pool", "x"), "a team of admins has no scope"),
        (("api-key", "revoke", "gone"), "API key 'gone' not found!"),
    ],
)
def test_what_cannot_be_is_one_line_and_exit_code_1(command: Command, arguments: tuple[str, ...], why: str) -> None:
    done = command(*arguments)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done
    assert why in done.stderr
    assert "short" not in done.stderr


def test_the_last_admin_stays_unless_somebody_says_the_word(command: Command, fleet: Fleet) -> None:
    assert command("user", "add", "ann", "--no-password").returncode == 0
    for arguments in (("user", "delete", "ann"), ("user", "role", "ann", "viewer")):
        done = command(*arguments)
        assert (done.returncode, "--leave-without-admin" in done.stderr) == (1, True)
    assert command("user", "add", "bob", "--role", "admin", "--no-password").returncode == 0
    assert command("user", "role", "ann", "viewer").returncode == 0
    assert command("user", "delete", "bob").returncode == 1
    assert command("user", "role", "ann", "admin").returncode == 0
    assert command("user", "delete", "bob").returncode == 0
    assert command("user", "delete", "ann", "--leave-without-admin").returncode == 0
    assert not users.has_users(fleet.broker)


def test_a_team_shows_and_changes_what_it_sees(command: Command) -> None:
    assert command("team", "create", "ops").stdout == "Created team 'ops': viewer of everything.\n"
    done = command(
        "team", "scope", "ops", "etl", "etl-*/night*", "--pool", "blue", "--tag", "team-?", "--role", "runner"
    )
    assert done.stdout == "Team 'ops': runner of etl, etl-*/night*, pool blue, tag team-?.\n"
    assert command("team", "scope", "ops").stdout == "etl, etl-*/night*, pool blue, tag team-?\n"
    (shown,) = as_json(command, "team", "ls")
    assert shown["scope"] == {"deployments": ["etl", "etl-*/night*"], "pools": ["blue"], "tags": ["team-?"]}
    assert command("team", "scope", "ops", "--everything").stdout == "Team 'ops': runner of everything.\n"
    assert command("team", "scope", "ops", "x", "--everything").returncode == 2
    assert command("team", "create", "ops").returncode == 1
    assert command("team", "delete", "ops").returncode == 0


def test_a_key_is_shown_once_and_nothing_of_it_is_in_the_store(command: Command, fleet: Fleet) -> None:
    command("user", "add", "ann", "--no-password")
    text = command("api-key", "create", "ci", "--expires-in", "90d").stdout.strip()
    key = api_keys.key_in(fleet.broker, text)
    assert key is not None
    assert text.encode() not in b"".join(fleet.broker.documents.read("api-key", [key.id])[0].fields.values())  # type: ignore[union-attr]
    listed = command("api-key", "ls").stdout
    assert [line.split()[1:3] for line in listed.splitlines()] == [["NAME", "USER"], ["ci", "ann"]]
    assert text not in listed
    assert command("api-key", "create", "ci").returncode == 1, "there is one of that name"
    assert command("api-key", "create", "old", "--expires-at", "2020-01-01").returncode == 2
    other = as_json(command, "api-key", "create", "reads", "--role", "viewer", "--user", "ann")
    assert (other["role"], other["expires"], other["user"]) == ("viewer", None, "ann")
    assert command("api-key", "revoke", text).stdout == "Revoked key 'ci': it is refused from now on.\n"
    assert api_keys.key_in(fleet.broker, text) is None
    assert [one["name"] for one in as_json(command, "api-key", "ls", "--user", "ann")] == ["reads"]


def test_the_audit_says_who_wrote_what(command: Command) -> None:
    command("user", "add", "ann", "--no-password")
    newest = as_json(command, "audit", "ls", "--limit", "5")
    assert ("created", "user") in [(line["what"], line["kind"]) for line in newest]
    assert "user" in command("audit", "ls").stdout
