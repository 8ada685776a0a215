"""Variables, artifacts, blocks, automations and events by the client, on the store and over HTTP."""

from __future__ import annotations

from uuid import uuid4

import pytest

from orchestrator.blocks.system import JSON
from orchestrator.client.api_errors import ApiError
from orchestrator.client.orchestration import SyncOrchestrationClient
from orchestrator.client.schemas import filters
from orchestrator.client.schemas.actions import ArtifactCreate, ArtifactUpdate, VariableCreate, VariableUpdate
from orchestrator.events import emit_event
from orchestrator.exceptions import ObjectAlreadyExists, ObjectNotFound
from tests.server.test_client import client, where

__all__ = ["client", "where"]


def test_variables(client: SyncOrchestrationClient) -> None:
    made = client.create_variable(VariableCreate(name="city", value={"name": "Oslo"}, tags=["a"]))
    assert client.read_variable_by_name("city") == made
    with pytest.raises(ObjectAlreadyExists):
        client.create_variable({"name": "city", "value": 1})
    client.update_variable(VariableUpdate(name="city", value=[1, 2]))
    assert [(one.name, one.value, one.tags) for one in client.read_variables(limit=5)] == [("city", [1, 2], ["a"])]
    client.delete_variable_by_name("city")
    assert client.read_variable_by_name("city") is None
    with pytest.raises(ObjectNotFound, match="'city'"):
        client.delete_variable_by_name("city")


def test_inputs_of_flow_runs(client: SyncOrchestrationClient) -> None:
    run = client.create_flow_run(type("Named", (), {"name": "asks"}))
    client.create_flow_run_input(run.id, "ask a/b?", '{"x": [1, "ü"]}', sender="me")
    client.create_flow_run_input(run.id, "ask 2", "null")
    assert client.read_flow_run_input(run.id, "ask 2") == "null"
    (found,) = client.filter_flow_run_input(run.id, "ask", exclude_keys={"ask 2"})
    assert (found.key, found.sender, found.flow_run_id) == ("ask a/b?", "me", run.id)
    assert found.decoded_value == {"x": [1, "ü"]}
    assert [one.key for one in client.filter_flow_run_input(run.id, "ask", limit=9)] == ["ask a/b?", "ask 2"]
    with pytest.raises(ObjectAlreadyExists):
        client.create_flow_run_input(run.id, "ask 2", "1")
    for no_json in ("{", "NaN"):
        with pytest.raises(ApiError, match="no JSON"):
            client.create_flow_run_input(run.id, "other", no_json)
    client.delete_flow_run_input(run.id, "ask 2")
    for do in (client.read_flow_run_input, client.delete_flow_run_input):
        with pytest.raises(ObjectNotFound, match="no input 'ask 2'"):
            do(run.id, "ask 2")
    with pytest.raises(ObjectNotFound, match="not found"):
        client.create_flow_run_input(uuid4(), "a", "1")


def test_artifacts(client: SyncOrchestrationClient) -> None:
    first, second = (
        client.create_artifact(ArtifactCreate(key="report", type="markdown", data=text)) for text in ("# one", "# two")
    )
    client.create_artifact(ArtifactCreate(type="markdown", data="no key"))
    keyed = filters.ArtifactFilter(key=filters.ArtifactFilterKey(exists_=True))
    assert {one.id for one in client.read_artifacts(artifact_filter=keyed, limit=5)} == {first.id, second.id}
    (newest,) = client.read_latest_artifacts()
    assert (newest.latest_id, newest.key, newest.data) == (second.id, "report", "# two")
    client.update_artifact(second.id, ArtifactUpdate(description="the second"))
    (described,) = client.read_latest_artifacts()
    assert described.description == "the second"
    client.delete_artifact(second.id)
    with pytest.raises(ObjectNotFound):
        client.delete_artifact(second.id)


def test_blocks(client: SyncOrchestrationClient) -> None:
    JSON(value={"a": 1}).save("numbers")
    (found,) = client.read_block_documents_by_type("json")
    assert (found.name, found.data) == ("numbers", {"value": {"a": 1}})
    assert client.read_block_document_by_name("numbers", "json") == client.read_block_document(found.id)
    type_ = client.read_block_type_by_slug("json")
    assert type_.id in {each.id for each in client.read_block_types(limit=200)}
    (schema,) = [each for each in client.read_block_schemas(limit=200) if each.id == found.block_schema_id]
    assert client.read_block_schema_by_checksum(schema.checksum).block_type_id == type_.id
    client.update_block_document(found.id, {"data": {"value": {"a": 2}}})
    assert client.read_block_documents("json")[0].data == {"value": {"a": 2}}
    client.delete_block_document(found.id)
    with pytest.raises(ObjectNotFound, match="'json/numbers'"):
        client.read_block_document_by_name("numbers", "json")


def test_automations(client: SyncOrchestrationClient) -> None:
    wanted = {
        "name": "tells of failures",
        "trigger": {"type": "event", "expect": ["prefect.flow-run.Failed"], "posture": "Reactive"},
        "actions": [{"type": "do-nothing"}],
    }
    made = client.create_automation(wanted)
    client.pause_automation(made)
    found = client.find_automation("tells of failures")
    assert found is not None
    assert (found.id, found.enabled) == (made, False)
    client.resume_automation(made)
    client.update_automation(made, {**wanted, "name": "other name"})
    assert [(one.name, one.enabled) for one in client.read_automations()] == [("other name", True)]
    client.delete_automation(made)
    assert client.read_automation(made) is None
    assert client.find_automation("other name") is None


def test_events_in_pages(client: SyncOrchestrationClient) -> None:
    names = [f"shop.{number}" for number in range(3)]
    for name in names:
        emit_event(name, {"prefect.resource.id": f"shop.{uuid4()}"})
    page = client.read_events(limit=2)
    found = [event.event for event in page.events]
    assert page.next_page is not None
    found += [event.event for event in client.read_events_page(page.next_page).events]
    assert found == names[::-1]
