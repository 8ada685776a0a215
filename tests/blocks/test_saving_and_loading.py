"""Blocks are saved under names and come back as what they were."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import Field, SecretStr

from orchestrator.blocks.core import Block
from orchestrator.blocks.errors import (
    BlockAlreadyExists,
    BlockLoadError,
    BlockNotFound,
    BlockNotSavedError,
    InvalidBlockRegistration,
    UnknownBlockType,
)
from orchestrator.blocks.system import JSON, DateTime, Secret, String
from orchestrator.client.fleet import Fleet
from orchestrator.errors import BrokerConflict, SerializationError
from orchestrator.testing import inline
from tests.support.apps.blocks import ShopCredentials, ShopDatabase

pytestmark = pytest.mark.usefixtures("fleet")


def test_values_under_names() -> None:
    JSON(value={"s3_bucket": "my-bucket"}).save("lake", overwrite=True)
    String(value="grün\n").save("colour")
    DateTime(value="2026-03-01T12:00:00+01:00").save("launch")
    assert Block.load("json/lake").value["s3_bucket"] == "my-bucket"  # type: ignore[attr-defined]
    assert String.load("colour").value == "grün\n"
    assert DateTime.load("launch").value.isoformat() == "2026-03-01T12:00:00+01:00"


@pytest.mark.parametrize(
    "value", ["plain", "", "7", {"user": "ann", "n": [1, None]}, ["a"], 3.5, True], ids=lambda value: repr(value)
)
def test_a_secret_is_text_or_anything_that_json_holds(value: Any) -> None:
    Secret(value=value).save("s")
    found = Secret.load("s").get()
    assert found == (7 if value == "7" else value)  # as in Prefect: a text that is JSON is what it stands for


def test_a_name_alone_is_enough_while_one_type_has_it() -> None:
    String(value="x").save("only")
    assert Block.load("only").value == "x"  # type: ignore[attr-defined]
    JSON(value=1).save("only")
    with pytest.raises(BlockNotFound, match=r"several.*'only'.*(json|string)/only, (json|string)/only"):
        Block.load("only")


def test_on_an_event_loop_the_same_names_are_awaited() -> None:
    async def use() -> Any:
        saved = await Secret(value="tea").save("s", overwrite=True)
        again = await Secret(value="tea").asave("t")
        loaded = await Secret.load("s")
        by_reference = await Block.load_from_ref(saved)
        await Secret.delete("s")
        await Secret.register_type_and_schema()
        return saved, again, loaded.get(), by_reference.get(), Secret.load("t", _sync=True).get()

    saved, again, *values = asyncio.run(use())
    assert isinstance(saved, UUID)
    assert isinstance(again, UUID)
    assert values == ["tea"] * 3
    with pytest.raises(ValueError, match="not found"):
        Secret.load("s")


def test_everything_of_a_block_comes_back() -> None:
    given: dict[str, Any] = {
        "accounts": [{"name": "a", "pin": "1111", "token": 7}],
        "by_name": {"pin": {"name": "b", "pin": "2222"}},
        "tokens": ["t1", "t2"],
        "headers": {"x": "y"},
        "certificate": b"\xff\x00bytes",
        "options": {"deep": {"k": [1]}},
        "either": "text",
        "card": {"owner": "ann", "number": "4242"},
        "loud": {"pin": "3333"},
        "hidden": "plain text that is secret",
        "anything": {"list": [SecretStr("inner")], "n": 1},
        "credentials": {"user": "ann", "password": "tea"},
        "replicas": [ShopCredentials(user="r", password="pw")],
    }
    block = ShopDatabase(**given)
    block.save("main")
    found = ShopDatabase.load("main")
    assert found.model_dump() == block.model_dump()
    assert found.hidden == "plain text that is secret"
    either = ShopDatabase(either={"name": "c", "pin": "4"})
    either.save("other")
    assert ShopDatabase.load("other").model_dump() == either.model_dump()


def test_a_block_in_a_block_is_a_reference_where_it_is_saved_by_itself() -> None:
    credentials = ShopCredentials(user="ann", password="old")
    credentials.save("main")
    ShopDatabase(credentials=credentials, replicas=[credentials]).save("db")
    ShopCredentials(user="ann", password="new").save("main", overwrite=True)
    found = ShopDatabase.load("db")
    assert found.credentials is not None
    assert found.credentials.password.get_secret_value() == "new"
    assert found.credentials._block_document_name == "main"
    assert found.replicas[0].password.get_secret_value() == "new"
    ShopCredentials.delete("main")
    with pytest.raises(BlockNotFound, match=r"shop-database/db.*'(credentials|replicas\[0\])'"):
        ShopDatabase.load("db")


def test_what_is_there_is_replaced_only_where_that_is_asked_for() -> None:
    String(value="1").save("s")
    with pytest.raises(BlockAlreadyExists, match="overwrite=True"):
        String(value="2").save("s")
    with pytest.raises(ValueError, match="already"):  # what Prefect raises
        String(value="2").save("s")
    String(value="3").save("s", overwrite=True)
    assert String.load("s").value == "3"


def test_two_that_change_one_block_do_not_overwrite_each_other_unseen() -> None:
    String(value="1").save("s")
    ours, theirs = String.load("s"), String.load("s")
    ours.value, theirs.value = "ours", "theirs"
    ours.save(overwrite=True)
    with pytest.raises(BrokerConflict, match="has changed since"):
        theirs.save(overwrite=True)
    assert String.load("s").value == "ours"
    ours.value = "ours again"
    ours.save("s", overwrite=True)  # it knows what it has written itself
    theirs.save("copy")
    assert (String.load("s").value, String.load("copy").value) == ("ours again", "theirs")


@pytest.mark.parametrize("name", ["", "A", "a b", "a/b", "a_b", "ä", "a" * 201, "a\n", 7])
def test_names_are_lowercase_letters_digits_and_dashes(name: Any) -> None:
    with pytest.raises(ValueError, match="no name for a block"):
        String(value="x").save(name)


def test_what_has_no_name_says_so() -> None:
    with pytest.raises(ValueError, match="has no name yet"):
        String(value="x").save()
    with pytest.raises(BlockNotSavedError, match="save it"):
        String(value="x").get_block_placeholder()
    String(value="x").save("s")
    assert String.load("s").get_block_placeholder() == "prefect.blocks.string.s"


def test_a_reference_is_an_id_or_what_prefect_writes() -> None:
    saved = String(value="x").save("s")
    for ref in (saved, str(saved), {"block_document_id": str(saved)}, {"block_document_slug": "string/s"}):
        assert Block.load_from_ref(ref).value == "x"
    with pytest.raises(BlockNotFound, match="no block with the id"):
        Block.load_from_ref(uuid4())
    with pytest.raises(ValueError, match="refers to no block"):
        Block.load_from_ref({"block_document": 1})


def test_a_class_that_has_grown_loads_what_was_saved_before_it_grew() -> None:
    class Growing(Block):
        old: str
        key: SecretStr = SecretStr("")

    Growing(old="x", key="tea").save("g")

    class Growing(Block):  # type: ignore[no-redef]
        old: str
        key: SecretStr = SecretStr("")
        new: int
        more: int = 3

    with pytest.raises(BlockLoadError, match=r"growing/g.*new.*validate=False"):
        Growing.load("g")
    with pytest.raises(RuntimeError):  # what Prefect raises
        Block.load("growing/g")
    with pytest.warns(UserWarning, match="set new"):
        found = Growing.load("g", validate=False)
    assert (found.old, found.new) == ("x", None)
    assert "tea" not in repr(found)
    found.new = 5
    found.key = "plain text"  # assigned without validation: it is still a secret
    found.save(overwrite=True)
    again = Growing.load("g")
    assert (again.new, again.more, again.key.get_secret_value()) == (5, 3, "plain text")


def test_fields_that_the_class_has_lost_are_left_alone() -> None:
    class Shrinking(Block):
        kept: str
        lost: str

    Shrinking(kept="a", lost="b").save("s")

    class Shrinking(Block):  # type: ignore[no-redef]
        kept: str

    assert Shrinking.load("s").kept == "a"


def test_a_class_that_is_not_known_here_is_shown_by_its_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    from orchestrator.blocks import registry

    class Elsewhere(Block):
        url: str
        key: SecretStr

        def connect(self) -> str:
            return self.url

    Elsewhere(url="http://x", key="tea").save("e")
    monkeypatch.delitem(registry._classes, "elsewhere")
    found: Any = Block.load("elsewhere/e")
    assert (found.url, found.key.get_secret_value()) == ("http://x", "tea")
    assert "tea" not in f"{found!r} {found} {found.model_dump()} {found.model_dump_json()}"
    with pytest.raises(UnknownBlockType, match=f"'connect'.*import the module.*{__name__}"):
        found.connect()
    assert not hasattr(found, "connect")
    for change in (lambda: found.save("other"), lambda: asyncio.run(found.asave("other"))):
        with pytest.raises(UnknownBlockType, match="import the module"):
            change()
    with pytest.raises(UnknownBlockType, match="import the module"):
        Block.get_block_class_from_key("elsewhere")
    assert Block.get_block_class_from_key("secret") is Secret  # ours are known everywhere


def test_a_block_of_another_type_is_refused() -> None:
    String(value="x").save("s")
    with pytest.raises(BlockLoadError, match="no Secret"):
        Secret.load("string/s")
    with pytest.raises(BlockNotFound, match="'secret/s' not found"):
        Secret.load("s")


def test_interfaces_are_not_registered() -> None:
    from abc import ABC

    class Store(Block, ABC):
        """What stores things."""

    class Disk(Store):
        """A disk."""

    for cls in (Block, Store):
        with pytest.raises(InvalidBlockRegistration, match="other classes build on"):
            cls.register_type_and_schema()
    Disk.register_type_and_schema()
    Disk.register_type_and_schema()
    Disk().save("d")
    assert type(Store.load("disk/d")) is Disk


def test_block_initialization_runs_for_new_and_for_loaded_ones() -> None:
    seen: list[str] = []

    class Counted(Block):
        name: str = Field(alias="the-name")

        def block_initialization(self) -> None:
            seen.append(self.name)

    Counted(**{"the-name": "a"}).save("c")
    assert Counted.load("c").name == "a"
    assert seen == ["a", "a"]


@pytest.mark.parametrize("value", [object(), b"\xff", 2**70, "\ud800"], ids=["object", "bytes", "huge", "surrogate"])
def test_what_cannot_be_stored_is_refused_and_nothing_is_written(value: Any) -> None:
    with pytest.raises(SerializationError, match="cannot be stored"):
        JSON(value=value).save("j")
    with pytest.raises(BlockNotFound):
        JSON.load("j")


def test_a_block_that_contains_itself_is_no_endless_loop() -> None:
    class Ring(Block):
        next: Block | None = None

    first, second = Ring(), Ring()
    first.save("first")
    second.next = first
    second.save("second")
    first.next = second
    first.save("first", overwrite=True)
    with pytest.raises(BlockLoadError, match="contains itself"):
        Ring.load("first")
    unsaved = Ring()
    unsaved.next = unsaved
    with pytest.raises(SerializationError):
        unsaved.save("unsaved")


def test_a_dead_field_in_the_store_is_an_error_that_says_so(fleet: Fleet) -> None:
    saved = String(value="x").save("s")
    fleet.broker.documents.write("block", str(saved), {"d": b"\xc1nonsense"})
    with pytest.raises(BlockLoadError, match=r"string/s.*damaged"):
        String.load("s")


def test_without_a_server_blocks_work_in_memory() -> None:
    with inline():
        Secret(value="tea").save("s")
        assert Secret.load("s").get() == "tea"
