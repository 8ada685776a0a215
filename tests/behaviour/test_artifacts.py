"""Artifacts of runs on workers: whole, with their last values, and encrypted if everything is."""

from __future__ import annotations

import json
import secrets
from uuid import UUID

import pytest

from orchestrator.artifacts.reading import picture_of_record, read_many, with_table
from orchestrator.artifacts.record import ArtifactRecord
from orchestrator.client.fleet import Fleet
from tests.support.apps import leaving

APP = "tests.support.apps.leaving"
SETTINGS = {"encryption_key": secrets.token_hex(32)}
pytestmark = [pytest.mark.behaviour, pytest.mark.engine, pytest.mark.usefixtures("worker")]


def read(fleet: Fleet, *ids: str) -> list[ArtifactRecord]:
    found = [one for one in read_many(fleet.broker, ids) if one is not None]
    assert [str(one.id) for one in found] == list(ids)
    return found


def test_with_the_end_of_a_run_everything_that_it_left_is_there(fleet: Fleet) -> None:
    future = leaving.leave_every_kind.delay("of-a-task")
    ids = future.result(timeout=60)
    markdown, table, link, image, progress = read(fleet, *ids.values())
    assert {one.task_run_id for one in (markdown, table, link, image, progress)} == {UUID(future.run_id)}
    assert (markdown.data, markdown.description, progress.data) == ("# in-the-clear", "in-the-clear", 100.0)
    assert json.loads(with_table(fleet.broker, table).data) == [{"name": "in-the-clear"}]
    assert picture_of_record(fleet.broker, image) == (b"GIF89a" + b"in-the-clear" * 10, "image/gif")
    assert link.link == ("https://example.com/in-the-clear", "")
    raw = repr(fleet.broker.artifacts.read(list(ids.values())))
    raw += repr([fleet.broker.artifacts.chunks(one, [0]) for one in ids.values()])
    assert "in-the-clear" not in raw


def test_runs_on_event_loops_and_flows_on_workers_leave_them_too(fleet: Fleet) -> None:
    future = leaving.leave_on_a_loop.delay("of-a-loop")
    (on_a_loop,) = read(fleet, future.result(timeout=60))
    assert on_a_loop.task_run_id == UUID(future.run_id)
    sent = leaving.leave_in_a_flow.delay("of-a-flow")
    of_flow, of_task = read(fleet, *sent.result(timeout=60))
    assert (of_flow.flow_run_id, of_flow.task_run_id) == (UUID(sent.run_id), None)
    assert of_task.flow_run_id == UUID(sent.run_id)
    assert of_task.task_run_id is not None
