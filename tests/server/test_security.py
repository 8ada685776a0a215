"""Who is let in, and what is refused: over real connections."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing

import httpx
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.routing import Mount

from orchestrator.client.fleet import Fleet
from orchestrator.server import make_app
from orchestrator.server import throttle as throttle_module
from orchestrator.server.security import COOKIE, Security
from orchestrator.server.throttle import LoginThrottle
from tests.server.conftest import Site
from tests.support.waiting import wait_until

TOKEN, PASSWORD = "a-token-for-programs", "a password for people"
ACTION = "/api/queues/nothing/purge"


@pytest.fixture(scope="module")
def closed(open_site: Callable[..., Site]) -> Site:
    """A site with a token and a password."""
    return open_site(token=TOKEN, password=PASSWORD)


def csrf_of(client: httpx.Client) -> str:
    """The token in the login form."""
    page = client.get("/login").text
    return page.split('name="csrf_token" value="', 1)[1].split('"', 1)[0].strip()


def logged_in(site: Site, secret: str = PASSWORD) -> tuple[httpx.Client, httpx.Response]:
    client = site.client()
    answer = client.post("/login", data={"csrf_token": csrf_of(client), "secret": secret, "next": "/runs?state=failed"})
    return client, answer


# -- open, to this machine ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({"Host": "evil.example:4200"}, "names of its own machine"),
        ({"Host": ""}, "names of its own machine"),
        ({"X-Forwarded-For": "10.0.0.8"}, "its own machine only"),
        ({"X-Forwarded-Host": "shop.example"}, "through a proxy"),
        ({"Forwarded": "for=10.0.0.8"}, "through a proxy"),
    ],
)
def test_an_open_site_answers_its_own_machine_only(site: Site, headers: dict[str, str], why: str) -> None:
    with site.client() as client:
        for path in ("/api/version", "/", "/api/ready"):
            refused = client.get(path, headers=headers)
            assert refused.status_code == 403
            assert why in refused.text
        assert client.get("/api/version").status_code == 200


@pytest.mark.parametrize("client", ["10.0.0.8", "2001:db8::1", "::ffff:10.0.0.8", "nonsense"])
def test_an_address_that_is_not_this_machines_is_a_stranger(client: str) -> None:
    assert Security().untrusted_host(client, "localhost:4200", [])
    assert Security(token="x").untrusted_host(client, "any.example", []) is None
    assert Security(allow_open=True).untrusted_host(client, "any.example", []) is None


@pytest.mark.parametrize("client", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", None])
def test_an_address_of_this_machine_is_let_in(client: str | None) -> None:
    assert Security().untrusted_host(client, "localhost:4200", []) is None
    assert Security(allowed_hosts=["Box.lan"]).untrusted_host(client, "box.LAN", []) is None


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Origin": "http://localhost:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
    ],
)
def test_what_a_browser_was_made_to_send_is_refused(site: Site, headers: dict[str, str]) -> None:
    with site.client() as client:
        refused = client.post(ACTION, content="{}", headers={"Content-Type": "application/json", **headers})
        assert refused.status_code == 403
        assert client.post(ACTION).status_code == 200  # a program may


# -- closed ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {PASSWORD}", f"Bearer {TOKEN}x", "Bearer é"]
)
def test_the_api_wants_the_token(closed: Site, header: str) -> None:
    with closed.client() as client:
        refused = client.get("/api/task_runs/x", headers={"Authorization": header.encode()} if header else {})
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == "Bearer"
        assert client.post(ACTION).status_code == 401


def test_with_the_token_the_api_answers_from_anywhere(closed: Site) -> None:
    with closed.client(headers={"Authorization": f"bearer {TOKEN}", "Host": "shop.example"}) as client:
        assert client.get("/api/version").status_code == 200
        assert client.post(ACTION, headers={"Origin": "https://other.example"}).status_code == 200


def test_only_the_probe_and_the_login_form_are_for_everybody(closed: Site) -> None:
    with closed.client() as client:
        assert client.get("/api/ready").json() == {"ready": True}
        assert client.get("/login").status_code == 200
        for path in ("/", "/runs", "/loginx", "/api/openapi.json", "/api/docs", "/nothing", "/api/readyx/../version"):
            answer = client.get(path)
            assert answer.status_code in (303, 401), path
            if answer.status_code == 303:
                assert answer.headers["location"].startswith("/login?next=")


@pytest.mark.parametrize("secret", [PASSWORD, TOKEN])
def test_people_log_in_and_out(closed: Site, secret: str) -> None:
    client, answer = logged_in(closed, secret)
    with closing(client):
        assert (answer.status_code, answer.headers["location"]) == (303, "/runs?state=failed")
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        assert client.get("/api/version").status_code == 200
        assert client.post(ACTION).status_code == 403
        page = client.get("/login")
        token = page.text.split('name="csrf_token" value="', 1)[1].split('"', 1)[0]
        assert client.post(ACTION, headers={"X-CSRF-Token": token}).status_code == 200
        assert client.post(ACTION, headers={"X-CSRF-Token": token, "Origin": "http://x"}).status_code == 403
        assert client.post("/logout", data={"csrf_token": token}).status_code == 303
        assert client.get("/api/version").status_code == 401


@pytest.mark.parametrize("secret", ["", "wrong", PASSWORD.upper(), PASSWORD + " ", "é" * 5])
def test_a_wrong_password_is_refused(closed: Site, secret: str) -> None:
    client, answer = logged_in(closed, secret)
    with closing(client):
        assert answer.headers["location"].startswith("/login?failed=1")
        assert client.get("/api/version").status_code == 401
    closed.app.state.login_throttle.succeeded("127.0.0.1")  # the other tests need not wait


def test_a_copy_of_a_cookie_means_nothing_after_its_owner_has_logged_out(closed: Site) -> None:
    client, _ = logged_in(closed)
    other, _ = logged_in(closed)
    with closing(client), closing(other), closed.client(cookies={COOKIE: client.cookies[COOKIE]}) as thief:
        assert thief.get("/api/version").status_code == 200
        csrf = csrf_of(thief)
        assert client.post("/logout", data={"csrf_token": csrf_of(client)}).status_code == 303
        assert thief.get("/api/version").status_code == 401
        assert thief.post("/login", data={"csrf_token": csrf, "secret": PASSWORD}).status_code == 403
        assert other.get("/api/version").status_code == 200  # another session of the same person


def test_after_wrong_passwords_the_right_one_waits_too_and_then_lets_in(own_fleet: Fleet) -> None:
    site = Site(make_app(own_fleet, password=PASSWORD))
    try:
        for guess in range(7):  # the last two wait: a restart of the server forgets none
            client, answer = logged_in(site, f"guess {guess}")
            client.close()
            assert answer.headers.get("location", "429").startswith("/login?failed=1" if guess < 5 else "429")
            if guess == 4:
                site.close()
                site = Site(make_app(own_fleet, password=PASSWORD))
        assert answer.status_code == 429
        assert answer.headers["retry-after"] in ("1", "2")
        assert "too many wrong passwords" in answer.text

        def lets_in() -> bool:
            client, answer = logged_in(site)
            client.close()
            return answer.headers.get("location") == "/runs?state=failed"

        wait_until(lets_in, 30, "the wait is over")
        assert lets_in(), "the wrong ones are forgotten"
    finally:
        site.close()


def test_an_address_waits_alone_and_a_name_waits_from_everywhere(own_fleet: Fleet) -> None:
    throttle = LoginThrottle(own_fleet.broker)
    assert [throttle.begin("2001:db8::1", "ann") for _ in range(5)] == [0.0] * 5
    assert throttle.begin("2001:db8::2") > 0, "of the same network"
    assert [throttle.begin(f"10.0.0.{number}", "ann") for number in range(15)] == [0.0] * 15
    assert 0 < throttle.begin("10.0.0.99", "ann") <= 30
    assert throttle.begin("10.0.0.99", "bob") == 0
    throttle.succeeded("10.0.0.98", "ann")
    assert throttle.begin("10.0.0.97", "ann") == 0


def test_whoever_logs_in_as_themselves_guesses_at_others_no_faster(
    own_fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    for pace in ("OF_AN_ADDRESS", "AT_A_NAME"):  # a wait that a busy machine does not outlast
        longer = getattr(throttle_module, pace)._replace(first_wait_ms=600_000, longest_wait_ms=600_000)
        monkeypatch.setattr(throttle_module, pace, longer)
    throttle = LoginThrottle(own_fleet.broker)
    for number in range(5):
        assert throttle.begin("10.0.0.1", "" if number % 2 else "ann") == 0
        if number < 4:
            assert throttle.begin("10.0.0.1", "eve") == 0
            throttle.succeeded("10.0.0.1", "eve")
    assert throttle.begin("10.0.0.1", "eve") > 0
    for number in range(2, 20):
        assert throttle.begin(f"10.0.0.{number}") == 0, "the server's own password has no name"
    assert throttle.begin("10.0.1.1", "ann") == 0
    waits = [throttle.begin(f"10.0.1.{number}") for number in range(2, 6)]
    assert waits[-1] > 0, "it is guessed at slowly, too, from wherever"


def test_a_login_form_of_another_session_is_refused(closed: Site) -> None:
    with closed.client() as one, closed.client() as other:
        token = csrf_of(one)
        csrf_of(other)
        assert other.post("/login", data={"csrf_token": token, "secret": PASSWORD}).status_code == 403
        assert other.post("/login", data={"secret": PASSWORD}).status_code == 403


@pytest.mark.parametrize(
    "there", ["//evil.example", "https://evil.example", "/\\evil.example", "/a\r\nSet-Cookie: x=y"]
)
def test_a_login_goes_on_to_this_server_only(closed: Site, there: str) -> None:
    with closed.client() as client:
        answer = client.post("/login", data={"csrf_token": csrf_of(client), "secret": PASSWORD, "next": there})
        assert answer.headers["location"] == "/"


def test_cookies_that_were_tampered_with_or_are_too_old_mean_nothing(closed: Site) -> None:
    client, _ = logged_in(closed)
    good = client.cookies[COOKIE]
    client.close()
    kind, session_id, secret = good.split(".")
    other_secret = "x" * len(secret)
    bad = [
        f"{kind}.{session_id}.{other_secret}",
        f"{kind}.{session_id}.",
        f"{kind}.{'0' * 16}.{secret}",
        "s",
        "",
        "....",
    ]
    for cookie in bad:
        with closed.client(cookies={COOKIE: cookie}) as other:
            assert other.get("/api/version").status_code == 401, cookie
    security = Security(password="x")
    session = security.new_session()
    assert security.session_of(security.cookie_of(session)) == session
    assert security.session_of(security.cookie_of(session._replace(ends_at=1))) is None


def test_an_anonymous_session_cannot_be_made_into_a_signed_in_one(closed: Site) -> None:
    with closed.client() as client:
        csrf_of(client)
        cookie = client.cookies[COOKIE]
        assert cookie.startswith("a.")
        client.cookies.clear()
        client.cookies[COOKIE] = "s" + cookie[1:]
        assert client.get("/api/version").status_code == 401


# -- everywhere ------------------------------------------------------------------------------------------------------


def test_every_answer_has_the_headers(site: Site, closed: Site) -> None:
    for each in (site, closed):
        with each.client() as client:
            for path in ("/", "/api/version", "/api/nothing", "/login", "/nothing", "/api/docs"):
                headers = client.get(path).headers
                policy = headers["content-security-policy"]
                assert "default-src 'self'" in policy
                assert "unsafe" not in policy
                assert "frame-ancestors 'none'" in policy
                assert headers["x-content-type-options"] == "nosniff"
                assert "cache-control" in headers


def test_a_body_that_is_too_large_is_refused(site: Site) -> None:
    with site.client() as client:
        refused = client.post("/api/task_runs/count", content=b" " * (1 << 20) + b"{}")
        assert refused.status_code == 413


def test_no_secret_gets_into_a_log_line_or_an_answer(
    fleet: Fleet, closed: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    client, _ = logged_in(closed)
    with closing(client):
        cookie = client.cookies[COOKIE]
        answers = [client.get(path).text for path in ("/api/settings", "/api/health", "/about", "/login", "/api/x")]
    client, _ = logged_in(closed, "nearly " + PASSWORD)
    client.close()
    told = [record.getMessage() for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]
    for text in (*told, *answers, repr(closed.app.state.security), repr(fleet.settings)):
        assert TOKEN not in text
        assert PASSWORD not in text
        assert cookie not in text


def test_the_variables_of_the_environment_close_it(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = fleet.settings.model_copy(update={"server_token": SecretStr("from-the-environment")})
    monkeypatch.setattr(fleet, "settings", settings)
    app = make_app(fleet)
    assert not app.state.security.is_open
    assert app.state.security.is_token("from-the-environment")


def test_mounted_below_another_path_everything_leads_there(fleet: Fleet) -> None:
    outer = Site(Starlette(routes=[Mount("/orchestrator", app=make_app(fleet, password=PASSWORD))]))
    try:
        with outer.client() as client:
            assert client.get("/orchestrator/api/version").status_code == 401
            sent_away = client.get("/orchestrator/runs")
            assert sent_away.headers["location"] == "/orchestrator/login?next=%2Forchestrator%2Fruns"
            page = client.get("/orchestrator/login")
            assert "Path=/orchestrator;" in page.headers["set-cookie"]
            token = page.text.split('name="csrf_token" value="', 1)[1].split('"', 1)[0]
            form = {"csrf_token": token, "secret": PASSWORD, "next": "/orchestrator/runs"}
            answer = client.post("/orchestrator/login", data=form)
            assert answer.headers["location"] == "/orchestrator/runs"
            assert client.get("/orchestrator/api/version").status_code == 200
            assert client.get("/orchestrator/api/openapi.json").json()["servers"] == [{"url": "/orchestrator"}]
            assert client.post("/orchestrator/api/task_runs/count", json={}, headers=_csrf(client)).json() == 0
    finally:
        outer.close()


def _csrf(client: httpx.Client) -> dict[str, str]:
    page = client.get("/orchestrator/login").text
    return {"X-CSRF-Token": page.split('name="csrf_token" value="', 1)[1].split('"', 1)[0]}


def test_behind_a_proxy_that_takes_its_path_off_links_have_it(fleet: Fleet) -> None:
    site = Site(make_app(fleet, token=TOKEN, root_path="/fleet"))
    try:
        with site.client() as client:
            assert client.get("/runs").headers["location"] == "/fleet/login?next=%2Ffleet%2Fruns"
            headers = {"Authorization": f"Bearer {TOKEN}"}
            assert client.get("/api/openapi.json", headers=headers).json()["servers"] == [{"url": "/fleet"}]
            assert client.get("/fleet/api/version", headers=headers).status_code == 200
    finally:
        site.close()
