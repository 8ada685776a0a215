"""Blocks over HTTP, with the bodies that Prefect's clients send; and nobody is given a secret."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from orchestrator.blocks.system import JSON, Secret
from orchestrator.client.fleet import Fleet
from orchestrator.server import make_app
from tests.support.apps.blocks import ShopCredentials, ShopDatabase
from tests.support.engines import redis_fleet
from tests.support.fleets import fleet_of
from tests.support.servers import ServerProcess
from tests.support.store_dump import everything_in, traces_of

SECRET = "my-api-key-12345-unmistakable"
STARS = "********"


@pytest.fixture
def keyed(server: ServerProcess, namespace: str) -> Iterator[Fleet]:
    """A fleet that has a key for secrets."""
    settings = redis_fleet().settings(server, namespace, command_timeout_seconds=10, encryption_key="k" * 40)
    with fleet_of(settings) as made:
        yield made


@pytest.fixture
def api(keyed: Fleet) -> Iterator[TestClient]:
    with TestClient(make_app(keyed), base_url="http://127.0.0.1/api", client=("127.0.0.1", 5000)) as client:
        yield client


def ok(response: Any, status: int = 200) -> Any:
    assert response.status_code == status, response.text
    assert SECRET not in response.text
    return response.json() if response.content else None


def type_id(api: TestClient, slug: str) -> str:
    return str(ok(api.get(f"/block_types/slug/{slug}"))["id"])


def test_a_block_from_its_making_to_its_end(api: TestClient, keyed: Fleet) -> None:
    body = {"name": "api-key", "block_type_id": type_id(api, "secret"), "data": {"value": SECRET}}
    made = ok(api.post("/block_documents/", json=body), 201)
    assert (made["name"], made["data"], made["block_type_name"]) == ("api-key", {"value": STARS}, "Secret")
    assert made["block_schema"]["fields"]["secret_fields"] == ["value"]
    assert made["block_type"]["slug"] == "secret"
    assert api.post("/block_documents/", json=body).status_code == 409
    assert ok(api.get(f"/block_documents/{made['id']}")) == made
    assert ok(api.get("/block_types/slug/secret/block_documents/name/api-key")) == made
    assert ok(api.get("/block_types/slug/secret/block_documents")) == [made]
    assert Secret.load("api-key").get() == SECRET
    ok(api.patch(f"/block_documents/{made['id']}", json={"data": {"value": STARS}}), 204)
    assert Secret.load("api-key").get() == SECRET
    ok(api.patch(f"/block_documents/{made['id']}", json={"data": {"value": {"k": 1}}}), 204)
    assert Secret.load("api-key").get() == {"k": 1}
    ok(api.delete(f"/block_documents/{made['id']}"), 204)
    for method in ("GET", "DELETE", "PATCH"):
        sent = {"data": {}} if method == "PATCH" else None
        assert api.request(method, f"/block_documents/{made['id']}", json=sent).status_code == 404
    assert api.get("/block_types/slug/secret/block_documents/name/api-key").status_code == 404
    assert traces_of(SECRET, everything_in(keyed)) == []


def test_secrets_are_given_to_nobody_and_who_asks_is_in_the_audit(api: TestClient, keyed: Fleet) -> None:
    saved = Secret(value=SECRET).save("s")
    paths = (f"/block_documents/{saved}", "/block_types/slug/secret/block_documents/name/s")
    for path in (*paths, "/block_types/slug/secret/block_documents"):
        refused = api.get(path, params={"include_secrets": "true"})
        assert (refused.status_code, SECRET in refused.text) == (403, False)
        assert api.get(path, params={"include_secrets": "false"}).status_code == 200
    assert api.post("/block_documents/filter", json={"include_secrets": True}).status_code == 403
    lines = [line for line in keyed.broker.documents.audit(10) if "asked for secrets" in line.what]
    assert [line.id for line in reversed(lines)] == [str(saved), "secret/s", "secret", "a list"]


def test_lists_as_prefects_clients_ask_for_them(api: TestClient) -> None:
    for name in ("b", "a"):
        JSON(value=name).save(name)
    Secret(value=SECRET).save("c")
    anonymous = {"is_anonymous": True, "block_type_id": type_id(api, "json"), "data": {"value": float("1.5")}}
    hidden = ok(api.post("/block_documents/", json=anonymous), 201)
    assert (hidden["name"], hidden["is_anonymous"]) == (None, True)

    def names(**body: Any) -> list[str]:
        return [one["name"] for one in ok(api.post("/block_documents/filter", json=body))]

    assert names() == ["a", "b", "c"]
    assert names(sort="NAME_DESC", limit=1, offset=1) == ["b"]
    assert names(sort="BLOCK_TYPE_AND_NAME_ASC", block_types=None, block_schemas=None) == ["a", "b", "c"]
    assert names(block_types={"slug": {"any_": ["secret"]}, "name": None}) == ["c"]
    assert names(block_documents={"name": {"like_": "A"}, "is_anonymous": {"eq_": False}}) == ["a"]
    assert names(block_documents={"is_anonymous": {"eq_": True}}) == [None]
    assert names(block_documents={"block_type_id": {"any_": [type_id(api, "json")]}}) == ["a", "b"]
    assert names(block_documents={"id": {"any_": [hidden["id"]]}}) == []
    assert ok(api.post("/block_documents/count", json={})) == 3
    assert api.post("/block_documents/filter", json={"block_documents": {"unknown": 1}}).status_code == 422
    slugs = [one["slug"] for one in ok(api.post("/block_types/filter", json={"limit": 200}))]
    assert {"secret", "json", "slack-webhook", "local-file-system"} <= set(slugs)
    found = ok(
        api.post("/block_types/filter", json={"block_schemas": {"block_capabilities": {"all_": ["write-path"]}}})
    )
    assert {one["slug"] for one in found} >= {"local-file-system", "remote-file-system"}
    assert "json" not in {one["slug"] for one in found}
    assert "read-path" in ok(api.get("/block_schemas/capabilities"))


def test_a_type_that_another_program_describes(api: TestClient, keyed: Fleet) -> None:
    sent = {"name": "Shelf", "slug": "shelf", "description": "<script>alert(1)</script>"}
    made = ok(api.post("/block_types/", json=sent), 201)
    assert api.post("/block_types/", json=sent).status_code == 409
    fields = {
        "properties": {"rows": {"type": "integer"}, "pin": {"type": "string"}, "of": {"$ref": "#/definitions/Secret"}},
        "definitions": {"Secret": {"type": "object", "block_type_slug": "secret"}},
        "required": ["rows"],
        "secret_fields": ["pin"],
        "block_schema_references": {"of": {"block_type_slug": "secret"}},
    }
    schema = ok(
        api.post("/block_schemas/", json={"fields": fields, "block_type_id": made["id"], "capabilities": ["hold"]}), 201
    )
    assert ok(api.get(f"/block_schemas/{schema['id']}"))["fields"] == fields
    assert ok(api.get(f"/block_schemas/checksum/{schema['checksum']}"))["id"] == schema["id"]
    inner = Secret(value=SECRET).save("inner")
    body = {"name": "one", "block_type_id": made["id"], "block_schema_id": schema["id"]}
    data = {"rows": 3, "pin": SECRET, "of": {"$ref": {"block_document_id": str(inner)}}}
    block = ok(api.post("/block_documents/", json=body | {"data": data}), 201)
    assert block["data"] == {"rows": 3, "pin": STARS, "of": {"$ref": {"block_document_id": str(inner)}}}
    assert block["block_document_references"] == {"of": {"block_document": {"id": str(inner)}}}
    for wrong, reason in (
        ({"rows": "x", "pin": SECRET}, "rows: must be of the type integer"),
        ({"pin": SECRET}, "rows: is missing"),
        ({"rows": 1, "pin": [SECRET]}, "pin: must be of the type string"),
        ({"rows": 1, "pni": SECRET}, "pni: is no field of it"),
    ):
        refused = api.post("/block_documents/", json=body | {"name": "two", "data": wrong})
        assert (refused.status_code, reason in refused.text, SECRET in refused.text) == (422, True, False), refused.text
    ok(api.patch(f"/block_types/{made['id']}", json={"description": "Where things are"}), 204)
    assert ok(api.get(f"/block_types/{made['id']}"))["description"] == "Where things are"
    ok(api.delete(f"/block_schemas/{schema['id']}"), 204)
    assert api.delete(f"/block_schemas/{schema['id']}").status_code == 404
    ok(api.get(f"/block_documents/{block['id']}"))
    ok(api.delete(f"/block_types/{made['id']}"), 204)
    for path in (f"/block_types/{made['id']}", f"/block_documents/{block['id']}", "/block_types/slug/shelf"):
        assert api.get(path).status_code == 404
    assert traces_of(SECRET, everything_in(keyed)) == []


def test_untouched_secrets_stay_and_others_are_replaced(api: TestClient) -> None:
    accounts = [{"name": "a", "pin": "1"}, {"name": "b", "pin": "2"}]
    saved = ShopDatabase(
        headers={"a": "1"}, accounts=accounts, hidden="h", credentials=ShopCredentials(user="ann", password=SECRET)
    ).save("db")

    def change(status: int = 204, **data: Any) -> str:
        sent = {"data": shown | data, "merge_existing_data": False}
        response = api.patch(f"/block_documents/{saved}", json=sent)
        assert response.status_code == status, response.text
        return response.text

    shown = ok(api.get(f"/block_documents/{saved}"))["data"]
    assert shown["headers"] == STARS
    assert shown["credentials"] == {"user": "ann", "password": STARS}
    assert shown["accounts"][1] == {"name": "b", "pin": STARS, "token": None}
    change(host="elsewhere", accounts=[shown["accounts"][0], {"name": "b", "pin": "new"}])
    found = ShopDatabase.load("db")
    assert [one.pin.get_secret_value() for one in found.accounts] == ["1", "new"]
    assert (found.host, found.hidden, found.headers["a"].get_secret_value()) == ("elsewhere", "h", "1")
    assert found.credentials is not None
    assert found.credentials.password.get_secret_value() == SECRET
    reason = "entry 0 is not what it was, so stars cannot stand for its secret"
    assert reason in change(422, accounts=[shown["accounts"][1]])
    change(headers={"b": "2"}, accounts=[])
    assert list(ShopDatabase.load("db").headers) == ["b"]
    ok(api.patch(f"/block_documents/{saved}", json={"data": {"host": "x"}, "merge_existing_data": False}), 204)
    assert ShopDatabase.load("db").hidden is None


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/block_documents/", {"block_type_id": "gone", "name": "x"}),
        ("/block_schemas/", {"block_type_id": "gone", "fields": {}}),
    ],
)
def test_what_is_not_there_is_404(api: TestClient, path: str, body: dict[str, Any]) -> None:
    assert api.post(path, json=body).status_code == 404


def test_a_block_without_a_name_says_so(api: TestClient) -> None:
    assert api.post("/block_documents/", json={"block_type_id": type_id(api, "json")}).status_code == 422
    wrong = {"block_type_id": type_id(api, "json"), "name": "Not A Name", "data": {"value": 1}}
    assert api.post("/block_documents/", json=wrong).status_code == 422


def test_without_a_key_a_secret_is_refused_with_the_command(own_fleet: Fleet) -> None:
    with TestClient(make_app(own_fleet), base_url="http://127.0.0.1/api", client=("127.0.0.1", 5000)) as api:
        body = {"name": "s", "block_type_id": type_id(api, "secret"), "data": {"value": SECRET}}
        refused = api.post("/block_documents/", json=body)
        assert (refused.status_code, "export ORCHESTRATOR_ENCRYPTION_KEY=" in refused.text) == (409, True)
        assert SECRET not in refused.text


def test_a_read_only_server_changes_nothing(keyed: Fleet) -> None:
    saved = JSON(value=1).save("j")
    app = make_app(keyed, read_only=True)
    with TestClient(app, base_url="http://127.0.0.1/api", client=("127.0.0.1", 5000)) as api:
        assert api.patch(f"/block_documents/{saved}", json={"data": {"value": 2}}).status_code == 403
        assert api.delete(f"/block_documents/{saved}").status_code == 403
        assert api.get(f"/block_documents/{saved}").status_code == 200
