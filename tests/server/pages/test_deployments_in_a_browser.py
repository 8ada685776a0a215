"""Deployments, schedules, limits and variables in Chromium: seen and pressed, with scripts and without, on a phone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest

from orchestrator import variables
from orchestrator.client.fleet import Fleet
from orchestrator.concurrency import declared
from orchestrator.deployments.lookup import find_deployment
from orchestrator.deployments.record import DeploymentRecord
from orchestrator.deployments.schedules import owner_of
from orchestrator.schedules import Cron, Interval
from orchestrator.scheduling import edit
from orchestrator.server import make_app
from orchestrator.work_pools.editing import create_pool
from orchestrator.work_pools.lookup import find_pool
from orchestrator.work_pools.queue_editing import create_queue
from tests.server.pages.test_in_a_browser import FAINT_TEXTS, NAMELESS, expect
from tests.support.apps import ordered_flows
from tests.support.engines import redis_fleet
from tests.support.fleets import fleet_of
from tests.support.servers import ServerProcess
from tests.support.site import served

pytestmark = pytest.mark.timeout(300)
with_and_without_scripts = pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without"])
VARIABLE_PAGES = ("/variables", f"/variables/edit?name={'cities-' * 30}", f"/variables/delete?name={'cities-' * 30}")
PHONE = {"width": 390, "height": 800}


POOL = "pool-of-the-etl-team-" * 5
POOL_PAGES = ("/work-pools", f"/work-pools/{POOL}", f"/work-pools/{POOL}/delete")


class Shown(NamedTuple):
    """A fleet with a deployment, and the address of its dashboard."""

    fleet: Fleet
    url: str

    @property
    def record(self) -> DeploymentRecord:
        return find_deployment(self.fleet.broker, "order/nightly")

    @property
    def path(self) -> str:
        return f"/deployments/{self.record.id}"

    @property
    def mornings(self) -> edit.ScheduleRecord:
        """The schedule of every morning."""
        found = edit.of_owner(self.fleet, owner_of(self.record.id))
        return next(one for one in found if one.schedule is not None and one.schedule.cron is not None)


@pytest.fixture(scope="module")
def shown(server: ServerProcess) -> Iterator[Shown]:
    with fleet_of(redis_fleet().settings(server, "deployments-seen")) as fleet:
        ordered_flows.order.to_deployment(
            "nightly",
            schedules=[
                Cron("0 6 * * *", timezone="Europe/Oslo", slug="mornings"),
                Interval(7200, slug="every-two-hours"),
            ],
            parameters={"city": "Oslo", "lines": list(range(40))},
            tags=["a-tag-of-the-etl-team", "another"],
            description="What is ordered by night, " * 8,
        ).apply(_sync=True)  # the browser's loop runs in this thread
        declared.declare(fleet, "a-database-with-a-long-name-that-many-share", limit=1)
        fleet.broker.limits.acquire("lease-of-the-first", ["a-database-with-a-long-name-that-many-share"], 1, 600)
        variables.write(fleet, "cities-" * 30, ["Oslo", "Rome"] * 300, ["a-tag-of-the-etl-team"])
        create_pool(fleet, POOL, "process", description="For what is ordered by night, " * 20)
        create_queue(fleet, POOL, "a-queue-with-a-long-name-" * 6, description="For what is urgent, " * 10)
        with served(make_app(fleet)) as url:
            yield Shown(fleet, url)


@contextmanager
def window(chromium: Any, shown: Shown, **options: Any) -> Iterator[Any]:
    """A window; at the end nothing may stand in its console that is an error or a warning."""
    context = chromium.new_context(base_url=shown.url, **{"viewport": {"width": 1280, "height": 900}, **options})
    page = context.new_page()
    page.set_default_timeout(20_000)
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    assert [said for said in complaints if "422" not in said] == []  # Chromium notes an answer of 422 as an error


@with_and_without_scripts
def test_a_schedule_is_switched_off_and_on(chromium: Any, shown: Shown, scripts: bool) -> None:
    with window(chromium, shown, java_script_enabled=scripts) as page:
        page.goto(shown.path)
        part = page.locator(".part", has_text="0 6 * * *")
        part.get_by_role("button", name="Pause").click()
        expect(page.get_by_role("status")).to_contain_text("The schedule is paused")
        expect(part).to_contain_text("paused by hand")
        assert not shown.mornings.active
        part.get_by_role("button", name="Resume").click()
        expect(part).to_contain_text("Active")
        assert shown.mornings.active


def test_ticks_are_read_in_the_zone_of_the_schedule_and_in_the_reader_s(chromium: Any, shown: Shown) -> None:
    with window(chromium, shown, timezone_id="Asia/Tokyo", locale="en-GB") as page:
        page.goto(shown.path)
        row = page.locator(".part", has_text="0 6 * * *").locator("tbody tr").first
        expect(row.locator("td").first).to_contain_text("06:00:00 CE")
        expect(row.locator("time")).to_have_text(re.compile(r"1[34]:00:00 (JST|GMT\+9)"))
        page.goto("/schedules")
        expect(page.locator("#schedules ul.ticks time").first).to_have_text(re.compile(r"^\d\d:00$"))
        page.get_by_label("Times also in").fill("America/New_York")
        page.keyboard.press("Enter")
        expect(page.get_by_text("by the clocks of America/New_York")).to_be_visible()


@with_and_without_scripts
def test_a_wrong_type_is_refused_at_its_field_and_once_mended_the_run_is_made(
    chromium: Any, shown: Shown, scripts: bool
) -> None:
    with window(chromium, shown, java_script_enabled=scripts) as page:
        page.goto(shown.path)
        page.get_by_role("link", name="Run…", exact=True).first.click()
        page.get_by_label("city").fill("Rome")
        page.get_by_label("days").fill("many")
        page.get_by_role("button", name="Run", exact=True).click()
        expect(page.locator("main").get_by_role("alert")).to_have_text("'many' is no whole number.")
        expect(page.get_by_label("days")).to_have_attribute("aria-invalid", "true")
        expect(page.get_by_label("city")).to_have_value("Rome")
        page.get_by_label("days").fill("4")
        page.get_by_role("button", name="Run", exact=True).click()
        expect(page.get_by_role("status")).to_have_text("The run is queued.")
        expect(page.get_by_role("row", name="city")).to_contain_text("'Rome'")
        expect(page.get_by_role("row", name="days")).to_contain_text("4")
        page.get_by_role("link", name="order/nightly").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("order/nightly")


@with_and_without_scripts
def test_a_variable_is_set_changed_and_deleted(chromium: Any, shown: Shown, scripts: bool) -> None:
    name = f"cities-{scripts}".lower()
    with window(chromium, shown, java_script_enabled=scripts) as page:
        page.goto("/variables")
        page.get_by_label("Name").fill("Not a name")
        page.get_by_label("Value").fill('["Oslo"]')
        page.get_by_role("button", name="Set a variable").click()
        expect(page.locator("main").get_by_role("alert")).to_contain_text("'Not a name' is no name for a variable")
        expect(page.get_by_label("Value")).to_have_value('["Oslo"]')
        page.get_by_label("Name").fill(name)
        page.get_by_role("button", name="Set a variable").click()
        expect(page.get_by_role("status")).to_have_text("The variable is set.")
        row = page.get_by_role("row", name=name)
        expect(row).to_contain_text('["Oslo"]')
        row.get_by_role("link", name="Edit").click()
        page.get_by_label("Value").fill("only Rome")
        page.get_by_label("Tags").fill("etl, geo")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("row", name=name)).to_contain_text('"only Rome"')
        found = variables.read(shown.fleet, name)
        assert found is not None
        assert (found.value, found.tags) == ("only Rome", ["etl", "geo"])
        page.get_by_role("row", name=name).get_by_role("link", name="Delete").click()
        page.get_by_role("button", name="Delete the variable").click()
        expect(page.get_by_role("status")).to_have_text("The variable is deleted.")
        expect(page.get_by_role("row", name=name)).to_have_count(0)
        assert variables.read(shown.fleet, name) is None


@with_and_without_scripts
def test_a_queue_of_a_pool_is_paused_and_resumed_by_its_switch(chromium: Any, shown: Shown, scripts: bool) -> None:
    def paused() -> bool:
        return find_pool(shown.fleet.broker, POOL).queues[0].paused

    with window(chromium, shown, java_script_enabled=scripts) as page:
        page.goto(f"/work-pools/{POOL}")
        row = page.locator("tr", has=page.get_by_role("link", name="default", exact=True))
        row.get_by_role("button", name="Pause").click()
        page.get_by_text("The queue is paused").wait_for()
        assert paused()
        row.get_by_role("button", name="Resume").click()
        page.get_by_text("runs are handed out again").wait_for()
        assert not paused()


@with_and_without_scripts
def test_every_page_fits_a_phone(chromium: Any, shown: Shown, scripts: bool) -> None:
    with window(chromium, shown, java_script_enabled=scripts, viewport=PHONE) as page:
        for path in pages_of(shown):
            page.goto(path)
            assert page.locator("body").bounding_box()["width"] <= 390, path
            if scripts:
                assert page.evaluate("document.documentElement.scrollWidth <= 390"), path


def test_every_text_is_readable_and_every_field_has_a_name(chromium: Any, shown: Shown) -> None:
    for scheme in ("light", "dark"):
        with window(chromium, shown, color_scheme=scheme) as page:
            for path in pages_of(shown):
                page.goto(path)
                assert page.evaluate(FAINT_TEXTS) == [], (scheme, path)
                assert page.evaluate(NAMELESS) == [], path


def pages_of(shown: Shown) -> list[str]:
    """Every page of the kind."""
    here, schedule = shown.path, f"/schedules/{shown.mornings.id}"
    return [
        "/deployments",
        here,
        f"{here}/run",
        f"{here}/delete",
        "/schedules",
        schedule,
        "/limits",
        *VARIABLE_PAGES,
        *POOL_PAGES,
    ]


def row_of(page: Any, field: str) -> Any:
    """The row of a field of a block."""
    return page.get_by_role("row").filter(has=page.get_by_role("rowheader", name=field, exact=True))


@with_and_without_scripts
def test_a_block_is_made_by_a_form_and_what_is_in_it_is_text(chromium: Any, shown: Shown, scripts: bool) -> None:
    name, text = f"block-{scripts}".lower(), "<script>document.title = 'hurt'</script>"
    with window(chromium, shown, java_script_enabled=scripts) as page:
        page.goto("/blocks")
        page.get_by_label("Type").select_option("string")
        page.get_by_role("button", name="New block").click()
        page.get_by_label("Name").fill("Not a name")
        page.get_by_label("value").fill(text)
        page.get_by_role("button", name="Save").click()
        expect(page.locator("main").get_by_role("alert")).to_contain_text("'Not a name' is no name for a block")
        expect(page.get_by_label("value")).to_have_value(text)
        page.get_by_label("Name").fill(name)
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("status")).to_have_text("The block is saved.")
        expect(row_of(page, "value")).to_contain_text(text)
        page.get_by_role("link", name="Edit").click()
        page.get_by_label("value").fill("green")
        page.get_by_role("button", name="Save").click()
        expect(row_of(page, "value")).to_contain_text("green")
        page.goto("/blocks/new?type=secret")
        page.get_by_label("Name").fill(name)
        page.get_by_label("value").fill("typed-secret")
        page.get_by_role("button", name="Save").click()
        expect(page.locator("main").get_by_role("alert")).to_contain_text("export ORCHESTRATOR_ENCRYPTION_KEY=")
        expect(page.get_by_label("value")).to_have_value("")  # the secret does not come back
