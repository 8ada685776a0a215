"""The client's methods for work pools, on the store and over HTTP."""

from __future__ import annotations

import pytest

from orchestrator.client.orchestration import SyncOrchestrationClient
from orchestrator.client.schemas import filters
from orchestrator.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from orchestrator.exceptions import ObjectAlreadyExists, ObjectNotFound
from tests.server.test_client import client, where

__all__ = ["client", "where"]  # fixtures


def test_work_pools_and_queues_are_made_changed_and_forgotten(client: SyncOrchestrationClient) -> None:
    made = client.create_work_pool(WorkPoolCreate(name="mine", description="all", concurrency_limit=2))
    assert (made.type, made.status, made.concurrency_limit, made.is_paused) == ("process", "NOT_READY", 2, False)
    assert client.read_work_pool("mine") == made
    with pytest.raises(ObjectAlreadyExists):
        client.create_work_pool(WorkPoolCreate(name="mine"))
    again = client.create_work_pool({"name": "mine", "description": None, "concurrency_limit": None}, overwrite=True)
    assert (again.id, again.description, again.concurrency_limit) == (made.id, None, None)
    client.update_work_pool("mine", WorkPoolUpdate(is_paused=True))
    assert client.read_work_pool("mine").status == "PAUSED"
    named = filters.WorkPoolFilter(name=filters.WorkPoolFilterName(any_=["mine"]))
    assert [pool.id for pool in client.read_work_pools(work_pool_filter=named)] == [made.id]
    assert client.count_work_pools() == 1
    queue = client.create_work_queue("urgent", priority=1, concurrency_limit=3, work_pool_name="mine")
    assert [one.name for one in client.read_work_queues("mine")] == ["default", "urgent"]
    assert client.read_work_queue(queue.id) == client.read_work_queue_by_name("urgent", "mine") == queue
    client.update_work_queue(queue.id, is_paused=True, concurrency_limit=None)
    changed = client.read_work_queue(queue.id)
    assert (changed.is_paused, changed.concurrency_limit, changed.priority) == (True, None, 1)
    for wrong, error in (({}, ValueError), ({"name": "other"}, TypeError)):
        with pytest.raises(error):
            client.update_work_queue(queue.id, **wrong)
    assert client.read_workers_for_work_pool("mine") == []
    assert client.get_scheduled_flow_runs_for_work_pool("mine", ["urgent"]) == []
    client.delete_work_queue_by_id(queue.id)
    client.delete_work_pool("mine")
    for gone in (lambda: client.read_work_pool("mine"), lambda: client.read_work_queue(queue.id)):
        with pytest.raises(ObjectNotFound):
            gone()
