"""Secrets of blocks: encrypted wherever they are, bound to their place, and shown nowhere."""

from __future__ import annotations

import json
import logging
import stat
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr, ValidationError, field_validator

from orchestrator.blocks.core import Block
from orchestrator.blocks.errors import BlockNotFound
from orchestrator.blocks.lookup import find_block
from orchestrator.blocks.sealing import read_table, sealed_table
from orchestrator.blocks.system import JSON, Secret, String
from orchestrator.blocks.views import NO_KEY, data_shown
from orchestrator.client.fleet import Fleet
from orchestrator.errors import ConfigurationError, EncryptionKeyMissing, UntrustedPayload
from orchestrator.settings import Settings
from tests.support.apps.blocks import Account, ShopCredentials, ShopDatabase
from tests.support.command_line import Command, command_on
from tests.support.fleets import fleet_of
from tests.support.store_dump import everything_in, traces_of

SECRET = "my-api-key-12345-unmistakable"
PLACES: dict[str, Callable[[], Block]] = {
    "secret": lambda: Secret(value=SECRET),
    "secret-dict": lambda: Secret(value={SECRET: [SECRET]}),
    "field": lambda: ShopCredentials(user="ann", password=SECRET),
    "bytes": lambda: ShopDatabase(certificate=SECRET.encode()),
    "secretdict": lambda: ShopDatabase(options={SECRET: {"deep": SECRET}}),
    "model": lambda: ShopDatabase(accounts=[Account(name="a", pin=SECRET)]),
    "dict": lambda: ShopDatabase(headers={"authorization": SECRET}),
    "dict-of-models": lambda: ShopDatabase(by_name={"a": Account(name="a", pin=SECRET)}),
    "list": lambda: ShopDatabase(tokens=["", SECRET]),
    "union": lambda: ShopDatabase(either=SECRET),
    "union-model": lambda: ShopDatabase(either={"name": "a", "pin": SECRET}),
    "dataclass": lambda: ShopDatabase(card={"owner": "ann", "number": SECRET}),
    "loud-model": lambda: ShopDatabase(loud={"pin": SECRET}),
    "password-field": lambda: ShopDatabase(hidden=SECRET),
    "anything": lambda: ShopDatabase(anything={"x": [SecretStr(SECRET)]}),
    "any-model": lambda: JSON(value=Account(name="a", pin=SECRET)),
    "nested": lambda: ShopDatabase(credentials={"user": "a", "password": SECRET}),
    "nested-list": lambda: ShopDatabase(replicas=[{"user": "a", "password": SECRET}]),
}


@pytest.mark.parametrize("place", PLACES)
def test_no_secret_is_in_the_store_wherever_it_is_in_the_block(fleet: Fleet, command: Command, place: str) -> None:
    block = PLACES[place]()
    block.save("one")
    record = find_block(fleet.broker, "one")
    shown = [repr(block), str(block), f"{block!r}", repr(Block.load(record.full_name)), repr(record)]
    shown.append(json.dumps(data_shown(record, fleet.secrets_ring())))
    for words in (("inspect", "one"), ("inspect", "one", "-o", "json"), ("ls",), ("ls", "-o", "json")):
        done = command("block", *words)
        assert done.returncode == 0, done.stderr
        shown.append(done.stdout + done.stderr)
    assert [text for text in shown if SECRET in text or SECRET[:8] in text] == []
    assert traces_of(SECRET, everything_in(fleet)) == []
    before = block.model_dump()
    assert type(block).load("one").model_dump() == before


def test_the_traces_of_a_secret_would_be_found(fleet: Fleet) -> None:
    String(value=SECRET).save("in-clear")
    assert traces_of(SECRET, everything_in(fleet)) == ["clear"]


@pytest.mark.parametrize(
    "given",
    [
        {"user": 1, "password": {"k": SECRET}},
        {"user": 1, "password": SECRET},
        {"password": SECRET},
        {"user": "a", "password": [SECRET]},
        {"user": "a", "password": SecretStr(SECRET), "other": 1, "users": SECRET} | {"user": [SECRET]},
    ],
    ids=repr,
)
def test_errors_about_fields_do_not_show_what_was_given(
    given: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    for make in (lambda: ShopCredentials(**given), lambda: ShopCredentials.model_validate(given)):
        with pytest.raises(ValidationError) as raised:
            make()
        error = raised.value
        logging.getLogger("orchestrator").error("no good", exc_info=error)
        texts = [str(error), repr(error), repr(error.errors()), error.json(), *traceback.format_exception(error)]
        assert SECRET not in " ".join(texts) + caplog.text
        assert error.__context__ is None
    with pytest.raises(ValidationError) as nested:
        ShopDatabase(credentials=given, accounts=[{"name": 1, "pin": [SECRET]}])
    assert SECRET not in f"{nested.value} {nested.value.errors()} {nested.value.json()}"
    assert ("accounts", 0, "pin") in [one["loc"] for one in nested.value.errors()]


def test_a_validator_that_shows_the_secret_is_not_repeated() -> None:
    class Strict(Block):
        key: SecretStr

        @field_validator("key")
        @classmethod
        def _long(cls, key: SecretStr) -> SecretStr:
            raise ValueError(f"{key.get_secret_value()} is too short")

    with pytest.raises(ValidationError, match="not shown") as raised:
        Strict(key=SECRET)
    assert SECRET not in str(raised.value)
    assert raised.value.errors()[0]["loc"] == ("key",)


def test_a_class_that_changed_says_which_field_and_shows_no_secret(fleet: Fleet) -> None:
    class Turning(Block):
        key: SecretStr

    Turning(key=SECRET).save("t")

    class Number(BaseModel):
        n: int

    class Turning(Block):  # type: ignore[no-redef]
        key: Number

    with pytest.raises(Exception, match="turning/t") as raised:
        Turning.load("t")
    assert SECRET not in "".join(traceback.format_exception(raised.value))
    with pytest.warns(UserWarning, match="key"):
        found = Turning.load("t", validate=False)
    assert SECRET not in repr(found)


def test_ciphertexts_belong_to_their_block_and_their_place(fleet: Fleet) -> None:
    ShopDatabase(hidden="one", credentials={"user": "a", "password": "two"}).save("a")
    ShopDatabase(hidden="three", credentials={"user": "a", "password": "four"}).save("b")
    a, b = (find_block(fleet.broker, f"shop-database/{name}") for name in "ab")
    hidden, inner = ("hidden",), ("credentials", "password")

    def loads(table: dict[Any, bytes]) -> None:
        fleet.broker.documents.write("block", a.id, {"s": sealed_table(table)})
        ShopDatabase.load("a")

    loads(a.sealed)
    for table in (
        {**a.sealed, hidden: b.sealed[hidden]},
        {**a.sealed, hidden: a.sealed[inner], inner: a.sealed[hidden]},
        {**a.sealed, hidden: a.sealed[hidden][:-1]},
        {**a.sealed, hidden: a.sealed[hidden][:20]},
    ):
        with pytest.raises(UntrustedPayload, match=r"'hidden'|'credentials\.password'"):
            loads(table)


def test_the_private_server_has_a_key_without_any_step(fleet: Fleet, private_home: Path) -> None:
    Secret(value=SECRET).save("s")
    key = private_home / "encryption.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert key.read_bytes() not in everything_in(fleet)
    with fleet_of(Settings(home=private_home, namespace=fleet.settings.namespace)):  # another process
        assert Secret.load("s").get() == SECRET
    with fleet_of(Settings(home=private_home, namespace=fleet.settings.namespace, encryption_key="k" * 32)):
        assert Secret.load("s").get() == SECRET  # what was saved before there was a setting


def foreign(fleet: Fleet, **settings: Any) -> Settings:
    """The same server, as one that is not this user's own."""
    assert fleet.embedded is not None
    url = fleet.embedded.ensure()
    return Settings(redis_url=url, namespace=fleet.settings.namespace, command_timeout_seconds=10, **settings)


def test_elsewhere_nothing_is_stored_without_a_key_and_the_error_has_the_command(fleet: Fleet) -> None:
    with fleet_of(foreign(fleet)) as elsewhere:
        with pytest.raises(ConfigurationError, match=r"nothing was stored.*export ORCHESTRATOR_ENC"):
            Secret(value=SECRET).save("s")
        with pytest.raises(BlockNotFound):
            find_block(elsewhere.broker, "secret/s")
        String(value="no secret").save("s")
        assert elsewhere.broker.documents.newest("blocktype")[0] == 1  # of the text alone


def test_a_key_that_is_gone_breaks_nothing_else(fleet: Fleet) -> None:
    with fleet_of(foreign(fleet, encryption_key="a" * 32)):
        ShopCredentials(user="ann", password=SECRET).save("s")
    for settings in (foreign(fleet, encryption_key="b" * 32), foreign(fleet)):
        with fleet_of(settings) as without:
            record = find_block(without.broker, "shopcredentials/s")
            if "encryption_key" in settings.model_fields_set:
                assert record.trouble
            with pytest.raises(Exception, match="shopcredentials/s"):
                Block.load("shopcredentials/s")
            listed = command_on(without)("block", "ls")
            assert (listed.returncode, "shopcredentials/s" in listed.stdout) == (0, True)


def test_a_secret_whose_key_is_gone_is_shown_as_that(fleet: Fleet) -> None:
    ShopCredentials(user="ann", password=SECRET).save("s")
    record = find_block(fleet.broker, "shopcredentials/s")
    assert data_shown(record, fleet.secrets_ring()) == {"user": "ann", "password": "********"}
    with fleet_of(foreign(fleet)) as bare:
        shown = command_on(bare)("block", "inspect", "shopcredentials/s", "-o", "json")
        assert json.loads(shown.stdout)["data"] == {"user": "ann", "password": NO_KEY}
        assert "1, 1 without their key" in command_on(bare)("block", "ls").stdout
        with pytest.raises(EncryptionKeyMissing, match=r"'password' of 'shopcredentials/s'.*ORCHESTRATOR_ENC"):
            Block.load("shopcredentials/s")


@pytest.mark.parametrize("stored", [b"", b"\xc1", b"\x90", b"\x91\x01", b"\x91\x92\x90\xc4\x00", b"\xa3abc"])
def test_a_damaged_table_of_secrets_is_an_empty_one(stored: bytes) -> None:
    assert read_table(stored) == {}
