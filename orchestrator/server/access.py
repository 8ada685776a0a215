"""What a person is let do: each endpoint and page names the role that it needs, and whether it heeds scopes."""

from __future__ import annotations

from starlette.requests import Request

from orchestrator.people.rights import NotAllowed, Person
from orchestrator.people.roles import Role
from orchestrator.server.queries import Queries


def person_of(request: Request) -> Person | None:
    """Whoever sends this; ``None`` where nobody has logged in."""
    person: Person | None = getattr(request.state, "person", None)
    return person


def queries_for(request: Request, needs: Role | None, *, in_part: bool) -> Queries:
    """The queries of this app, for what this person may see and change with such a role.

    Args:
        request: a request that the guard let through.
        needs: the role that it takes; ``None``: everybody may.
        in_part: whether what is asked heeds scopes; if not, the role has to be over everything.

    Raises:
        NotAllowed: they have not that role, or over a part only.
    """
    queries: Queries = request.app.state.queries
    if needs is None:
        return queries
    person = person_of(request)
    if person is None:
        raise NotAllowed(f"{needs} is needed for this, and nobody has logged in")
    if not person.may(needs, in_part=in_part):
        raise NotAllowed(person.why_not(needs, in_part=in_part))
    if person.has_all(needs):
        return queries.of_person(person, None)
    return queries.of_person(person, tuple(scope for scope in person.scopes(needs) if scope is not None))
