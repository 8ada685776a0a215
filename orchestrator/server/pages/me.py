"""Who somebody is here, what they may, and their own password, keys and sessions."""

from __future__ import annotations

import math
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from brokers.errors import BrokerConflict
from orchestrator.errors import ConfigurationError
from orchestrator.people.record import User
from orchestrator.people.rights import NotAllowed, Person
from orchestrator.server.access import person_of
from orchestrator.server.pages.people import ROLES, create_key
from orchestrator.server.pages.rendering import Form, action, done, missing, queries_of, render, screen
from orchestrator.server.throttle import LoginThrottle

SCREEN: Final = "/me"


def me_page(request: Request, wrong: str = "") -> Response:
    """Name, roles and scopes; of a user also keys and sessions."""
    person, people = _person(request), queries_of(request).people
    user = people.user_by_id(person.user_id) if person.user_id is not None else None
    return render(
        request,
        "me.html",
        status=422 if wrong else 200,
        screen=SCREEN,
        me=person,
        user=user,
        keys=people.keys_of(user) if user is not None else [],
        sessions=people.sessions_of(user) if user is not None else [],
        roles=[role for role in ROLES if person.role is not None and role in ROLES[: person.role]],
        wrong=wrong,
    )


def act_on_me(request: Request, form: Form) -> Response:
    """Another password, a key, or the end of one."""
    person, people, what = _person(request), queries_of(request).people, request.path_params["what"]
    user = people.user_by_id(person.user_id)
    try:
        if what == "create-key":
            _must_have_logged_in(person)
            return create_key(request, form, user.name, SCREEN)
        if what == "revoke-key":
            if person.session_id is None and form.get("key") != person.key_id:
                raise NotAllowed("a key revokes itself only, and no other one: log in with name and password")
            people.revoke_key(form.get("key", ""), user)
            return done(request, SCREEN, what)
        if what == "set-password":
            _must_have_logged_in(person)
            _must_not_guess(request, user)
            if not people.check_password(user, form.get("old", "")):
                raise ValueError("that is not your password as it is now")
            people.set_password(user, form.get("password", ""))
            return done(request, SCREEN, what)
    except (ValueError, ConfigurationError, BrokerConflict) as error:
        return me_page(request, str(error))
    return missing(request, f"An action {what!r}", "Choose one of the buttons of your page.")


def _person(request: Request) -> Person:
    person = person_of(request)
    if person is None:
        raise NotAllowed("nobody has logged in")
    return person


def _must_not_guess(request: Request, user: User) -> None:
    throttle: LoginThrottle = request.app.state.login_throttle
    if (wait := throttle.begin_change(user.id)) > 0:
        raise ValueError(f"the password was given too often: try again in {math.ceil(wait)} s; nothing was changed")


def _must_have_logged_in(person: Person) -> None:
    if person.session_id is None:
        raise NotAllowed("a key makes no other keys and changes no password: log in with name and password")


ROUTES: Final = [
    Route("/me", screen(me_page, None)),
    Route("/me/{what}", action(act_on_me, None), methods=["POST"]),
]
