"""Many passwords at once: they wait in a lane of their own, and the server answers everybody else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import closing
from itertools import islice

import httpx
import pytest

from orchestrator.client.fleet import Fleet
from orchestrator.people import passwords, sessions
from orchestrator.people.roles import Role
from orchestrator.server import make_app, throttle
from orchestrator.server.password_lane import AT_ONCE, WAITING
from orchestrator.server.security import COOKIE
from tests.server.conftest import Site
from tests.server.people import app_client, running, somebody
from tests.server.test_people import PASSWORD, csrf_of

MANY = 60  # more than the threads that serve everything else
PATIENCE = 60.0  # seconds


@pytest.fixture
def go_on(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """No password is looked at to the end before this is set."""
    event, real = threading.Event(), passwords._scrypt

    def waiting(*given: object) -> bytes:
        event.wait(2 * PATIENCE)
        return real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(passwords, "_scrypt", waiting)
    yield event
    event.set()


def test_many_log_ins_at_once_keep_nobody_else_waiting(
    own_fleet: Fleet, go_on: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttle, "OF_AN_ADDRESS", throttle.OF_AN_ADDRESS._replace(free=1000))  # as from many addresses
    monkeypatch.setattr(throttle, "AT_A_NAME", throttle.AT_A_NAME._replace(free=1000))

    async def attack(site: Site) -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=MANY + 5)
        async with httpx.AsyncClient(base_url=site.url, timeout=PATIENCE, limits=limits) as client:
            token = csrf_of_text((await client.get("/login")).text)
            form = {"csrf_token": token, "name": "ann", "secret": "a guess"}
            guesses = [asyncio.create_task(client.post("/login", data=form)) for _ in range(MANY)]
            for guess in islice(asyncio.as_completed(guesses), MANY - AT_ONCE - WAITING):
                answer = await guess
                assert (answer.status_code, answer.headers.get("retry-after")) == (503, "2")
                assert "try again" in answer.text
            assert (await client.get("/login")).status_code == 200, "others are served meanwhile"
            go_on.set()
            return await asyncio.gather(*guesses)

    with closing(Site(make_app(own_fleet, password="a password"))) as site:
        found = [answer.status_code for answer in asyncio.run(attack(site))]
        assert sorted(set(found)) == [303, 503]
        assert found.count(303) == AT_ONCE + WAITING


def csrf_of_text(page: str) -> str:
    return page.split('name="csrf_token" value="', 1)[1].split('"', 1)[0].strip()


def test_the_old_password_is_guessed_at_slowly_by_whoever_has_a_session(
    own_fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        throttle, "OF_AN_ADDRESS", throttle.OF_AN_ADDRESS._replace(first_wait_ms=300_000, longest_wait_ms=300_000)
    )
    user = somebody(own_fleet, "bob", Role.VIEWER, PASSWORD)
    begun = sessions.begin_session(own_fleet.broker, user, "")
    with running(own_fleet) as app, app_client(app) as client:
        client.cookies[COOKIE] = begun.cookie
        form = {"csrf_token": csrf_of(client), "old": "wrong", "password": "another password"}
        for guess in range(7):
            answer = client.post("/me/set-password", data=form)
            assert answer.status_code == 422
            assert ("given too often: try again in" in answer.text) is (guess >= 5), guess
        right = client.post("/me/set-password", data={**form, "old": PASSWORD})
        assert "given too often" in right.text, "the right one waits too"
