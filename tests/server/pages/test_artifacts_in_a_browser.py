"""Artifacts in Chromium: whatever people write in them is text, with scripts and without; progress moves by itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import pytest

from brokers.facets.artifacts import NewArtifact
from orchestrator.artifacts.images import picture_of
from orchestrator.artifacts.tables import table_of
from orchestrator.artifacts.writing import Draft, change, write
from orchestrator.client.fleet import Fleet
from orchestrator.runs.run_ids import new_run_id
from orchestrator.server import make_app
from tests.server.pages.test_in_a_browser import FAINT_TEXTS, NAMELESS, expect
from tests.support.engines import redis_fleet
from tests.support.fleets import fleet_of
from tests.support.servers import ServerProcess
from tests.support.site import served

pytestmark = pytest.mark.timeout(300)
with_and_without_scripts = pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without"])
EVIL: Final = "<script>window.hurt = 1</script><img src=x onerror='window.hurt = 2'>"
PNG: Final = bytes.fromhex(  # one pixel
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360f8cfc0500f00048701"
    "8012c2d3f30000000049454e44ae426082"
)
MARKDOWN: Final = f"""# Sales {EVIL}

**12** orders, [more](https://example.com) [evil](javascript:window.hurt=3) ![chart](https://example.com/a.png)

| Town | Sum |
|---|--:|
| {EVIL} | 12 |

> quoted `code {EVIL}`

{"long-word" * 60}
"""


class Shown(NamedTuple):
    """A fleet with artifacts, the address of its dashboard, and the artifacts by what they are."""

    fleet: Fleet
    url: str
    ids: dict[str, str]

    def path(self, kind: str) -> str:
        return f"/artifacts/{self.ids[kind]}"


@pytest.fixture(scope="module")
def shown(server: ServerProcess) -> Iterator[Shown]:
    rows = [{"n": number, "town": f"Town {number % 7}", EVIL: EVIL} for number in range(120)]
    drafts = {
        "markdown": Draft("markdown", "daily-report", f"Of all shops: {EVIL}", MARKDOWN, {EVIL: EVIL}),
        "table": Draft("table", "customers", table=table_of(rows)),
        "link": Draft("markdown", "output", data="x", link=("https://example.com/out.csv", EVIL)),
        "evil link": Draft("markdown", "evil", data="x", link=("javascript:window.hurt=4", EVIL)),
        "progress": Draft("progress", "batch", data=10.0),
        "picture": Draft("image", "chart", picture=picture_of(PNG)),
        "odd": Draft(EVIL, "odd", data={EVIL: EVIL}),
    }
    with fleet_of(redis_fleet().settings(server, "artifacts-seen")) as fleet:
        ids = {kind: str(write(fleet, draft)) for kind, draft in drafts.items()}
        ids["key"] = new_run_id()  # nothing of ours writes such a key; whoever reaches the store may
        fleet.broker.artifacts.create(NewArtifact(ids["key"], EVIL, EVIL), 100)
        with served(make_app(fleet)) as url:
            yield Shown(fleet, url, ids)


@contextmanager
def window(chromium: Any, shown: Shown, **options: Any) -> Iterator[Any]:
    """A window; at the end nothing may stand in its console that is an error or a warning."""
    context = chromium.new_context(base_url=shown.url, **{"viewport": {"width": 1280, "height": 900}, **options})
    page = context.new_page()
    page.set_default_timeout(20_000)
    complaints: list[str] = []
    page.on("console", lambda line: complaints.append(line.text) if line.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda asked: None if asked.url.startswith(shown.url) else complaints.append(asked.url))
    yield page
    context.close()
    assert complaints == []


def pages_of(shown: Shown) -> list[str]:
    """Every page of the kind."""
    keys = ["/artifacts", "/artifacts?all=1", "/artifacts/keys/daily-report", "/artifacts/delete?key=daily-report"]
    return [*keys, *(shown.path(kind) for kind in shown.ids), f"{shown.path('table')}?sort=0&order=desc&filter=town+3"]


@with_and_without_scripts
def test_what_people_write_is_text_wherever_it_stands(chromium: Any, shown: Shown, scripts: bool) -> None:
    with window(chromium, shown, java_script_enabled=scripts) as page:
        for path in pages_of(shown):
            page.goto(path)
            assert page.locator("main script, main [onerror], main img:not(.picture)").count() == 0, path
            assert page.locator("main a[href^='javascript' i], main [style]").count() == 0, path
            if scripts:
                assert page.evaluate("window.hurt === undefined"), path
        for kind in ("markdown", "table", "link", "evil link", "odd", "key"):
            page.goto(shown.path(kind))
            expect(page.locator("main").get_by_text("<script>window.hurt = 1</script>").first).to_be_visible()


@with_and_without_scripts
def test_a_report_is_found_by_its_key_and_read(chromium: Any, shown: Shown, scripts: bool) -> None:
    with window(chromium, shown, java_script_enabled=scripts) as page:
        page.goto("/artifacts")
        page.get_by_label("Key holds").fill("report")
        page.get_by_role("button", name="Filter").click()
        expect(page.get_by_role("link", name="customers")).to_have_count(0)
        page.get_by_role("link", name="daily-report").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("daily-report")
        expect(page.locator(".markdown strong")).to_have_text("12")
        expect(page.get_by_role("link", name="more")).to_have_attribute("rel", "noopener noreferrer nofollow")
        expect(page.locator(".markdown td.number")).to_have_text("12")


@with_and_without_scripts
def test_a_table_is_sorted_filtered_and_paged(chromium: Any, shown: Shown, scripts: bool) -> None:
    with window(chromium, shown, java_script_enabled=scripts) as page:
        page.goto(shown.path("table"))
        numbers = page.locator("tbody tr td:nth-child(2)")
        expect(numbers.first).to_have_text("0")
        page.get_by_role("link", name="More").click()
        expect(numbers.first).to_have_text("50")
        page.get_by_role("link", name="n", exact=True).click()
        page.get_by_role("link", name="n ▴").click()
        expect(numbers.first).to_have_text("119")
        page.get_by_label("A cell holds").fill("town 3")
        page.get_by_role("button", name="Filter").click()
        expect(numbers.first).to_have_text("115")
        expect(page.get_by_text("1 to 17 of 17")).to_be_visible()


def test_progress_moves_by_itself_and_the_picture_is_loaded(chromium: Any, shown: Shown) -> None:
    with window(chromium, shown) as page:
        page.goto(shown.path("progress"))
        expect(page.locator("#share")).to_have_text("10 %")
        for share in (55.5, 100.0):
            assert change(shown.fleet, shown.ids["progress"], {"data": share})
            expect(page.locator("#share")).to_have_text(f"{share:g} %")
            expect(page.get_by_role("progressbar")).to_have_attribute("value", str(share))
        page.goto(shown.path("picture"))
        assert page.evaluate("document.querySelector('img.picture').naturalWidth") == 1


def test_every_page_fits_a_phone_and_is_readable(chromium: Any, shown: Shown) -> None:
    with window(chromium, shown, viewport={"width": 390, "height": 800}) as page:
        for path in pages_of(shown):
            page.goto(path)
            assert page.evaluate("document.documentElement.scrollWidth <= 390"), path
    for scheme in ("light", "dark"):
        with window(chromium, shown, color_scheme=scheme) as page:
            for path in pages_of(shown):
                page.goto(path)
                assert page.evaluate(FAINT_TEXTS) == [], (scheme, path)
                assert page.evaluate(NAMELESS) == [], path
