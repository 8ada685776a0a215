"""Blocks as pages: forms made from schemas, fields for secrets that are written and never read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from orchestrator.blocks.lookup import find_block
from orchestrator.blocks.system import JSON, Secret, String
from orchestrator.client.fleet import Fleet
from tests.server.pages.test_deployment_pages import open_app, send
from tests.server.pages.test_pages import hidden_fields, text_of
from tests.support.apps.blocks import ShopCredentials
from tests.support.engines import redis_fleet
from tests.support.fleets import fleet_of
from tests.support.servers import ServerProcess
from tests.support.store_dump import everything_in, traces_of

SECRET = "my-api-key-12345-unmistakable"


@pytest.fixture
def keyed(server: ServerProcess, namespace: str) -> Iterator[Fleet]:
    settings = redis_fleet().settings(server, namespace, command_timeout_seconds=10, encryption_key="k" * 40)
    with fleet_of(settings) as made:
        yield made


@pytest.fixture
def reader(keyed: Fleet) -> Iterator[TestClient]:
    with open_app(keyed) as client:
        yield client


def test_a_secret_is_made_changed_and_deleted_and_never_shown(reader: TestClient, keyed: Fleet) -> None:
    assert "There is no block." in text_of(reader.get("/blocks"))
    form = reader.get("/blocks/new", params={"type": "secret"})
    assert 'type="password"' in form.text
    made = send(reader, "/blocks/create", type="secret", name="api-key", **{"p.value": SECRET})
    assert "The block is saved." in text_of(made)
    assert Secret.load("api-key").get() == SECRET
    block_id = find_block(keyed.broker, "secret/api-key").id
    edit = reader.get("/blocks/edit", params={"id": block_id})
    assert "empty: it stays as it is" in text_of(edit)
    seen = hidden_fields(edit)["generation"][0]
    kept = send(reader, "/blocks/change", id=block_id, generation=seen, **{"p.value": ""})
    assert "The block is changed" in text_of(kept)
    assert Secret.load("api-key").get() == SECRET
    stale = send(reader, "/blocks/change", id=block_id, generation=seen, **{"p.value": '"other"'})
    assert (stale.status_code, "has changed since" in stale.text) == (422, True)
    again = send(reader, "/blocks/create", type="secret", name="api-key", **{"p.value": SECRET})
    assert (again.status_code, "already" in again.text) == (422, True)
    pages = [made, edit, kept, stale, again, reader.get("/blocks"), reader.get("/blocks/show", params={"id": block_id})]
    assert "********" in pages[-1].text
    assert [page for page in pages if SECRET in page.text] == []
    assert "fails from then on" in text_of(reader.get("/blocks/delete", params={"id": block_id}))
    assert "The block is deleted." in text_of(send(reader, "/blocks/delete", id=block_id))
    assert traces_of(SECRET, everything_in(keyed)) == []


def test_fields_of_a_class_that_the_server_does_not_have(reader: TestClient, keyed: Fleet) -> None:
    ShopCredentials.register_type_and_schema()
    sent = {"p.user": "ann", "p.password": SECRET}
    assert "is saved" in text_of(send(reader, "/blocks/create", type="shopcredentials", name="main", **sent))
    record = find_block(keyed.broker, "shopcredentials/main")
    changed = {"id": record.id, "generation": "1", "p.user": "bob", "p.password": ""}
    assert "is changed" in text_of(send(reader, "/blocks/change", **changed))
    found = ShopCredentials.load("main")
    assert (found.user, found.password.get_secret_value()) == ("bob", SECRET)


@pytest.mark.parametrize(
    ("name", "fields", "reason"),
    [
        ("Two words", {"p.user": "a", "p.password": SECRET}, "is no name for a block"),
        ("x", {"p.user": "a", "p.password": ""}, "A value is needed."),
        ("x", {"p.password": SECRET}, "user"),
    ],
    ids=["name", "secret", "field"],
)
def test_what_is_wrong_is_said_and_no_secret_comes_back(
    reader: TestClient, name: str, fields: dict[str, str], reason: str
) -> None:
    ShopCredentials.register_type_and_schema()
    wrong = send(reader, "/blocks/create", type="shopcredentials", name=name, **fields)
    assert wrong.status_code == 422
    assert reason in wrong.text
    assert SECRET not in wrong.text
    assert f'value="{name}"' in wrong.text


def test_markup_is_text(reader: TestClient) -> None:
    saved = String(value="<script>alert(1)</script>").save("s")
    JSON(value={"<b>": ["<i>"]}).save("j")
    for path in ("/blocks", f"/blocks/show?id={saved}", f"/blocks/edit?id={saved}"):
        page = reader.get(path)
        assert page.status_code == 200
        assert "<script>alert(1)" not in page.text
    assert "<script>alert(1)</script>" in text_of_html(reader.get(f"/blocks/show?id={saved}").text)


def text_of_html(page: str) -> str:
    from html import unescape

    return unescape(page)


def test_what_is_not_there_is_404(reader: TestClient) -> None:
    for path in ("/blocks/show?id=x", "/blocks/edit?id=x", "/blocks/delete?id=x", "/blocks/new?type=gone"):
        assert reader.get(path).status_code == 404
    for path in ("/blocks/change", "/blocks/delete", "/blocks/nothing"):
        assert send(reader, path, id="x").status_code == 404
    assert send(reader, "/blocks/create", type="gone", name="x").status_code == 404


def test_a_read_only_server_has_no_buttons(keyed: Fleet) -> None:
    saved = String(value="x").save("s")
    with open_app(keyed, read_only=True) as reader:
        page = reader.get(f"/blocks/show?id={saved}")
        assert "Edit…" not in page.text
        assert "New block" not in reader.get("/blocks").text
        assert reader.post("/blocks/delete", data={"id": str(saved)}).status_code == 403
