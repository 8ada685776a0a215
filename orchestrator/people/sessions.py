"""Sessions of browsers: in the store, so that they survive a restart of the server and can be ended."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from typing import Final, NamedTuple

from brokers.base import Broker
from orchestrator.people.record import SESSION, Session, User, session_of
from orchestrator.people.users import MAX_LISTED

SESSION_SECONDS: Final = 12 * 3600
SEEN_SECONDS: Final = 60.0
PRUNED_AT_ONCE: Final = 50
_COOKIE: Final = re.compile(r"s\.([0-9a-f]{16})\.([A-Za-z0-9_-]{43})")


class NewSession(NamedTuple):
    """A session, and the cookie by which its browser is known."""

    session: Session
    cookie: str


def begin_session(broker: Broker, user: User | None, address: str, own_secret: str = "") -> NewSession:
    """A session of somebody who has just logged in.

    Args:
        broker: of the fleet.
        user: who; ``None``: whoever knew the server's own password or token.
        address: from where.
        own_secret: that password and token, of which the session ends when one of them changes.
    """
    prune_sessions(broker)
    session_id, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
    password_id = user.password_id.encode() if user is not None else own_digest(secret, own_secret)
    made = Session(
        session_id,
        _digest(secret),
        user.id if user is not None else "",
        password_id,
        address[:100],
        time.time() + SESSION_SECONDS,
    )
    broker.documents.write(SESSION, session_id, {"d": made.document()}, only_new=True)
    return NewSession(made, f"s.{session_id}.{secret}")


def session_in(broker: Broker, cookie: str) -> tuple[Session, str] | None:
    """The session of a cookie, and its secret; ``None``: it is none of ours, has ended, or is over."""
    written = _COOKIE.fullmatch(cookie)
    if written is None:
        return None
    session = session_of(broker.documents.read(SESSION, [written[1]])[0])
    if session is None or not hmac.compare_digest(_digest(written[2]), session.digest):
        return None
    if session.ends_at <= time.time():
        return None
    if time.time() - max(session.used_ms, session.created_ms) / 1000 > SEEN_SECONDS:
        broker.documents.touch(SESSION, [session.id], "seen")
    return session, written[2]


def own_digest(cookie_secret: str, own_secret: str) -> bytes:
    """What a session of the server's own password keeps of it: nobody guesses it from that without the cookie."""
    return hmac.new(cookie_secret.encode(), own_secret.encode(errors="replace"), hashlib.sha256).digest()


def all_sessions(broker: Broker) -> list[Session]:
    """Those that go on, the newest first."""
    _, ids = broker.documents.newest(SESSION, 0, MAX_LISTED)
    found = [session_of(document) for document in broker.documents.read(SESSION, ids)] if ids else []
    return [session for session in found if session is not None and session.ends_at > time.time()]


def end_session(broker: Broker, session_id: str) -> bool:
    """End one before its time: its cookie means nothing from now on; whether there was one."""
    return broker.documents.delete(SESSION, [session_id]) > 0


def prune_sessions(broker: Broker) -> int:
    """Forget the oldest that are over; how many."""
    total, _ = broker.documents.newest(SESSION, 0, 1)
    _, ids = broker.documents.newest(SESSION, max(0, total - PRUNED_AT_ONCE), PRUNED_AT_ONCE)
    found = [session_of(document) for document in broker.documents.read(SESSION, ids)] if ids else []
    over = [session.id for session in found if session is not None and session.ends_at <= time.time()]
    return broker.documents.delete(SESSION, over) if over else 0


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
