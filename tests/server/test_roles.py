"""Every role at every endpoint and page, generated from the tables that the server is made of."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount, Route

from orchestrator.client.fleet import Fleet
from orchestrator.people.roles import Role
from orchestrator.server import pages
from orchestrator.server.api import ENDPOINTS
from orchestrator.server.api.endpoint import Endpoint
from orchestrator.server.pages.permitted import Access
from tests.server.people import app_client, key_for, running

PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")
ROLES: list[Role | None] = [None, *Role]


@pytest.fixture
def app(own_fleet: Fleet) -> Iterator[Starlette]:
    with running(own_fleet) as made:
        yield made


def path_of(endpoint: Endpoint) -> str:
    return PARAMETER.sub("6ba7b810-9dad-41d1-80b4-00c04fd430c8", endpoint.path)


@pytest.mark.parametrize("role", ROLES, ids=str)
def test_each_endpoint_is_for_those_whom_its_row_names(app: Starlette, own_fleet: Fleet, role: Role | None) -> None:
    wrong: list[str] = []
    with app_client(app, key_for(own_fleet, "ann", role)) as client:
        for row in ENDPOINTS:
            body = b"{}" if row.method in ("POST", "PATCH", "PUT") else b""
            answer = client.request(row.method, f"/api{path_of(row)}", content=body)
            allowed = row.everybody or (role is not None and role >= row.needs)
            if (answer.status_code == 403) is allowed or answer.status_code == 401:
                wrong.append(f"{row.method} {row.path} needs {row.needs}: {answer.status_code} {answer.text[:100]}")
            if not allowed and f"{row.needs} is needed for this" not in answer.text:
                wrong.append(f"{row.method} {row.path} does not say what it needs: {answer.text[:100]}")
    assert not wrong, "\n".join(wrong)


def pages_of(routes: list[BaseRoute]) -> Iterator[tuple[str, str, Access, dict[str, str]]]:
    """Method, path, access and parameters of every page, one for each action of an address that has several."""
    for route in routes:
        if isinstance(route, Mount):
            continue
        assert isinstance(route, Route)
        access: Access = route.endpoint.access  # type: ignore[attr-defined]
        for method in sorted((route.methods or set()) - {"HEAD"}):
            actions = list(access.needs) if isinstance(access.needs, dict) else ["nothing"]
            for what in actions:
                parameters = {name: what if name == "what" else "x" for name in PARAMETER.findall(route.path)}
                path = PARAMETER.sub("x", route.path.replace("{what}", what))
                yield method, path, access, parameters


@pytest.mark.parametrize("role", ROLES, ids=str)
def test_each_page_is_for_those_whom_its_row_names(app: Starlette, own_fleet: Fleet, role: Role | None) -> None:
    wrong: list[str] = []
    with app_client(app, key_for(own_fleet, "ann", role)) as client:
        for method, path, access, parameters in pages_of(pages.routes):
            needs = access.role(parameters)
            allowed = needs is None or (role is not None and role >= needs)
            answer = client.request(method, path)
            if (answer.status_code == 403) is allowed:
                wrong.append(f"{method} {path} needs {needs}: {answer.status_code}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", ["/api/openapi.json", "/api/docs", "/metrics"])
def test_what_is_beside_the_tables_is_for_viewers(app: Starlette, own_fleet: Fleet, path: str) -> None:
    with app_client(app, key_for(own_fleet, "nobody", None), "") as client:
        assert client.get(path).status_code == 403
    with app_client(app, key_for(own_fleet, "ann", Role.VIEWER), "") as client:
        assert client.get(path).status_code == 200


def test_whoever_may_delete_is_asked_again_where_many_are_chosen(app: Starlette, own_fleet: Fleet) -> None:
    with app_client(app, key_for(own_fleet, "bob", Role.RUNNER), "") as client:
        assert client.post("/runs/act", data={"what": "cancel", "run_id": "x"}).status_code == 303
        assert client.post("/runs/act", data={"what": "delete", "run_id": "x"}).status_code == 403
        assert client.get("/runs/confirm?selected=delete&run_id=x").status_code == 403
