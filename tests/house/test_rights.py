"""Nothing of the server is without a role that it needs: what is forgotten would be for everybody, or for nobody."""

from __future__ import annotations

from starlette.routing import Mount, Route

from orchestrator.people.roles import Role
from orchestrator.server import pages
from orchestrator.server.api import ENDPOINTS
from orchestrator.server.guard import PUBLIC_PATHS
from orchestrator.server.pages.permitted import Access

READS = ("filter", "count", "paginate", "firings", "get_scheduled_flow_runs", "/filter/next")


def test_every_endpoint_names_a_role_and_what_changes_is_not_for_viewers() -> None:
    for row in ENDPOINTS:
        assert isinstance(row.needs, Role), row.path
        assert (row.needs > Role.VIEWER) is row.changes, f"{row.method} {row.path}"
        if row.everybody:
            assert f"/api{row.path}" in PUBLIC_PATHS, row.path
        if row.method in ("PUT", "PATCH", "DELETE"):
            assert row.changes, row.path
        elif row.method == "POST" and not row.changes:
            assert row.path.endswith(READS), f"POST {row.path} is for viewers and does not sound so"
        if row.method == "DELETE" and "/input/" not in row.path:  # a run takes its inputs away when it has read them
            assert row.needs >= Role.EDITOR, row.path


def test_every_page_names_a_role_and_what_changes_is_not_for_viewers() -> None:
    for route in pages.routes:
        if isinstance(route, Mount):
            assert route.path == "/static"
            continue
        assert isinstance(route, Route)
        access: Access = route.endpoint.access  # type: ignore[attr-defined]
        if access.needs is None:
            assert route.path in (*PUBLIC_PATHS, "/me", "/me/{what}"), "these look themselves who it is"
            continue
        roles = list(access.needs.values()) if isinstance(access.needs, dict) else [access.needs]
        if "POST" in (route.methods or set()):
            assert min(roles) > Role.VIEWER, route.path  # type: ignore[type-var]
