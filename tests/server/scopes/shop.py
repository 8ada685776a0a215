"""A fleet with things inside and outside of a team's scope, and clients that see all or a part of it."""

from __future__ import annotations

from typing import Any

from starlette.testclient import TestClient

from orchestrator.client.fleet import Fleet
from orchestrator.flows import flow
from orchestrator.people import api_keys, teams
from orchestrator.people.roles import Role
from orchestrator.people.scope import Scope
from tests.server.conftest import caught_up
from tests.server.people import app_client, somebody


@flow(name="etl-hourly")
def etl(city: str = "Oslo") -> None:
    """In the scope."""


SCOPE = Scope(("etl*/*",), ("blue*",), ("team-data",))
ADMIN, ETL, ETL_EDITOR = "admin", "etl", "etl-editor"


class Shop:
    """A fleet with a thing of each kind inside and outside of the scope, and clients that see all or a part."""

    def __init__(self, fleet: Fleet, clients: dict[str, TestClient]) -> None:
        self.fleet, self.clients = fleet, clients

    def ask(self, who: str, method: str, path: str, body: Any = None) -> Any:
        answer = self.clients[who].request(method, path, json=body if method != "GET" else None)
        assert answer.status_code < 300, (who, method, path, answer.status_code, answer.text)
        return answer.json() if answer.content else None

    def status(self, who: str, method: str, path: str, body: Any = None) -> int:
        return self.clients[who].request(method, path, json=body if method != "GET" else None).status_code

    def deployment(self, name: str) -> str:
        found: str = self.ask(ADMIN, "GET", f"/api/deployments/name/{name}")["id"]
        return found


def runs_of(shop: Shop) -> tuple[str, str]:
    """A run inside and one outside, which the index knows."""
    inside, outside = (
        shop.ask(ADMIN, "POST", f"/api/deployments/{shop.deployment(name)}/create_flow_run", {})["id"]
        for name in ("etl-hourly/one", "tracker/nightly")
    )
    caught_up(shop.clients[ADMIN].app.state.queries.index)  # type: ignore[attr-defined]
    return inside, outside


def names(found: list[dict[str, Any]]) -> list[str]:
    return sorted(one["name"] for one in found)


def app_client_of_two_roles(shop: Shop) -> TestClient:
    """Somebody who is a runner of everything, and an editor of the scope only."""
    broker, user = shop.fleet.broker, somebody(shop.fleet, "joe", Role.RUNNER)
    teams.add_member(broker, teams.create_team(broker, "joes", Role.EDITOR, SCOPE), user)
    key = api_keys.create_key(broker, user, "of the tests").text
    client = shop.clients["both"] = app_client(shop.clients[ADMIN].app, key)  # type: ignore[arg-type]
    return client
