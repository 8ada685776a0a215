"""People: users, teams, keys and sessions, for admins. Usable without scripts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from brokers.errors import BrokerConflict
from orchestrator.errors import ConfigurationError, ObjectNotFound
from orchestrator.people.record import Team
from orchestrator.people.rights import NotAllowed
from orchestrator.people.roles import ADMIN, Role, role_named
from orchestrator.people.scope import Scope, patterns_of
from orchestrator.server.access import person_of
from orchestrator.server.pages.controls import confirm
from orchestrator.server.pages.rendering import Form, action, done, missing, queries_of, query_value, render, screen
from orchestrator.server.queries.people import PeopleQueries

SCREEN: Final = "/people"
ROLES: Final = tuple(str(role) for role in Role)
_KEPT: Final = ("name", "role", "team", "deployments", "pools", "tags", "key", "user", "days")


def people_page(request: Request, wrong: str = "", texts: dict[str, str] | None = None) -> Response:
    """Everybody, with forms; with what was wrong with one of them."""
    return render(
        request,
        "people.html",
        status=422 if wrong else 200,
        screen=SCREEN,
        everybody=queries_of(request).people.everybody(),
        roles=ROLES,
        wrong=wrong,
        texts=texts or {},
    )


def team_page(request: Request, wrong: str = "", texts: dict[str, str] | None = None) -> Response:
    """The form of one team."""
    team = queries_of(request).people.team(query_value(request, "name") or (texts or {}).get("team", ""))
    scope = team.scope or Scope()
    shown = {
        "role": str(team.role or ""),
        "deployments": ", ".join(scope.deployments),
        "pools": ", ".join(scope.pools),
        "tags": ", ".join(scope.tags),
        **(texts or {}),
    }
    return render(
        request,
        "team.html",
        status=422 if wrong else 200,
        screen=SCREEN,
        team=team,
        is_everything=team.scope is None,
        roles=ROLES,
        wrong=wrong,
        texts=shown,
    )


def delete_user_page(request: Request) -> Response:
    """What would be deleted, before it is done."""
    user = queries_of(request).people.user(query_value(request, "name") or "")
    return confirm(
        request,
        screen=SCREEN,
        heading=f"Delete user {user.name}",
        text="Sessions end at once, and programs with keys of this user are refused at their next request. What the "
        "user has made stays.",
        to="/people/delete-user",
        fields={"name": user.name},
        verb="Delete the user",
        back=SCREEN,
    )


def delete_team_page(request: Request) -> Response:
    """What would be deleted, before it is done."""
    team = queries_of(request).people.team(query_value(request, "name") or "")
    return confirm(
        request,
        screen=SCREEN,
        heading=f"Delete team {team.name}",
        text="Its members lose what the team gave them; the users stay.",
        to="/people/delete-team",
        fields={"team": team.name},
        verb="Delete the team",
        back=SCREEN,
    )


def act_on_people(request: Request, form: Form) -> Response:
    """Whatever a form of these pages asks for."""
    people, what = queries_of(request).people, request.path_params["what"]
    if what in _NOT_BY_A_KEY:
        must_not_be_a_key(request)
    if what == "create-key":
        return _or_again(request, form, lambda: create_key(request, form, form.get("user", ""), SCREEN))
    act = _ACTS.get(what)
    if act is None:
        return missing(request, f"An action {what!r}", "Choose one of the buttons of the people page.")

    def acted() -> Response:
        act(people, form)
        return done(request, SCREEN, what)

    return _or_again(request, form, acted, team_page if what == "change-team" else people_page)


def must_not_be_a_key(request: Request) -> None:
    """Raises NotAllowed: what a key makes would outlive it, and so whoever has stolen it would stay."""
    person = person_of(request)
    if person is not None and person.key_id is not None:
        raise NotAllowed(
            "a key makes no other keys, adds nobody and changes no password: log in with name and password"
        )


def _or_again(
    request: Request, form: Form, act: Callable[[], Response], page: Callable[..., Response] = people_page
) -> Response:
    """What an action comes to, or the form again with what was wrong."""
    try:
        return act()
    except (ObjectNotFound, ConfigurationError, BrokerConflict) as error:
        if isinstance(error, ObjectNotFound):
            raise
        return page(request, str(error), {name: form.get(name, "") for name in _KEPT})
    except ValueError as error:
        return page(request, str(error), {name: form.get(name, "") for name in _KEPT})


def create_key(request: Request, form: Form, user: str, back: str) -> Response:
    """A new key, on a page that shows it this once. Raises ValueError."""
    people = queries_of(request).people
    made = people.create_key(
        people.user(user), form.get("key", "").strip(), _days(form.get("days", "")), role_of(form.get("role", ""))
    )
    return render(request, "key.html", status=201, screen=back, back=back, made=made, user=user)


def _days(text: str) -> float | None:
    if not text.strip():
        return None
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text[:20]!r} is no number of days") from None


def role_of(text: str) -> Role | None:
    """The role that was chosen, if one was. Raises ValueError."""
    return role_named(text) if text.strip() else None


def _scope_of(form: Form) -> Scope | None:
    if form.get("everything"):
        return None
    parts = [patterns_of(part for part in form.get(name, "").split(",") if part.strip()) for name in _KEPT[3:6]]
    if not any(parts):
        raise ValueError("say what the team sees: patterns, or everything")
    return Scope(*parts)


def _add_user(people: PeopleQueries, form: Form) -> None:
    people.add(form.get("name", ""), form.get("password") or None, role_of(form.get("role", "")))


def _change_team(people: PeopleQueries, form: Form) -> None:
    team: Team = people.team(form.get("team", ""))
    if form.get("generation", "") != str(team.generation):
        raise ValueError("somebody else has changed the team meanwhile: look at it again, and save again")
    people.change_team(team, role_named(form.get("role", "")), _scope_of(form))


_NOT_BY_A_KEY: Final = frozenset(("create-key", "set-password", "add-user"))
_ACTS: Final[dict[str, Callable[[PeopleQueries, Form], Any]]] = {
    "add-user": _add_user,
    "set-role": lambda people, form: people.set_role(people.user(form.get("name", "")), role_of(form.get("role", ""))),
    "set-password": lambda people, form: people.set_password(
        people.user(form.get("name", "")), form.get("password", "")
    ),
    "delete-user": lambda people, form: people.delete(people.user(form.get("name", ""))),
    "create-team": lambda people, form: people.create_team(
        form.get("team", "").strip(), role_named(form.get("role", "")), _scope_of(form)
    ),
    "change-team": _change_team,
    "delete-team": lambda people, form: people.delete_team(people.team(form.get("team", ""))),
    "join": lambda people, form: people.join(people.team(form.get("team", "")), people.user(form.get("name", ""))),
    "leave": lambda people, form: people.leave(people.team(form.get("team", "")), people.user(form.get("name", ""))),
    "revoke-key": lambda people, form: people.revoke_key(form.get("key", "")),
    "end-session": lambda people, form: people.end_session(form.get("session", "")),
}


ROUTES: Final = [
    Route("/people", screen(people_page, ADMIN)),
    Route("/people/team", screen(team_page, ADMIN), methods=["GET"]),
    Route("/people/delete-user", screen(delete_user_page, ADMIN), methods=["GET"]),
    Route("/people/delete-team", screen(delete_team_page, ADMIN), methods=["GET"]),
    Route("/people/{what}", action(act_on_people, ADMIN), methods=["POST"]),
]
