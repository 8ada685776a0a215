"""A real fleet for the pages: a server, a worker of the shop, and the app behind a real HTTP server on a free port."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from orchestrator import settings as all_settings
from orchestrator.client import fleet as fleets
from orchestrator.client.fleet import Fleet
from orchestrator.server import make_app
from orchestrator.settings import Settings
from tests.conftest import program_or_skip
from tests.support.servers import ServerProcess
from tests.support.site import served
from tests.support.waiting import wait_until
from tests.support.worker_process import QUICK, WorkerProcess, clean_environment

HERE = Path(__file__).parent


def the_shop() -> ModuleType:
    """The tasks, under the name that a shop of one file gives them."""
    if "shop" not in sys.modules:
        spec = importlib.util.spec_from_file_location("shop", HERE / "shop.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules["shop"] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules["shop"]


class Site:
    """The app of a fleet, served on a free port of this machine until it is closed."""

    def __init__(self, fleet: Fleet, **options: Any) -> None:
        self.app = make_app(fleet, **options)
        self._stack = ExitStack()
        self.url = self._stack.enter_context(served(self.app))

    def client(self) -> httpx.Client:
        """Somebody who reads pages and keeps cookies."""
        return httpx.Client(base_url=self.url, timeout=30)

    def wait_known(self, count: int) -> None:
        """Until the index has so many runs."""
        queries = self.app.state.queries
        wait_until(lambda: sum(queries.index.state_counts().values()) >= count, 60, f"{count} runs in the index")

    def close(self) -> None:
        """End it."""
        self._stack.close()


@dataclass
class Shop:
    """The fleet of the shop, and what has been done in it."""

    fleet: Fleet
    tasks: ModuleType
    folder: Path
    worker: WorkerProcess
    site: Site
    runs: dict[str, str] = field(default_factory=dict)  # what a run is good for -> its id
    more_sites: list[Site] = field(default_factory=list)

    def another_site(self, **options: Any) -> Site:
        """The same fleet, shown by an app with other options."""
        self.more_sites.append(Site(self.fleet, **options))
        return self.more_sites[-1]

    def wait_state(self, run_id: str, type_: str) -> None:
        """Until a run stands so."""
        wait_until(lambda: self.fleet.latest_state(run_id).type == type_, 30, f"{run_id} is {type_}")


def open_shop(
    folder: Path, *server_options: str, namespace: str = "shop", source: Path = HERE / "shop.py"
) -> Iterator[Shop]:
    """Start everything, and end it afterwards; ``source`` is the file of tasks that the worker is given."""
    server = ServerProcess(program_or_skip("embedded"), *server_options).start()
    settings = Settings(redis_url=server.url, namespace=namespace, lease_seconds=4, beat_seconds=0.5)
    environment = clean_environment(
        **{**QUICK, "ORCHESTRATOR_LEASE_SECONDS": "4"},
        ORCHESTRATOR_REDIS_URL=server.url,
        ORCHESTRATOR_NAMESPACE=namespace,
    )
    worker = WorkerProcess(folder / "worker.log", environment, "-A", str(source), "-c", "2", "--threads", "4")
    with all_settings.use(settings):
        fleet = Fleet(settings)
        before = fleets.use_fleet(fleet)
        site = Site(fleet)
        shop = Shop(fleet, the_shop(), folder, worker, site)
        try:
            worker.wait_ready(2)
            yield shop
        finally:
            for each in (site, *shop.more_sites):
                each.close()
            fleets.use_fleet(before)
            fleet.close()
            worker.close()
            server.close()
            print(worker.output[-6000:])


def fill(shop: Shop, count: int) -> None:
    """Give the shop a day's work: so many runs, among them every kind that a page shows."""
    tasks, runs = shop.tasks, shop.runs
    lost = tasks.crash_the_worker.delay()
    runs["dead"] = str(lost.task_run_id)
    shop.wait_state(runs["dead"], "CRASHED")
    broken = tasks.mend.submit(str(shop.folder))
    retrying = tasks.ask_the_bank.submit("savings")
    later = tasks.charge_card.apply_async(args=(1,), countdown=7200)
    runs["flow"] = str(tasks.nightly(60, return_state=True).flow_run_id)
    every_night = {"cron": "0 3 * * *", "timezone": "Europe/Oslo"}
    deployed = tasks.nightly.to_deployment("every-night", parameters={"count": 20}, tags=["nightly"], **every_night)
    runs["deployment"] = str(deployed.apply(_sync=True))  # the browser's loop may run in this thread
    third = max(10, count // 3)
    work = [
        *tasks.charge_card.map(range(third), api_token="tok-of-the-shop"),
        *tasks.send_receipt.map(range(third)),
        *tasks.render_invoice.map(range(max(10, count - 2 * third))),
    ]
    for future in work:
        future.wait()
    runs.update(
        broken=str(broken.task_run_id),
        retrying=str(retrying.task_run_id),
        later=str(later.task_run_id),
        paid=str(work[0].task_run_id),
        receipt=str(work[third].task_run_id),
        refused=str(work[third + 7].task_run_id),
        refused_later=str(work[third + 47].task_run_id),
    )
    shop.wait_state(runs["broken"], "FAILED")
    wait_until(lambda: shop.fleet.latest_state(runs["retrying"]).name == "AwaitingRetry", 30, "a retry to come")
    runs["running"] = str(tasks.import_catalogue.submit(str(shop.folder)).task_run_id)
    shop.wait_state(runs["running"], "RUNNING")
    shop.site.wait_known(len(work) + 60)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The browser; without it the tests that need it are left out, and say so."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium on this machine (Debian: apt-get install chromium)")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A shop with a few hundred runs."""
    for opened in open_shop(tmp_path_factory.mktemp("shop")):
        fill(opened, 240)
        yield opened
