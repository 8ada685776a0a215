"""What is inside and outside of a scope."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orchestrator import variables
from orchestrator.client.fleet import Fleet
from orchestrator.people.roles import Role
from orchestrator.work_pools.editing import create_pool
from tests.server.people import app_client, key_for, key_in_team, running
from tests.server.scopes.shop import ADMIN, ETL, ETL_EDITOR, SCOPE, Shop, etl
from tests.support.apps import deployed_flows


@pytest.fixture
def shop(own_fleet: Fleet) -> Iterator[Shop]:
    etl.to_deployment("one", cron="0 6 * * *").apply(_sync=True)
    deployed_flows.tracker.to_deployment("nightly", cron="0 9 * * *").apply(_sync=True)
    deployed_flows.tracker.to_deployment("tagged", tags=["team-data"]).apply(_sync=True)
    create_pool(own_fleet, "blue-1", "process")
    create_pool(own_fleet, "red", "process")
    variables.write(own_fleet, "seen", 1, ["team-data"])
    variables.write(own_fleet, "unseen", 2, ["other"])
    keys = {
        ADMIN: key_for(own_fleet, "ann", Role.ADMIN),
        ETL: key_in_team(own_fleet, "bob", Role.RUNNER, SCOPE),
        ETL_EDITOR: key_in_team(own_fleet, "eve", Role.EDITOR, SCOPE),
    }
    with running(own_fleet) as app:
        clients = {name: app_client(app, key) for name, key in keys.items()}
        yield Shop(own_fleet, clients)
        for client in clients.values():
            client.close()
