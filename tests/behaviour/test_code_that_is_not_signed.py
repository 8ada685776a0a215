"""Where the fleet has a secret key, code of deployments is loaded only if whoever wrote it had the key as well."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from orchestrator.client.fleet import Fleet
from orchestrator.deployments.call import deployment_call
from orchestrator.deployments.editing import versions
from orchestrator.deployments.lookup import find_deployment
from orchestrator.deployments.pools import KIND as POOL
from orchestrator.deployments.running import run_deployment
from orchestrator.deployments.versions import CODE_KIND, code_id, snapshot_of, version_id
from orchestrator.deployments.versions import KIND as VERSION
from orchestrator.errors import UntrustedPayload
from orchestrator.flows import load_flow_from_entrypoint
from orchestrator.inspection import views_of
from orchestrator.serializers import NO_PROTECTION, disclose, protect
from orchestrator.slots import SlotsOptions
from orchestrator.slots.local_workers import LocalWorkers
from orchestrator.work_pools.editing import create_pool
from orchestrator.work_pools.lookup import find_pool
from tests.support.apps import deployed_flows
from tests.support.waiting import wait_until

pytestmark = pytest.mark.parametrize("row", ["embedded"], indirect=True)  # the fleet of the tests has a secret key
NAMES = ("replaced", "template")
SCRIPT = """
from orchestrator import flow


@flow
def report():
    return "{value}"
"""


@contextmanager
def serving(fleet: Fleet, *queues: str) -> Iterator[None]:
    workers = LocalWorkers(fleet, SlotsOptions(queues, 2))
    workers.start()
    try:
        yield
    finally:
        workers.stop(5)


@contextmanager
def without_a_key(fleet: Fleet) -> Iterator[None]:
    """What is written meanwhile is written by somebody who may write to the store, and has no key."""
    protect(NO_PROTECTION)
    try:
        yield
    finally:
        protect(fleet.protection)


def ended(fleet: Fleet, name: str, **more: Any) -> Any:
    record = find_deployment(fleet.broker, name)
    with serving(fleet, record.run_queue):
        return run_deployment(name, timeout=30, poll_interval=0.1, **more)


def what_to_do_is_said(run: Any, what: str) -> None:
    assert (run.state.name, run.state.type.value) == ("Crashed", "CRASHED"), run.state
    assert what in run.state.message
    assert "has no signature" in run.state.message
    assert "write it once more where ORCHESTRATOR_SECRET_KEY is set" in run.state.message


def test_a_deployment_written_without_the_key_is_crashed_with_the_reason_and_good_after_another_apply(
    fleet: Fleet,
) -> None:
    with without_a_key(fleet):
        deployed_flows.tracker.to_deployment("unsigned").apply()
    run = ended(fleet, "tracker/unsigned")
    what_to_do_is_said(run, "the deployment 'tracker/unsigned'")
    assert str(run.id) not in fleet.broker.dead_letters.newest()
    deployed_flows.tracker.to_deployment("unsigned").apply()
    run = ended(fleet, "tracker/unsigned")
    assert run.state.is_completed(), run.state
    deployed_flows.tracker.to_deployment("unsigned").apply()
    assert [one.number for one in versions(fleet, "tracker/unsigned")[1]] == [2, 1]


def test_a_version_needs_a_signature_of_its_own(fleet: Fleet) -> None:
    deployed_flows.tracker.to_deployment("replaced").apply()
    with without_a_key(fleet):
        deployed_flows.tracker.to_deployment("template").apply()
    ours, theirs = (version_id(find_deployment(fleet.broker, f"tracker/{name}").id, 1) for name in NAMES)
    signed, unsigned = fleet.broker.documents.read(VERSION, [ours, theirs])
    assert signed is not None
    assert unsigned is not None
    fleet.broker.documents.write(VERSION, ours, unsigned.fields)
    what_to_do_is_said(ended(fleet, "tracker/replaced"), "version 1 of the deployment")
    fleet.broker.documents.write(VERSION, ours, signed.fields)
    assert ended(fleet, "tracker/replaced").state.is_completed()


def test_kept_code_needs_one_and_a_redeploy_gives_it(fleet: Fleet, tmp_path: Path) -> None:
    file = tmp_path / "reports_whose_code_is_kept.py"

    def deploy(value: str) -> None:
        file.write_text(SCRIPT.format(value=value))
        sys.modules.pop("reports_whose_code_is_kept", None)
        load_flow_from_entrypoint(f"{file}:report").to_deployment("kept").apply()

    deploy("first")
    record, (version,) = versions(fleet, "report/kept")
    deploy("second")
    code = code_id(record.id, version.digest)
    (kept,) = fleet.broker.documents.read(CODE_KIND, [code])
    assert kept is not None
    bare = disclose(kept.fields["s"], lambda: (CODE_KIND, code))
    fleet.broker.documents.write(CODE_KIND, code, {"s": bare})
    reason = "the code that is kept of version 1 of 'report/kept'"
    with pytest.raises(UntrustedPayload, match=reason):  # no run is made that could not begin
        run_deployment("report/kept", version=1, timeout=0)
    deploy("first")
    deploy("second")
    assert snapshot_of(fleet.broker, record.id, version) == bare


def test_a_pool_that_puts_something_around_the_run_needs_one_as_well(fleet: Fleet) -> None:
    with without_a_key(fleet):
        create_pool(fleet, "unsigned-pool", "process")
    deployed_flows.tracker.to_deployment("pooled", work_pool_name="unsigned-pool").apply()
    what_to_do_is_said(ended(fleet, "tracker/pooled"), "the work pool 'unsigned-pool'")
    pool = find_pool(fleet.broker, "unsigned-pool")
    fleet.broker.documents.write(POOL, pool.id, pool.document())
    assert ended(fleet, "tracker/pooled").state.is_completed()


def test_what_cannot_be_read_is_crashed_and_no_dead_letter(fleet: Fleet) -> None:
    deployed_flows.tracker.to_deployment("damaged").apply()
    record = find_deployment(fleet.broker, "tracker/damaged")
    place = version_id(record.id, 1)
    (signed,) = fleet.broker.documents.read(VERSION, [place])
    assert signed is not None
    fleet.broker.documents.write(VERSION, place, {"d": signed.fields["d"][:-1] + bytes((signed.fields["d"][-1] ^ 1,))})
    run = ended(fleet, "tracker/damaged")
    assert run.state.name == "Crashed"
    assert "version 1 cannot be read: the signature of this body does not fit" in run.state.message
    assert str(run.id) not in fleet.broker.dead_letters.newest()


def test_a_worker_of_tasks_takes_no_runs_of_deployments_from_its_queues(fleet: Fleet) -> None:
    deployed_flows.tracker.to_deployment("moved").apply()
    record = find_deployment(fleet.broker, "tracker/moved")
    queue = f"tasks-{uuid4().hex[:8]}"
    call = deployment_call().with_options(queue=queue)
    sent = call.submit(deployment=record.id, parameters={}, facts={"version": 1})
    with serving(fleet, queue):
        wait_until(lambda: str(sent.run_id) in fleet.broker.dead_letters.newest(), 30)
    (view,) = views_of(fleet, [str(sent.run_id)])
    assert "such runs are taken only from queues of serving processes" in str(view.message)
