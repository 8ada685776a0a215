"""Who gets a page, and so which buttons and links are shown: the same table says both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.routing import BaseRoute, Route

from orchestrator.people.roles import Role
from orchestrator.server.access import person_of


class Access(NamedTuple):
    """Who gets a page.

    Attributes:
        needs: the role that it takes, by the action where an address has several; ``None``: everybody, or it asks.
        in_part: whether it heeds scopes: others are for those who have the role over everything.
    """

    needs: Role | Mapping[str, Role] | None
    in_part: bool

    def role(self, path_params: Mapping[str, Any]) -> Role | None:
        """The role that it takes; of an action that there is not, the highest of those that there are."""
        if isinstance(self.needs, Mapping):
            return self.needs.get(str(path_params.get("what")), max(self.needs.values()))
        return self.needs

    def lowest(self) -> Role | None:
        """The lowest role that can do anything there."""
        return min(self.needs.values()) if isinstance(self.needs, Mapping) else self.needs


def access_of(route: BaseRoute) -> Access | None:
    """Who gets the pages of a route; ``None``: it is none of pages."""
    access: Access | None = getattr(getattr(route, "endpoint", None), "access", None)
    return access


def may_do(request: Request, method: str, path: str) -> bool:
    """Whether this person may ask for a page or send a form: what would be refused has no button."""
    for route in _routes(request):
        access = access_of(route)
        found = route.path_regex.match(path.partition("?")[0])
        if access is not None and found and method in (route.methods or ()):
            return _may(request, access.role(found.groupdict()), access.in_part)
    return False


def may_change(request: Request, screen: str) -> bool:
    """Whether this person may do anything on a screen; true where there is nothing to do."""
    changes = [
        access
        for route in _routes(request)
        if "POST" in (route.methods or ()) and f"{route.path}/".startswith(f"{screen}/")
        if (access := access_of(route)) is not None
    ]
    return screen in ("", "/") or not changes or any(_may(request, one.lowest(), one.in_part) for one in changes)


def _routes(request: Request) -> Iterable[Route]:
    return (route for route in request.app.routes if isinstance(route, Route))


def _may(request: Request, needs: Role | None, in_part: bool) -> bool:
    person = person_of(request)
    return needs is None or (person is not None and person.may(needs, in_part=in_part))
