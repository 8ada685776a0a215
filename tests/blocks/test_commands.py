"""``orchestrator block``: blocks from their making to their end, without a line of Python."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.blocks.core import Block
from orchestrator.blocks.system import JSON, Secret
from orchestrator.client.fleet import Fleet
from tests.blocks.test_secrets import SECRET, foreign
from tests.support.apps.blocks import ShopCredentials, ShopDatabase
from tests.support.command_line import Command, command_on, on_a_terminal
from tests.support.engines import environment_of
from tests.support.fleets import fleet_of
from tests.support.store_dump import everything_in, traces_of

MISSING = [
    ("block", "inspect", "secret/gone"),
    ("block", "delete", "secret/gone", "--yes"),
    ("block", "inspect", "gone"),
    ("block", "type", "inspect", "gone"),
    ("block", "type", "delete", "gone", "--yes"),
    ("block", "create", "gone", "x"),
]


@pytest.mark.parametrize("words", MISSING, ids=" ".join)
def test_what_is_not_there_is_one_line_and_exit_code_1(command: Command, words: tuple[str, ...]) -> None:
    done = command(*words)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "not found!" in done.stderr


def test_ours_are_listed_before_anybody_has_saved_one(command: Command) -> None:
    listed = json.loads(command("block", "type", "ls", "-o", "json").stdout)
    assert {"secret", "json", "string", "date-time"} <= {one["slug"] for one in listed}
    shown = command("block", "type", "inspect", "secret").stdout
    assert "value (required, secret): A value that is kept secret." in shown
    assert "there is no block yet" in command("block", "ls").stdout


def test_a_block_from_its_making_to_its_end(command: Command, fleet: Fleet) -> None:
    made = command("block", "create", "secret", "api-key", "--params", "-", stdin=json.dumps({"value": SECRET}))
    assert (made.returncode, made.stdout) == (0, "secret/api-key is saved\n")
    assert Secret.load("api-key").get() == SECRET
    again = command("block", "create", "secret", "api-key", "-p", "value=x")
    assert (again.returncode, "already" in again.stderr) == (1, True)
    listed = json.loads(command("block", "ls", "-o", "json").stdout)
    assert [(one["block"], one["data"], one["secrets"]) for one in listed] == [
        ("secret/api-key", {"value": "********"}, "1")
    ]
    assert command("block", "ls", "--type", "json", "-o", "json").stdout == "[]\n"
    assert command("block", "delete", "secret/api-key", "--yes").returncode == 0
    assert command("block", "inspect", "secret/api-key").returncode == 1
    assert traces_of(SECRET, everything_in(fleet)) == []


def test_fields_of_a_class_that_is_not_ours(command: Command) -> None:
    assert "shopcredentials" in command("block", "register", "-m", "tests.support.apps.blocks").stdout
    made = command("block", "create", "shopcredentials", "main", "-p", "user=ann", "-p", f"password={SECRET}")
    assert made.returncode == 0, made.stderr
    changed = command("block", "create", "shopcredentials", "main", "--overwrite", "-p", "user=bob")
    assert changed.returncode == 0, changed.stderr
    found = ShopCredentials.load("main")
    assert (found.user, found.password.get_secret_value()) == ("bob", SECRET)
    given = {"credentials": {"$ref": {"block_document_id": str(found._block_document_id)}}, "tokens": ["a", "b"]}
    made = command("block", "create", "shop-database", "db", "--params", json.dumps(given))
    assert made.returncode == 0, made.stderr
    database = ShopDatabase.load("db")
    assert database.credentials == found
    assert [one.get_secret_value() for one in database.tokens] == ["a", "b"]


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"user": 7, "password": SECRET}, "user: must be of the type string"),
        ({"user": "a", "password": [SECRET]}, "password: must be of the type string"),
        ({"password": SECRET}, "user: is missing"),
        (
            {"user": "a", "password": SECRET, "passwort": SECRET},
            "passwort: is no field of it; its fields: user, password",
        ),
        ({"user": "a", "password": "********"}, "password: stars are what is shown"),
        ([SECRET], "not a JSON object"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_fit_is_named_and_not_shown(command: Command, params: object, reason: str) -> None:
    command("block", "register", "-m", "tests.support.apps.blocks")
    done = command("block", "create", "shopcredentials", "x", "--params", json.dumps(params))
    assert (done.returncode, reason in done.stderr, SECRET in done.stderr) == (2, True, False), done.stderr
    broken = command("block", "create", "shopcredentials", "x", "--params", "{" + SECRET)
    assert (broken.returncode, SECRET in broken.stderr) == (2, False)


def test_a_secret_is_typed_where_it_is_not_shown(fleet: Fleet) -> None:
    environment = environment_of(fleet.settings)
    seen = on_a_terminal(
        environment,
        "block",
        "create",
        "secret",
        "typed",
        answers={"value: ": SECRET, "Repeat for confirmation: ": SECRET},
    )
    assert SECRET not in seen
    assert "secret/typed is saved" in seen
    assert Secret.load("typed").get() == SECRET


def test_types_of_a_file_are_registered(command: Command, tmp_path: Path) -> None:
    (tmp_path / "shop_blocks.py").write_text(
        "from abc import ABC\nfrom orchestrator.blocks.core import Block\n"
        "class Base(Block, ABC):\n    pass\nclass ShelfOfShop(Base):\n    '''Where things are.'''\n    rows: int = 3\n"
    )
    done = command("block", "register", "-f", str(tmp_path / "shop_blocks.py"))
    assert (done.returncode, "shelfofshop: ShelfOfShop" in done.stdout, "base" in done.stdout) == (0, True, False)
    assert "Where things are." in command("block", "type", "inspect", "shelfofshop").stdout
    assert command("block", "create", "shelfofshop", "one", "-p", "rows=5").returncode == 0
    deleted = command("block", "type", "delete", "shelfofshop", "--yes")
    assert "shelfofshop is deleted, and 1 blocks of it" in deleted.stdout
    assert command("block", "inspect", "shelfofshop/one").returncode == 1


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((), "say which classes"),
        (("-m", "orchestrator.blocks.system", "-f", "pyproject.toml"), "FILE"),
        (("-m", "no_such_module_here"), "cannot be imported"),
        (("-m", "json"), "there is no block class in json"),
    ],
    ids=str,
)
def test_what_cannot_be_registered_says_why(command: Command, words: tuple[str, ...], reason: str) -> None:
    done = command("block", "register", *words)
    assert done.returncode in (1, 2)
    assert reason in done.stderr


def test_prefects_modules_are_read_as_ours(command: Command) -> None:
    assert "secret: Secret" in command("block", "register", "-m", "prefect.blocks.system").stdout


def test_rotation_of_the_key(fleet: Fleet) -> None:
    old, new = "o" * 40, "n" * 40

    def on(keys: str) -> tuple[Command, Fleet]:
        made = stack.enter_context(fleet_of(foreign(fleet, encryption_key=keys)))
        return command_on(made), made

    from contextlib import ExitStack

    with ExitStack() as stack:
        command, _ = on(old)
        Secret(value=SECRET).save("api-key")
        ShopDatabase(tokens=["a"], credentials={"user": "u", "password": SECRET}).save("db")
        JSON(value=1).save("plain")
        assert command("check").stderr == ""
        command, _ = on(f"{new},{old}")
        assert Secret.load("api-key").get() == SECRET
        assert "3 secrets of blocks still need an older key: orchestrator block rekey" in command("check").stderr
        done = command("block", "rekey")
        assert (done.returncode, done.stdout.startswith("3 secrets of 2 blocks")) == (0, True), done.stderr
        assert command("check").stderr == ""
        assert command("block", "rekey").stdout.startswith("0 secrets of 0 blocks")
        command, _ = on(new)
        assert Secret.load("api-key").get() == SECRET
        assert ShopDatabase.load("db").credentials.password.get_secret_value() == SECRET  # type: ignore[union-attr]
        assert Block.load("json/plain").value == 1  # type: ignore[attr-defined]
        assert "secret" in command("block", "type", "ls").stdout
        command, _ = on(old)
        assert (
            "3 secrets of blocks need a key that is not in ORCHESTRATOR_ENCRYPTION_KEY here" in command("check").stderr
        )
        done = command("block", "rekey")
        assert (done.returncode, "secret/api-key" in done.stderr) == (1, True)
        on(new)
        assert Secret.load("api-key").get() == SECRET  # what cannot be opened stays as it was


def test_rekey_without_a_key_says_how_to_make_one(fleet: Fleet) -> None:
    with fleet_of(foreign(fleet)) as bare:
        done = command_on(bare)("block", "rekey")
    assert (done.returncode, "export ORCHESTRATOR_ENCRYPTION_KEY=" in done.stderr) == (1, True)
