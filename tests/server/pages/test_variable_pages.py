"""Variables as pages: read, and set, changed and deleted by forms; nothing is lost that somebody else has written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest
from starlette.testclient import TestClient

from orchestrator import variables
from orchestrator.client.fleet import Fleet
from orchestrator.server.pages.variables import text_of_value, value_of_text
from tests.server.pages.test_deployment_pages import open_app, send
from tests.server.pages.test_pages import hidden_fields, text_of


@pytest.fixture
def reader(own_fleet: Fleet) -> Iterator[TestClient]:
    with open_app(own_fleet) as client:
        yield client


def value_in(reader: TestClient, name: str) -> str:
    """What stands in the form of a variable, as a browser sends it."""
    found = re.search(
        r"<textarea[^>]*>\n(.*?)</textarea>", reader.get("/variables/edit", params={"name": name}).text, re.S
    )
    assert found
    return unescape(found[1]).replace("\n", "\r\n")


def test_a_variable_is_set_changed_and_deleted(reader: TestClient, own_fleet: Fleet) -> None:
    assert "No variable is set." in text_of(reader.get("/variables"))
    assert "is set." in text_of(send(reader, "/variables/set", name=" cities ", value='["<b>"]', tags="etl, <i>,,etl"))
    page = reader.get("/variables")
    assert '["<b>"]' in text_of(page)
    assert "<b>" not in page.text
    again = send(reader, "/variables/set", name="cities", value="1")
    assert (again.status_code, "Edit it in the list." in again.text) == (422, True)
    seen = hidden_fields(reader.get("/variables/edit", params={"name": "cities"}))["generation"][0]
    changed = send(reader, "/variables/change", name="cities", value="only Oslo", tags="", generation=seen)
    assert "The variable is changed" in text_of(changed)
    found = variables.read(own_fleet, "cities")
    assert found is not None
    assert (found.value, found.tags) == ("only Oslo", [])
    assert "cannot be made" in text_of(reader.get("/variables/delete", params={"name": "cities"}))
    assert "is deleted" in text_of(send(reader, "/variables/delete", name="cities"))
    for path in ("/variables/delete", "/variables/change", "/variables/nothing"):
        assert send(reader, path, name="cities").status_code == 404
    assert reader.get("/variables/edit?name=cities").status_code == 404


def test_what_is_wrong_is_said_and_what_was_typed_stays(reader: TestClient, own_fleet: Fleet) -> None:
    wrong = send(reader, "/variables/set", name="Two words", value="[1,", tags="a")
    assert wrong.status_code == 422
    assert "is no name for a variable" in wrong.text
    assert 'value="Two words"' in wrong.text
    assert "[1," in wrong.text
    variables.write(own_fleet, "long", 1)
    seen = hidden_fields(reader.get("/variables/edit", params={"name": "long"}))["generation"][0]
    wrong = send(reader, "/variables/change", name="long", value="x" * 5001, generation=seen)
    assert (wrong.status_code, "at most 5,000 characters" in wrong.text) == (422, True)


def test_what_somebody_else_wrote_meanwhile_is_told_before_it_is_replaced(reader: TestClient, own_fleet: Fleet) -> None:
    variables.write(own_fleet, "answer", 41)
    seen = hidden_fields(reader.get("/variables/edit", params={"name": "answer"}))["generation"][0]
    variables.write(own_fleet, "answer", 42, overwrite=True)
    wrong = send(reader, "/variables/change", name="answer", value="43", generation=seen)
    assert (wrong.status_code, "it is 42 now" in unescape(wrong.text)) == (422, True)
    assert variables.value_named(own_fleet, "answer") == 42
    seen = hidden_fields(wrong)["generation"][0]
    send(reader, "/variables/change", name="answer", value="43", generation=seen)
    assert variables.value_named(own_fleet, "answer") == 43


@pytest.mark.parametrize(
    "value",
    [
        3,
        "3",
        "",
        " ",
        "a\r\nb",
        "a\nb",
        '"',
        "null",
        None,
        True,
        "true",
        {"a": ["é", 1.5]},
        [],
        "\x00",
        "x, y",
        "<b>&amp;",
    ],
    ids=repr,
)
def test_a_value_that_is_saved_as_it_was_shown_is_the_same(reader: TestClient, own_fleet: Fleet, value: Any) -> None:
    assert value_of_text(text_of_value(value)) == value
    variables.write(own_fleet, "it", value)
    form = hidden_fields(reader.get("/variables/edit", params={"name": "it"}))
    text = value_in(reader, "it")
    send(reader, "/variables/change", name="it", value=text, generation=form["generation"][0])
    found = variables.read(own_fleet, "it")
    assert found is not None
    assert (found.value, found.generation) == (value, 2)


def test_a_damaged_one_is_told_and_can_be_replaced(reader: TestClient, own_fleet: Fleet) -> None:
    bad = variables.write(own_fleet, "bad", 1)
    own_fleet.broker.documents.write(variables.KIND, bad.id, {"d": b"?"})
    assert "It cannot be read here" in text_of(reader.get("/variables"))
    form = reader.get("/variables/edit", params={"name": "bad"})
    assert "What you save replaces it." in text_of(form)
    send(reader, "/variables/change", name="bad", value="2", generation=hidden_fields(form)["generation"][0])
    assert variables.value_named(own_fleet, "bad") == 2


def test_a_read_only_server_shows_them_and_changes_none(own_fleet: Fleet) -> None:
    variables.write(own_fleet, "answer", 42)
    with open_app(own_fleet, read_only=True) as reader:
        assert "42" in text_of(reader.get("/variables"))
        form = reader.get("/variables/edit", params={"name": "answer"})
        assert "Save" not in form.text
        token = hidden_fields(form)["csrf_token"][0]
        for what in ("set", "change", "delete"):
            sent = {"csrf_token": token, "name": "answer", "value": "1", "generation": "1"}
            assert reader.post(f"/variables/{what}", data=sent).status_code == 403
    assert variables.value_named(own_fleet, "answer") == 42
