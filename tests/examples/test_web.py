"""The web application with a real uvicorn, a real worker process, and httpx."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from brokers.private_server import stop_lasting
from tests.conftest import program_or_skip
from tests.support.servers import free_port
from tests.support.site import Site, events_of
from tests.support.waiting import wait_until
from tests.support.worker_process import ROOT, WorkerProcess, clean_environment

WEB = ROOT / "examples" / "web"
APP = ("app:app", "--app-dir", str(WEB))


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
        site = Site(environment, folder / "site", *APP)
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
    assert location == f"/tasks/{UUID(answer.json()['id'])}"
    return str(location)


def test_a_report_is_accepted_made_and_listed(site: httpx.Client) -> None:
    run = ordered(site.post("/reports", json={"customer": "ann", "pages": 3}))
    told = site.get(run, params={"wait": 30}).json()
    assert (told["name"], told["result"]) == ("Completed", "3 pages for ann")
    assert (told["progress"]["done"], told["progress"]["note"]) == (3, "page 3")
    listed = {row["id"]: row["name"] for row in site.get("/reports").json()}
    assert listed[told["id"]] == "Completed"


def test_a_mail_from_an_async_handler_by_an_async_task(site: httpx.Client) -> None:
    run = ordered(site.post("/mails", json={"to": "bob", "text": "hello"}))
    assert site.get(run, params={"wait": 30}).json()["result"] == "5 characters to bob"
    assert run.rpartition("/")[2] not in [row["id"] for row in site.get("/reports").json()]


def test_a_failed_run_tells_why(site: httpx.Client) -> None:
    run = ordered(site.post("/reports", json={"customer": "ann", "pages": 5000}))
    told = site.get(run, params={"wait": 30}).json()
    assert (told["state"], told["error"]["message"]) == ("FAILED", "5000 pages are too many")
    assert told["message"] == "ValueError: 5000 pages are too many"


def test_an_order_that_makes_no_sense(site: httpx.Client) -> None:
    assert site.post("/reports", json={"customer": "ann", "pages": 0}).status_code == 422


def test_its_progress_comes_live_and_it_is_cancelled(site: httpx.Client) -> None:
    run = ordered(site.post("/reports", json={"customer": "ann", "pages": 900, "seconds_per_page": 0.2}))
    names = []
    with site.stream("GET", f"{run}/events") as answer:
        for event in events_of(answer):
            names.append(event.name)
            if names.count("progress") == 2:
                assert site.post(f"{run}/cancel").status_code == 202
            if event.name == "end":
                assert event.data["state"] == "CANCELLED"
    assert (names[0], names[-1]) == ("snapshot", "end")


def test_the_page_takes_everything_from_its_own_site(site: httpx.Client) -> None:
    page = site.get("/")
    assert page.headers["content-security-policy"] == "default-src 'self'"
    assert "://" not in page.text
    for name in ("page.js", "page.css", "icon.svg"):
        assert f"/static/{name}" in page.text
        assert site.get(f"/static/{name}").is_success


def test_it_stops_although_somebody_watches(environment: dict[str, str], tmp_path: Path) -> None:
    site = Site({**environment, "ORCHESTRATOR_NAMESPACE": "without-workers"}, tmp_path / "site", *APP)
    try:
        run = ordered(httpx.post(f"{site.url}/reports", json={"customer": "ann", "pages": 1}, timeout=40))
        with httpx.stream("GET", f"{site.url}{run}/events", timeout=40) as answer:
            events = events_of(answer)
            assert next(events).name == "snapshot"
            site.process.terminate()
            assert list(events) == []
        wait_until(lambda: site.process.poll() is not None, 30, "it has stopped")
        assert "Application shutdown complete" in site.log.read_text()
    finally:
        site.close()


def test_without_a_server_the_answer_is_503(tmp_path: Path) -> None:
    url = f"redis://127.0.0.1:{free_port()}/0"
    site = Site(clean_environment(ORCHESTRATOR_REDIS_URL=url), tmp_path / "site", *APP)
    try:
        for path, body in {"/reports": {"customer": "ann", "pages": 1}, "/mails": {"to": "a", "text": "b"}}.items():
            answer = httpx.post(f"{site.url}{path}", json=body, timeout=40)
            assert answer.status_code == 503, answer.text
            assert int(answer.headers["Retry-After"]) > 0
        assert httpx.get(f"{site.url}/tasks/0198c1c3-0000-7000-8000-000000000000", timeout=40).status_code == 503
        assert httpx.get(f"{site.url}/reports", timeout=40).status_code == 503
    finally:
        site.close()
