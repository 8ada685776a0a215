"""``docs/web.md``: the applications on the page, by HTTP, with a real worker."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from orchestrator.client.fleet import Fleet
from tests.support.engines import environment_of
from tests.support.site import Site, events_of
from tests.support.worker_process import ROOT, WorkerProcess
from tests.web.pages import write_files

PAGE = (ROOT / "docs" / "web.md").read_text()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("page")
    assert write_files("web.md", made) == []
    return made


@pytest.fixture(scope="module")
def environment(fleet: Fleet, folder: Path) -> dict[str, str]:
    return {**environment_of(fleet.settings), "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}


@pytest.fixture(scope="module")
def its_worker(environment: dict[str, str], folder: Path) -> Iterator[WorkerProcess]:
    process = WorkerProcess(folder / "log", environment, "-A", "tasks.py", "-c", "1", "--threads", "2", cwd=folder)
    try:
        process.wait_ready(1)
        yield process
    finally:
        process.close()


@pytest.mark.usefixtures("its_worker")
def test_the_application_of_the_page(environment: dict[str, str], folder: Path) -> None:
    site = Site(environment, folder / "site", "app:app", "--app-dir", str(folder))
    try:
        with httpx.Client(base_url=site.url, timeout=60) as client:
            accepted = client.post("/reports", params={"customer": "ann"})
            assert accepted.status_code == 202
            run = accepted.headers["Location"]
            with client.stream("GET", f"{run}/events") as answer:
                names = [event.name for event in events_of(answer)]
            told = client.get(run, params={"wait": 20}).json()
            assert client.post(f"{run}/cancel").status_code == 200
            assert client.get("/tasks/0198c1c3-0000-7000-8000-000000000000").status_code == 404
    finally:
        site.close()
    assert (names[0], names[-1]) == ("snapshot", "end")
    assert "log" in names
    shown = re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert shown is not None
    example = json.loads(shown[1])
    assert list(told) == list(example)
    assert list(told["progress"]) == list(example["progress"])
    assert told["task"] == example["task"]
    assert told["result"].endswith("pages for ann")


OTHERS = """
from starlette.testclient import TestClient
import guarded, own_lifespan, plain
run = "/tasks/0198c1c3-0000-7000-8000-000000000000"
client = TestClient(guarded.app)
print(client.get(run).status_code, client.get(run, headers={"x-user": "ann"}).status_code)
with TestClient(own_lifespan.app) as client:
    print(client.app_state)
with TestClient(plain.app) as client:
    mine = client.post("/reports", params={"customer": "bob"}).headers["Location"]
    print(client.get(mine, params={"wait": 50}).json()["result"])
"""


@pytest.mark.usefixtures("its_worker")
def test_the_smaller_files_of_the_page(environment: dict[str, str], folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", OTHERS], cwd=folder, env=environment, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["403 404", "{'greeting': 'hello'}", "1 pages for bob"]
