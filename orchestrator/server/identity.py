"""Who sends a request: somebody with a key, a browser that has logged in, or anybody on an open server."""

from __future__ import annotations

import hmac
from typing import Final, NamedTuple

from brokers.base import Broker
from brokers.errors import BrokerError
from orchestrator.people.api_keys import key_in
from orchestrator.people.record import Session as KeptSession
from orchestrator.people.rights import EVERYTHING, Person, person_of
from orchestrator.people.sessions import NewSession, begin_session, end_session, own_digest, session_in
from orchestrator.people.users import check_log_in, has_users, user_by_id, user_name
from orchestrator.server.security import Security, Session

ANYBODY: Final = Person("anybody on this machine", EVERYTHING)
TOKEN: Final = Person("the server's token", EVERYTHING)
OWN: Final = "the server's password"


class Caller(NamedTuple):
    """The client behind a request.

    Attributes:
        person: ``None`` where nobody has logged in.
        by_token: it proves itself with each request, so no page of another site can have sent it.
        session: what a form of ours proves.
    """

    person: Person | None
    by_token: bool
    session: Session | None


class Identity:
    """Knows who sends a request. Its methods read the store, may be called from any thread, and raise ``BrokerError``.

    Args:
        broker: of the fleet.
        security: the server's own token and password.
        users: whether people of the store may come in.
    """

    def __init__(self, broker: Broker, security: Security, users: bool) -> None:
        self._broker, self._security, self._users = broker, security, users
        self._known_open: bool | None = None

    def is_open(self) -> bool:
        """Whether requests need no authentication: there is neither token nor password, and nobody was added.

        Once somebody was, this server stays closed until it is started again. While the store does not answer it is
        as it was. Raises BrokerError: it does not answer, and it is not known yet whether somebody was added.
        """
        if not self._security.is_open or self._known_open is False:
            return False
        try:
            self._known_open = not (self._users and has_users(self._broker))
        except BrokerError:
            if self._known_open is None:
                raise
        return self._known_open

    def asks_for_names(self) -> bool:
        """Whether somebody was added, who logs in with a name."""
        return self._users and has_users(self._broker)

    def caller(self, bearer: str, cookie: str | None) -> Caller:
        """Whoever has sent a bearer token or a cookie, each as it came."""
        session = self._security.session_of(cookie)
        if bearer and (person := self._by_bearer(bearer)) is not None:
            return Caller(person, True, session)
        found = self._by_cookie(cookie)
        if found is not None:
            return Caller(found[0], False, found[1])
        if not self.is_open():
            return Caller(None, False, session)
        return Caller(ANYBODY, False, session)

    def _by_bearer(self, bearer: str) -> Person | None:
        if self._security.is_token(bearer):
            return TOKEN
        key = key_in(self._broker, bearer) if self._users else None
        user = user_by_id(self._broker, key.user_id) if key is not None else None
        return person_of(self._broker, user, key) if user is not None and not user.trouble else None

    def _by_cookie(self, cookie: str | None) -> tuple[Person, Session] | None:
        found = session_in(self._broker, cookie) if cookie else None
        if found is None:
            return None
        kept, secret = found
        person = self._of_session(kept, secret)
        return (person, Session(True, int(kept.ends_at), secret)) if person is not None else None

    def _of_session(self, kept: KeptSession, secret: str) -> Person | None:
        if not kept.user_id:
            own = own_digest(secret, self._security.own_secret)
            is_own = not self._security.is_open and hmac.compare_digest(own, kept.password_id)
            return Person(OWN, EVERYTHING, session_id=kept.id) if is_own else None
        user = user_by_id(self._broker, kept.user_id) if self._users else None
        if user is None or user.trouble or not hmac.compare_digest(user.password_id.encode(), kept.password_id):
            return None
        return person_of(self._broker, user, session_id=kept.id)

    # -- logging in ----------------------------------------------------------------------------------------------

    def log_in(self, name: str, secret: str, address: str) -> NewSession | None:
        """A session for a user with a password, or, without a name, for the server's own password or token."""
        if not name:
            if not self._security.is_login(secret):
                return None
            return begin_session(self._broker, None, address, self._security.own_secret)
        user = check_log_in(self._broker, name, secret) if self._users else None
        return begin_session(self._broker, user, address) if user is not None else None

    def log_out(self, person: Person) -> None:
        """End the session of this browser."""
        if person.session_id is not None:
            end_session(self._broker, person.session_id)


def plain_name(given: str) -> str:
    """A name as it is counted: the same however it is written, and something where it cannot be a name."""
    try:
        return user_name(given.strip())
    except ValueError:
        return given.strip()[:200]
