"""The page of examples/web in a browser: ordered, followed live, cancelled, found again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.client.fleet import Fleet
from tests.support.engines import environment_of
from tests.support.site import Site
from tests.support.worker_process import ROOT, WorkerProcess

WEB = ROOT / "examples" / "web"
MILLISECONDS = 40_000

api = pytest.importorskip("playwright.sync_api")


@pytest.fixture(scope="module")
def site(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the site, while a worker is there."""
    folder = tmp_path_factory.mktemp("example")
    environment = environment_of(fleet.settings)
    worker = WorkerProcess(folder / "worker", environment, "-A", str(WEB / "tasks.py"), "-c", "1", "--threads", "2")
    site = None
    try:
        site = Site(environment, folder / "site", "app:app", "--app-dir", str(WEB))
        worker.wait_ready(1)
        yield site.url
    finally:
        if site is not None:
            site.close()
        worker.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's Chromium, without a window."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium on this machine (Debian: apt-get install chromium)")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any, site: str) -> Iterator[Any]:
    """A fresh page of the site; afterwards: nothing went wrong in it, and it asked nobody else."""
    context = browser.new_context(base_url=site)
    context.set_default_timeout(MILLISECONDS)
    page = context.new_page()
    troubles: list[str] = []
    strangers: list[str] = []
    page.on("console", lambda message: troubles.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda request: strangers.append(request.url) if not request.url.startswith(site) else None)
    page.goto("/")
    yield page
    context.close()
    assert troubles == []
    assert strangers == []


def order(page: Any, pages: int, seconds_per_page: float) -> Any:
    """Fill the form in and send it; the new job's row."""
    page.get_by_label("Customer").fill("ann")
    page.get_by_label("Pages").fill(str(pages))
    page.get_by_label("Seconds per page").fill(str(seconds_per_page))
    # By its id, not by its place: the list of earlier jobs may come after it.
    with page.expect_response(lambda response: response.request.method == "POST") as answer:
        page.get_by_role("button", name="Order").click()
    return page.locator(f"#job-{answer.value.json()['id']}")


def has(page: Any, row: Any, state: str, note: str = "") -> None:
    """Wait until the row shows a state, and a note."""
    api.expect(row.locator(".state")).to_have_text(state, timeout=MILLISECONDS)
    api.expect(row.locator(".note")).to_contain_text(note, timeout=MILLISECONDS)


def test_a_report_is_ordered_and_followed_until_it_is_ready(page: Any) -> None:
    row = order(page, 12, 0.2)
    values = set()
    while row.locator(".state").inner_text() != "Completed":
        values.add(row.locator("progress").evaluate("bar => bar.position"))
        page.wait_for_timeout(50)
    has(page, row, "Completed", "12 pages for ann")
    assert [value for value in values if 0 < value < 1], "its progress was seen on the way"


def test_a_report_that_takes_long_is_cancelled(page: Any) -> None:
    row = order(page, 1000, 0.5)
    has(page, row, "Running", "page")
    row.get_by_role("button", name="Cancel").click()
    has(page, row, "Cancelled")
    assert row.locator("button").is_hidden()


def test_a_report_that_fails_says_why_and_is_there_after_a_reload(page: Any) -> None:
    row = order(page, 1500, 0)
    has(page, row, "Failed", "1500 pages are too many")
    identity = row.get_attribute("id")
    page.reload()
    has(page, page.locator(f"#{identity}"), "Failed", "1500 pages are too many")


def test_a_job_that_was_ordered_before_the_list_came_is_shown_once(page: Any) -> None:
    has(page, order(page, 1, 0), "Completed")
    held: list[Any] = []
    page.route("**/reports", lambda route: held.append(route) if route.request.method == "GET" else route.continue_())
    page.reload()
    row = order(page, 1, 0)
    has(page, row, "Completed")
    for route in held:
        route.continue_()
    earlier = page.locator("#jobs li").nth(1)
    api.expect(earlier).to_be_visible(timeout=MILLISECONDS)
    assert row.count() == 1


def test_more_jobs_than_a_browser_opens_connections_for(page: Any) -> None:
    rows = [order(page, 3, 0.1) for _ in range(8)]
    for row in rows:
        has(page, row, "Completed", "3 pages for ann")
