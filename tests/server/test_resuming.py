"""A paused flow run on its page, in the API and on the command line."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest

from orchestrator import flow, get_client, pause_flow_run
from orchestrator.client.api_errors import ApiError
from orchestrator.client.fleet import Fleet
from orchestrator.exceptions import ObjectNotFound
from orchestrator.input import RunInput
from orchestrator.runtime import flow_run
from orchestrator.server import make_app
from orchestrator.settings import current, use
from orchestrator.states import State
from tests.server.conftest import Site
from tests.support.engines import ROOT, environment_of
from tests.support.waiting import wait_until


class Approval(RunInput):
    approved: bool
    note: str = ""


class Asking:
    """A flow that waits in a thread."""

    def __init__(self) -> None:
        self.run_id = ""
        self.ends: list[State[Approval]] = []
        self._thread = threading.Thread(target=lambda: self.ends.append(self._flow()(return_state=True)))
        self._thread.start()
        wait_until(lambda: bool(self.run_id), 20)

    def _flow(self) -> object:
        @flow(name="asks")
        def asks() -> Approval:
            self.run_id = flow_run.id or ""
            wanted = Approval.with_initial_data(note="well", description="<b>Go on?</b>")
            given: Approval = pause_flow_run(wait_for_input=wanted, timeout=60)
            return given

        return asks

    def end(self) -> Approval:
        self._thread.join(30)
        return self.ends[0].result()


@pytest.fixture
def site(own_fleet: Fleet) -> Iterator[Site]:
    served = Site(make_app(own_fleet))
    yield served
    served.close()


@pytest.fixture
def asking(own_fleet: Fleet, site: Site) -> Asking:
    found = Asking()
    wait_until(lambda: own_fleet.broker.flow_runs.read(found.run_id).get("type") == b"PAUSED", 20)
    return found


@pytest.fixture
def client(site: Site) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=site.url, timeout=30) as client:
        yield client


def test_over_http_an_input_that_does_not_fit_leaves_it_paused(asking: Asking, client: httpx.Client) -> None:
    address = f"/api/flow_runs/{asking.run_id}"
    refused = client.post(f"{address}/resume", json={"run_input": {"approved": "perhaps"}})
    assert refused.status_code == 409
    assert "approved" in refused.json()["detail"]
    assert client.get(address).json()["state_type"] == "PAUSED"
    accepted = client.post(f"{address}/resume", json={"run_input": {"approved": True, "note": "fine"}})
    assert (accepted.status_code, accepted.json()["status"]) == (200, "ACCEPT")
    assert asking.end().model_dump() == {"approved": True, "note": "fine"}
    again = client.post(f"{address}/resume", json={"run_input": {"approved": True}})
    assert again.status_code == 409
    assert "not paused" in again.json()["detail"]


@pytest.mark.parametrize("over_http", [False, True], ids=["store", "http"])
def test_by_the_client(over_http: bool, asking: Asking, site: Site) -> None:
    place = {"api_url": f"{site.url}/api"} if over_http else {}
    with use(current().model_copy(update=place)), get_client(sync_client=True) as client:
        with pytest.raises(ApiError, match="approved"):
            client.resume_flow_run(asking.run_id, run_input={"approved": "perhaps"})
        assert client.read_flow_run(asking.run_id).state_name == "Paused"
        assert client.resume_flow_run(asking.run_id, run_input={"approved": True}).status == "ACCEPT"
        assert asking.end().model_dump() == {"approved": True, "note": "well"}
        with pytest.raises(ApiError, match="not paused"):
            client.resume_flow_run(asking.run_id)
        with pytest.raises(ObjectNotFound, match="not found"):
            client.resume_flow_run(uuid4())


def test_by_the_client_that_is_awaited(asking: Asking) -> None:
    async def resume() -> None:
        async with get_client() as client:
            await client.resume_flow_run(asking.run_id, {"approved": True})

    asyncio.run(resume())
    assert asking.end().approved


def test_its_page_has_a_form_that_says_what_is_wrong(asking: Asking, client: httpx.Client) -> None:
    page = client.get(f"/flows/{asking.run_id}")
    assert f"/flows/{asking.run_id}/resume" in page.text
    form = client.get(f"/flows/{asking.run_id}/resume")
    assert "&lt;b&gt;Go on?&lt;/b&gt;" in form.text
    assert 'value="well"' in form.text
    token = form.text.split('name="csrf_token" value="', 1)[1].split('"', 1)[0]
    sent = {"csrf_token": token, "p.approved": "", "p.note": "ok"}
    origin = {"Origin": str(client.base_url).rstrip("/")}
    refused = client.post(f"/flows/{asking.run_id}/resume", data=sent, headers=origin)
    assert refused.status_code == 422
    assert "A value is needed." in refused.text
    done = client.post(f"/flows/{asking.run_id}/resume", data=sent | {"p.approved": "true"}, headers=origin)
    assert done.status_code == 303
    assert asking.end().model_dump() == {"approved": True, "note": "ok"}
    assert client.get(f"/flows/{asking.run_id}/resume").status_code == 404


def test_on_the_command_line(asking: Asking, own_fleet: Fleet) -> None:
    def resume(given: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "orchestrator", "flow-run", "resume", asking.run_id, "--input", given]
        environment = environment_of(own_fleet.settings)
        return subprocess.run(line, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    wrong = resume("approved")
    assert (wrong.returncode, "no JSON" in wrong.stderr) == (2, True)
    misfit = resume("{}")
    assert (misfit.returncode, "'approved' is missing" in misfit.stderr) == (1, True)
    done = resume(json.dumps({"approved": False}))
    assert (done.returncode, "goes on" in done.stdout) == (0, True), done.stderr
    assert asking.end().approved is False
