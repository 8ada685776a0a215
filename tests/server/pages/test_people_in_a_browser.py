"""People in Chromium: the first user on the page, a log-in by name, a key, a log-out; with and without scripts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.client.fleet import Fleet
from orchestrator.people import users
from orchestrator.server import make_app
from tests.server.pages.test_in_a_browser import expect
from tests.support.engines import redis_fleet
from tests.support.fleets import fleet_of
from tests.support.servers import ServerProcess
from tests.support.site import served

PASSWORD = "what ann alone knows"


@pytest.fixture
def fleet(server: ServerProcess, namespace: str) -> Iterator[Fleet]:
    with fleet_of(redis_fleet().settings(server, namespace)) as made:
        yield made


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_the_first_user_is_added_logs_in_makes_a_key_and_logs_out(chromium: Any, fleet: Fleet, scripts: bool) -> None:
    with served(make_app(fleet)) as url:
        context = chromium.new_context(base_url=url, java_script_enabled=scripts)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.goto("/people")
        form = page.get_by_role("form", name="A new user")
        form.get_by_label("Name").fill("Ann")
        form.get_by_label("Password").fill(PASSWORD)
        form.get_by_label("Role").select_option("admin")
        form.get_by_role("button", name="Add a user").click()
        expect(page.get_by_role("heading", name="orchestrator")).to_be_visible(timeout=30_000)  # the server has closed
        page.get_by_label("Name").fill("ann")
        page.get_by_label("Password").fill("wrong")
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("alert")).to_contain_text("not the name and password of anybody", timeout=30_000)
        page.get_by_label("Name").fill("ann")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.goto("/people")
        expect(page.get_by_role("row", name="ann").first).to_contain_text("admin", timeout=30_000)
        key = page.get_by_role("form", name="A new key")
        key.get_by_label("Name").fill("laptop")
        key.get_by_role("button", name="Make a key").click()
        expect(page.locator("#key")).to_contain_text("orc_", timeout=30_000)
        page.get_by_role("link", name="I have it").click()
        expect(page.get_by_role("region", name="API keys").first).to_contain_text("laptop", timeout=30_000)
        page.get_by_role("link", name="ann").first.click()
        expect(page.get_by_role("heading", name="ann")).to_be_visible(timeout=30_000)
        page.get_by_role("button", name="Log out", exact=True).click()
        expect(page.get_by_role("button", name="Log in")).to_be_visible(timeout=30_000)
        context.close()
    assert [user.name for user in users.all_users(fleet.broker)] == ["ann"]
