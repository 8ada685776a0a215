"""The web application with a real uvicorn, a real worker process, and httpx."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from brokers.embedded import stop_lasting
from tests.conftest import program_or_skip
from tests.support.servers import free_port
from tests.support.waiting import wait_until
from tests.support.worker_process import ROOT, WorkerProcess, clean_environment

WEB = ROOT / "examples" / "web"


class Site:
    """A uvicorn process.

    Args:
        environment: of the process.
        log: file for its output.
    """

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        self.log = log
        command = [sys.executable, "-m", "uvicorn", "app:app", "--app-dir", str(WEB), "--port", str(port)]
        with log.open("wb") as output:
            self.process = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=output, stderr=output)
        wait_until(self._answers, 30, f"{command}")

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return httpx.get(f"{self.url}/openapi.json").is_success
        except httpx.TransportError:
            return False

    def close(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    program_or_skip("embedded")
    home = Path(tempfile.mkdtemp(prefix="orc-"))
    yield clean_environment(ORCHESTRATOR_HOME=str(home))
    stop_lasting(home)
    shutil.rmtree(home)


@pytest.fixture(scope="module")
def site(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of the site, while a worker is there."""
    folder = tmp_path_factory.mktemp("web")
    worker = WorkerProcess(folder / "worker", environment, "-A", str(WEB / "tasks.py"), "-c", "1")
    site = None
    try:
        site = Site(environment, folder / "site")
        worker.wait_ready(1)
        with httpx.Client(base_url=site.url, timeout=40) as client:
            yield client
    finally:
        if site is not None:
            site.close()
        worker.close()


def ordered(answer: httpx.Response) -> str:
    """The address of a run that was just accepted."""
    assert answer.status_code == 202, answer.text
    location = answer.headers["Location"]
    assert location == f"/runs/{UUID(answer.json()['id'])}"
    return str(location)


def test_a_report_is_accepted_made_and_fetched(site: httpx.Client) -> None:
    run = ordered(site.post("/reports", json={"customer": "ann", "pages": 3}))
    assert site.get(run, params={"wait": 30}).json()["state"] == "Completed"
    assert site.get(f"{run}/result").json() == {"result": "3 pages for ann"}


def test_a_mail_from_an_async_handler_by_an_async_task(site: httpx.Client) -> None:
    run = ordered(site.post("/mails", json={"to": "bob", "text": "hello"}))
    answer = site.get(f"{run}/result", params={"wait": 30})
    assert (answer.status_code, answer.json()) == (200, {"result": "5 characters to bob"})


def test_a_failed_run_tells_why(site: httpx.Client) -> None:
    run = ordered(site.post("/reports", json={"customer": "ann", "pages": 5000}))
    answer = site.get(f"{run}/result", params={"wait": 30})
    assert (answer.status_code, answer.json()) == (409, {"state": "Failed", "error": "5000 pages are too many"})
    assert site.get(run).json()["message"] == "ValueError: 5000 pages are too many"


def test_a_run_that_nobody_knows(site: httpx.Client) -> None:
    assert site.get("/runs/0198c1c3-0000-7000-8000-000000000000").status_code == 404
    assert site.get("/runs/not-an-id").status_code == 422


def test_who_waits_does_not_keep_the_others_waiting(site: httpx.Client) -> None:
    """Forty wait for one report; the site goes on answering while they do, and all get theirs when it is done."""
    run = ordered(site.post("/reports", json={"customer": "ann", "pages": 10, "seconds_per_page": 0.2}))
    states: list[str] = []

    def wait() -> None:
        states.append(httpx.get(f"{site.base_url}{run}", params={"wait": 30}, timeout=40).json()["state"])

    waiting = [threading.Thread(target=wait) for _ in range(40)]
    for thread in waiting:
        thread.start()
    while not states:
        assert site.get(f"{run}/result").status_code in (200, 202)  # answered, whether it is done or not
    for thread in waiting:
        thread.join()
    assert states == ["Completed"] * 40


def test_a_wait_that_is_too_short_says_so(environment: dict[str, str], tmp_path: Path) -> None:
    site = Site({**environment, "ORCHESTRATOR_NAMESPACE": "without-workers"}, tmp_path / "site")
    try:
        run = ordered(httpx.post(f"{site.url}/reports", json={"customer": "ann", "pages": 1}, timeout=40))
        answer = httpx.get(f"{site.url}{run}/result", params={"wait": 0.05}, timeout=40)
        assert (answer.status_code, answer.json()) == (202, {"state": "Pending"})
    finally:
        site.close()


def test_without_a_server_the_answer_is_503(tmp_path: Path) -> None:
    url = f"redis://127.0.0.1:{free_port()}/0"
    site = Site(clean_environment(ORCHESTRATOR_REDIS_URL=url), tmp_path / "site")
    try:
        for path, body in {"/reports": {"customer": "ann", "pages": 1}, "/mails": {"to": "a", "text": "b"}}.items():
            answer = httpx.post(f"{site.url}{path}", json=body, timeout=40)
            assert answer.status_code == 503, answer.text
            assert int(answer.headers["Retry-After"]) > 0
        assert httpx.get(f"{site.url}/runs/0198c1c3-0000-7000-8000-000000000000", timeout=40).status_code == 503
    finally:
        site.close()
