"""Whatever stands in a header, a cookie, an address or a form: it is answered or refused, never an error of ours."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote_from_bytes

import pytest
from starlette.applications import Starlette

from orchestrator.client.fleet import Fleet
from orchestrator.server import make_app
from orchestrator.server.security import COOKIE, CSRF_FIELD, Session

ODD: list[bytes] = [
    b"http://[", b"http://[::1", b"//[", b"[", b"[::1]:x", b"localhost:99999999", b"http://]", b"http://a:b@c:d",
    b"", b" ", b"\x00", b"\xff\xfe", "é\u2028\ud7ff".encode(), b"\xed\xa0\x80", b"%", b"%00", b"%ff", b"..",
    b"../../etc/passwd",
    b"-1", b"0", b"9" * 5_000, b"1e999", b"nan", "٣".encode(), "²".encode(), b"18446744073709551616",
    b"0001-01-01T00:00:00+23:59", b"9999-12-31T23:59:59-23:59", b"2026-02-30", b"'; DROP TABLE runs; --", b'"<script>',
    b"*" * 300, b"[a-", b"[!", b"%_\\", b"a" * 60_000, b"u.1.x", b"u.9999999999.x." + b"0" * 64, b"Bearer",
    b"Bearer \xff",
    b"multipart/form-data", b"multipart/form-data; boundary=", b"application/json; charset=nonsense", b"*/*;q=x",
    b";;;,,,",
]  # fmt: skip
HEADERS = (
    "accept", "authorization", "content-type", "cookie", "forwarded", "host", "hx-request", "origin", "referer",
    "sec-fetch-site", "x-csrf-token", "x-forwarded-for", "x-forwarded-proto",
)  # fmt: skip
COOKIES = (COOKIE, "theme", "live")
PARAMETERS = (
    "state", "task", "queue", "tag", "worker", "last", "since", "until", "text", "flow_run_id", "parent", "run_id",
    "before", "cursor", "span", "open", "flow", "name", "error", "all", "selected", "done", "n", "of", "next", "failed",
    "sort", "argument", "minutes", "limit", "after", "zone", "first", "to", "version", "tick", "new", "decay", "kind",
    "event", "resource", "type", "id",
)  # fmt: skip
PAGES = (
    "/", "/runs", "/runs/confirm", "/runs/x", "/flows", "/flows/x", "/queues", "/queues/purge", "/workers",
    "/workers/stop", "/scheduled", "/dead", "/dead/purge", "/deployments",
    "/deployments/x", "/deployments/x/run", "/schedules", "/schedules/x", "/limits", "/limits/delete", "/about",
    "/artifacts", "/artifacts/x", "/artifacts/keys/x", "/artifacts/x/image", "/artifacts/delete",
    "/work-pools", "/work-pools/x", "/work-pools/x/delete",
    "/blocks", "/blocks/show", "/blocks/new", "/blocks/edit", "/blocks/delete",
    "/variables", "/variables/edit", "/variables/delete",
    "/events", "/login", "/metrics", "/static/base.css",
    "/api/task_runs/x", "/api/task_runs/x/logs", "/api/scheduled", "/api/chart", "/nothing",
    "/api/artifacts/x/rows", "/api/artifacts/x/image",
)  # fmt: skip
FORMS = (
    "/login", "/logout", "/runs/act", "/runs/x/retry", "/queues/purge", "/workers/stop", "/dead/replay",
    "/deployments/x/run", "/schedules/x/skip", "/limits/change", "/variables/set", "/variables/change",
    "/artifacts/delete", "/blocks/create", "/blocks/change",
    "/work-pools", "/work-pools/x/limit", "/work-pools/x/queues/default/priority",
)  # fmt: skip


class Answers:
    """An application, asked without a server in front of it, which would refuse some of this before."""

    def __init__(self, app: Starlette) -> None:
        self.app = app
        self.loop = asyncio.new_event_loop()
        self.log_in()

    def log_in(self) -> None:
        """A session, as the form would begin it."""
        begun = self.app.state.identity.log_in("", "a password", "127.0.0.1")
        self.cookie: str = begun.cookie
        session = Session(True, 0, begun.cookie.rpartition(".")[2])
        self.csrf: str = self.app.state.security.csrf_token(session)

    def status(
        self, method: str, path: str, query: bytes = b"", headers: dict[str, bytes] | None = None, body: bytes = b""
    ) -> int:
        given = {
            "host": b"localhost:4200",
            "cookie": f"{COOKIE}={self.cookie}".encode(),
            "x-csrf-token": self.csrf.encode(),
            **(headers or {}),
        }
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
            "path": path, "raw_path": path.encode("utf-8", "surrogateescape"), "query_string": query, "root_path": "",
            "headers": [(name.encode(), value) for name, value in given.items()],
            "client": ("127.0.0.1", 4), "server": ("127.0.0.1", 4200),
        }  # fmt: skip
        status = self.loop.run_until_complete(self._asked(scope, body))
        if path == "/logout":
            self.log_in()  # or nothing that comes after would get past the guard
        return status

    async def _asked(self, scope: dict[str, Any], body: bytes) -> int:
        statuses: list[int] = []
        messages = iter([0])

        async def receive() -> dict[str, Any]:
            if next(messages, None) is None:
                await asyncio.Event().wait()  # nothing more comes
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        try:
            await self.app(scope, receive, send)
        except Exception as error:
            raise AssertionError(f"{scope['method']} {scope['path'][:80]!r}: {error!r}") from error
        return statuses[0]


@pytest.fixture(scope="module")
def answers(fleet: Fleet) -> Iterator[Answers]:
    """It has a password, so it answers under every name of a host."""
    app = make_app(fleet, password="a password")
    app.state.login_throttle.begin = lambda *given: 0.0  # it would hide what comes after
    made = Answers(app)
    yield made
    made.loop.close()
    app.state.queries.index.stop()


def some(about: str) -> list[bytes]:
    """The worst values, a handful of the others by chance, and two that chance has made of their pieces."""
    chance = random.Random(about)
    return ODD[:4] + chance.sample(ODD[4:], 8) + [b"".join(chance.choices(ODD[:-12], k=3)) for _ in range(2)]


@pytest.mark.parametrize("name", HEADERS)
def test_an_odd_header_is_no_error(answers: Answers, name: str) -> None:
    for value in some(name):
        for method, path in (("GET", "/nothing"), ("POST", "/login")):
            assert answers.status(method, path, headers={name: value}) < 500, (method, path, value[:60])


def test_an_odd_accept_header_is_no_error_where_figures_are_shown(answers: Answers) -> None:
    for value in some("accept"):
        assert answers.status("GET", "/metrics", headers={"accept": value}) < 500, value[:60]


@pytest.mark.parametrize("name", COOKIES)
def test_an_odd_cookie_is_no_error(answers: Answers, name: str) -> None:
    for value in some(name):
        assert answers.status("GET", "/queues", headers={"cookie": f"{name}=".encode() + value}) < 500, value[:60]


@pytest.mark.parametrize("path", PAGES)
def test_odd_parameters_are_no_error(answers: Answers, path: str) -> None:
    chance = random.Random(path)
    for value in some(path):  # all of them, for one that is refused hides the others, and one that is left to chance
        for names in (PARAMETERS, chance.sample(PARAMETERS, 1)):
            query = b"&".join(name.encode() + b"=" + quote_from_bytes(value).encode() for name in names)
            assert answers.status("GET", path, query) < 500, (names, value[:60])


@pytest.mark.parametrize("name", ["since", "text", "tag", "task", "before", "n", "open", "span"])
def test_an_odd_parameter_by_itself_is_no_error(answers: Answers, name: str) -> None:
    for value in ODD:
        query = b"done=retry&" + name.encode() + b"=" + quote_from_bytes(value).encode()
        assert answers.status("GET", "/runs", query) < 500, value[:60]


@pytest.mark.parametrize("path", ["/runs/{}", "/flows/{}", "/static/{}", "/api/task_runs/{}", "/{}"])
def test_an_odd_path_is_no_error(answers: Answers, path: str) -> None:
    for value in some(path):
        for text in (value.decode("utf-8", "replace"), value.decode("utf-8", "surrogateescape")):
            assert answers.status("GET", path.format(text)) < 500, value[:60]


@pytest.mark.parametrize("path", FORMS)
def test_an_odd_form_is_no_error(answers: Answers, path: str) -> None:
    kinds = (b"application/x-www-form-urlencoded", b"multipart/form-data; boundary=x", b"application/json")
    for value in some(path):
        text = quote_from_bytes(value).encode()
        names = ("secret", "next", "what", "scope", "as_of", *PARAMETERS)
        fields = [name.encode() + b"=" + text for name in names]
        for body in (value, b"&".join([*fields, CSRF_FIELD.encode() + b"=" + text])):
            for kind in kinds[: 3 if path == "/login" else 1]:
                assert answers.status("POST", path, b"", {"content-type": kind}, body) < 500, (kind, value[:60])


def test_a_tag_that_is_asked_for_a_thousand_times_is_one(answers: Answers) -> None:
    assert answers.status("GET", "/runs", b"&".join([b"tag=red"] * 2_000)) == 200
