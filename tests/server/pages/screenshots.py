"""Takes the pictures of ``docs/screenshots``: ``make screenshots``. Needs playwright and a ``chromium`` program.

A shop is opened and kept busy for some minutes first, so that the charts have something to show.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from tests.server.pages.conftest import Shop, fill, open_shop

FOLDER = Path(__file__).parents[3] / "docs" / "screenshots"
SIZE = {"width": 1280, "height": 800}


def keep_busy(shop: Shop, seconds: float) -> None:
    """A trickle of orders, more at times, some of which fail."""
    chance, ends_at, order = random.Random(7), time.monotonic() + seconds, 0
    while time.monotonic() < ends_at:
        many = chance.choice([5, 20, 20, 30, 60, 120])
        for task in (shop.tasks.charge_card, shop.tasks.send_receipt, shop.tasks.render_invoice):
            task.map(range(order, order + many))
        order += many
        time.sleep(chance.uniform(0.3, 1.5))


def take(browser: Browser, shop: Shop, scheme: str) -> None:
    """Every picture in one scheme of colours."""
    context = browser.new_context(base_url=shop.site.url, viewport=SIZE, color_scheme=scheme)
    page = context.new_page()
    pictures = {
        "overview": "/?span=5m",
        "runs": "/runs?tag=mail",
        "run": f"/runs/{shop.runs['running']}",
        "failed-run": f"/runs/{shop.runs['refused_later']}",
        "flow": f"/flows/{shop.runs['flow']}",
        "workers": "/workers",
        "deployment": f"/deployments/{shop.runs['deployment']}",
        "run-form": f"/deployments/{shop.runs['deployment']}/run",
    }
    for name, path in pictures.items():
        page.goto(path)
        page.wait_for_load_state("networkidle")
        page.screenshot(path=FOLDER / f"{name}-{scheme}.png")
    context.close()


def main() -> None:
    """Open the shop, wait, take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=290, help="how long the shop is kept busy (290)")
    parser.add_argument("--runs", type=int, default=5_000, help="how many runs are stored before (5000)")
    asked = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="shop-"))
    source = shutil.copy(Path(__file__).with_name("shop.py"), folder)  # tracebacks in the pictures name its path
    for shop in open_shop(folder, "--appendonly", "yes", source=Path(source)):
        fill(shop, asked.runs)
        keep_busy(shop, asked.seconds)
        shop.runs["flow"] = str(shop.tasks.nightly(2_000, return_state=True).flow_run_id)
        keep_busy(shop, 20)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            for scheme in ("light", "dark"):
                take(browser, shop, scheme)
            browser.close()


if __name__ == "__main__":
    main()
