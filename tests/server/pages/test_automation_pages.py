"""Automations as pages: the list with its switches, one with its firings and what came of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from orchestrator.automations.automation import Automation
from orchestrator.client.fleet import Fleet
from orchestrator.events.actions import CancelFlowRun, DoNothing
from orchestrator.events.schemas.automations import EventTrigger
from tests.server.pages.test_deployment_pages import open_app, send
from tests.server.pages.test_pages import text_of


@pytest.fixture
def reader(own_fleet: Fleet) -> Iterator[TestClient]:
    with open_app(own_fleet) as client:
        yield client


def make(name: str) -> Automation:
    trigger = EventTrigger(expect={"prefect.flow-run.Failed"}, threshold=3)
    return Automation(name=name, trigger=trigger, actions=[CancelFlowRun(), DoNothing()]).create()


def test_the_list_shows_what_each_does_and_switches_it(reader: TestClient) -> None:
    assert "There is no automation yet." in text_of(reader.get("/automations"))
    made = make("<b>alerts</b>")
    page = reader.get("/automations")
    assert "<b>alerts" not in page.text
    for words in ("3 times prefect.flow-run.Failed", "Cancel flow run", "Enabled"):
        assert words in text_of(page)
    after = send(reader, f"/automations/{made.id}/disable", back="/automations")
    assert "The automation is disabled." in text_of(after)
    assert Automation.read(name="<b>alerts</b>").enabled is False
    assert "The automation is enabled." in text_of(send(reader, f"/automations/{made.id}/enable"))


def test_one_is_fired_by_hand_and_its_page_shows_what_came_of_it(reader: TestClient, own_fleet: Fleet) -> None:
    made = make("alerts")
    path = f"/automations/{made.id}"
    assert "It has not fired yet." in text_of(reader.get(path))
    page = send(reader, f"{path}/test")
    assert "It has fired: 2 actions are done now." in text_of(page)
    for words in ("prefect.flow-run.Failed", "cancel-flow-run", "do-nothing", "1 are kept"):
        assert words in text_of(page)
    assert "Nothing is done for it any more" in text_of(reader.get(f"{path}/delete"))
    assert "The automation is deleted." in text_of(send(reader, f"{path}/delete"))
    assert reader.get(path).status_code == 404


def test_a_damaged_one_is_shown_with_its_trouble(reader: TestClient, own_fleet: Fleet) -> None:
    made = make("alerts")
    own_fleet.broker.documents.write("automation", str(made.id), {"d": b"nonsense"})
    for page in ("/automations", f"/automations/{made.id}"):
        assert "It cannot be read here" in text_of(reader.get(page))
    assert send(reader, f"/automations/{made.id}/test").status_code == 400


def test_a_page_of_none_is_missing(reader: TestClient) -> None:
    for path in ("/automations/nonsense", "/automations/nonsense/delete"):
        assert reader.get(path).status_code == 404
    make("alerts")
    assert reader.get("/automations/alerts").status_code == 404  # ids, not names
