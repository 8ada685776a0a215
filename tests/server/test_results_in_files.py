"""Pages, API and commands show where a result is, and never read it from there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from orchestrator import flow
from orchestrator.client.fleet import Fleet
from orchestrator.contrib.starlette.status import read_snapshots, status_of
from orchestrator.futures import PrefectFuture
from tests.server.conftest import Site
from tests.support.apps import basics as app
from tests.support.command_line import command_on
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture
def api(site: Site) -> Iterator[httpx.Client]:
    with site.client() as client:
        yield client


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A storage that is gone when it is looked at."""
    return tmp_path / "results"


@pytest.fixture
def future(folder: Path) -> PrefectFuture[Any]:
    """A run that has ended, with its result in a file."""
    future = app.echo.with_options(result_storage=folder).submit("the value")
    future.wait(60)
    shutil.rmtree(folder)
    return future


def test_of_a_task_run(fleet: Fleet, api: httpx.Client, future: PrefectFuture[Any], folder: Path) -> None:
    told = api.get(f"/api/task_runs/{future.run_id}").json()["result"]
    assert told.startswith(f"<result stored at {folder}/{future.run_id}")
    page = api.get(f"/runs/{future.run_id}").text
    assert f"result stored at {folder}/{future.run_id}" in page
    command = command_on(fleet)
    assert f"stored_at = {folder}/{future.run_id}" in command("runs", "show", future.run_id).stdout
    facts = json.loads(command("runs", "show", future.run_id, "--json").stdout)["result"]
    assert (facts["serializer"], facts["run_id"]) == ("msgpack", future.run_id)
    snapshot = read_snapshots(fleet, [future.run_id])[future.run_id]
    assert status_of(snapshot).result == facts, "a web page of the user's"


def test_of_a_flow_run_in_its_callers_process(fleet: Fleet, api: httpx.Client, folder: Path) -> None:
    @flow(result_storage=folder)
    def daily(day: str) -> str:
        return app.echo.submit(f"of {day}").result()

    run_id = str(daily("monday", return_state=True).flow_run_id)
    wait_until(lambda: "stored at" in api.get(f"/flows/{run_id}").text, 30, "the page shows it")
    told = api.get(f"/api/flow_runs/{run_id}").json()["result"]
    assert told.startswith(f"<result stored at {folder}/{run_id}")
    shown = json.loads(command_on(fleet)("runs", "show", run_id, "--json").stdout)
    assert shown["parameters"] == {"day": "'monday'"}
    assert shown["result"] == told
