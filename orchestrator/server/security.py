"""Who may ask, and under which name: in front of everything else.

Without a token and a password the app is open, and then to this machine only: the address must be a loopback one, the
``Host`` header must name this machine (a web page that had its name point here, "DNS rebinding", is refused), and no
proxy may stand in between. With one of them, or once somebody was added (:mod:`orchestrator.people`), programs send the
token or a key with each request, and people log in. What changes something must prove that our own page sent it, unless
it carries one of these.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import time
from collections.abc import Sequence
from typing import Final, NamedTuple
from urllib.parse import parse_qs, urlsplit

COOKIE: Final = "orchestrator_session"
CSRF_HEADER: Final = "x-csrf-token"
CSRF_FIELD: Final = "csrf_token"
SESSION_SECONDS: Final = 12 * 3600
HOSTS_OF_THIS_MACHINE: Final = frozenset(("localhost", "127.0.0.1", "::1"))
PROXY_HEADERS: Final = frozenset(("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip"))
HEADERS: Final = {
    "content-security-policy": "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
"""On every answer: nothing from elsewhere, no inline script or style, not inside another site's frame."""


class Session(NamedTuple):
    """What a cookie proves; ``nonce``: a text that only this browser has, or that only we can sign."""

    signed_in: bool
    ends_at: int  # unix seconds
    nonce: str


class Security:
    """Decides who may see and do what.

    Args:
        token: for programs.
        password: for people.
        read_only: whether pages should offer no actions.
        allow_open: whether it answers to anybody when there is neither.
        allowed_hosts: further names of this machine.
    """

    def __init__(
        self,
        *,
        token: str | None = None,
        password: str | None = None,
        read_only: bool = False,
        allow_open: bool = False,
        allowed_hosts: Sequence[str] = (),
    ) -> None:
        self._token, self._password = token or None, password or None
        self.read_only = read_only
        self._allow_open = allow_open
        self._hosts = HOSTS_OF_THIS_MACHINE | {host.lower() for host in allowed_hosts}
        self._key = secrets.token_bytes(32)  # forms that nobody has logged in for end with the process

    def __repr__(self) -> str:
        return f"<Security {'open' if self.is_open else 'closed'}>"

    @property
    def is_open(self) -> bool:
        """Whether there is neither token nor password, so that people of the store decide."""
        return self._token is None and self._password is None

    def untrusted_host(self, client: str | None, host: str, header_names: Sequence[str]) -> str | None:
        """Why an open server refuses a request before it is looked at, ``None`` if it does not.

        Args:
            client: address that it came from; ``None`` for a unix socket.
            host: its ``Host`` header.
            header_names: in lower case.
        """
        if not self.is_open or self._allow_open:
            return None
        if client is not None and not is_loopback(client):
            return "this server has no token and no password, so it answers to its own machine only"
        if host_name(host) not in self._hosts:
            return "this server has no token and no password, so it answers under the names of its own machine only"
        if PROXY_HEADERS.intersection(header_names):
            return "this server has no token and no password, so it does not answer through a proxy"
        return None

    def is_token(self, given: str) -> bool:
        """Whether this is the token."""
        return self._token is not None and _same(given, self._token)

    def is_login(self, given: str) -> bool:
        """Whether this is the password, or the token. Takes as long whichever it is."""
        by_password = self._password is not None and _same(given, self._password)
        return self.is_token(given) or by_password

    @property
    def own_secret(self) -> str:
        """Both of them, of which sessions of the server's own password end when one changes."""
        return f"{self._token or ''}\0{self._password or ''}"

    # -- sessions ------------------------------------------------------------------------------------------------

    def new_session(self) -> Session:
        """A session of nobody: it is only good for proving that a form is ours, until the server is started again."""
        return Session(False, int(time.time()) + SESSION_SECONDS, secrets.token_urlsafe(18))

    def cookie_of(self, session: Session) -> str:
        """The cookie's value: readable, and signed."""
        text = f"a.{session.ends_at}.{session.nonce}"
        return f"{text}.{self._sign('session', text)}"

    def session_of(self, cookie: str | None) -> Session | None:
        """The session of nobody that a cookie's value is; ``None`` if it is not one of ours, or over."""
        text, dot, signature = (cookie or "").rpartition(".")
        if not dot or not _same(signature, self._sign("session", text)):
            return None
        _, ends_at, nonce = text.split(".", 2)
        session = Session(False, int(ends_at), nonce)
        return session if session.ends_at > time.time() else None

    def csrf_token(self, session: Session) -> str:
        """What a form of this session sends back. That of somebody who has logged in outlives this process."""
        if session.signed_in:
            return hmac.new(session.nonce.encode(), b"csrf", hashlib.sha256).hexdigest()
        return self._sign("csrf", session.nonce)

    def is_csrf_token(self, session: Session | None, given: str) -> bool:
        """Whether a form of this session sent that."""
        return session is not None and _same(given, self.csrf_token(session))

    def _sign(self, purpose: str, text: str) -> str:
        return hmac.new(self._key, f"{purpose}:{text}".encode(), hashlib.sha256).hexdigest()


def _same(given: str, wanted: str) -> bool:
    """Compared in constant time, whatever the lengths."""
    return hmac.compare_digest(_digest(given), _digest(wanted))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="replace")).digest()


def is_loopback(address: str) -> bool:
    """Whether an address is one of this machine's own.

    >>> is_loopback("127.0.0.1"), is_loopback("::ffff:127.0.0.1"), is_loopback("10.0.0.8"), is_loopback("localhost")
    (True, True, False, True)
    """
    try:
        parsed = ipaddress.ip_address(address.strip("[]"))
    except ValueError:
        return address.lower() == "localhost"
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_loopback


def host_name(header: str) -> str:
    """The name in a ``Host`` header.

    >>> host_name("Localhost:4200"), host_name("[::1]:4200"), host_name("")
    ('localhost', '::1', '')
    """
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""


def is_cross_site(origin: str | None, fetch_site: str | None, host: str) -> bool:
    """Whether a browser says that another site's page made it send this.

    >>> is_cross_site("http://localhost:4200", None, "localhost:4200"), is_cross_site("null", None, "localhost:4200")
    (False, True)
    >>> is_cross_site("http://[", None, "localhost:4200")
    True
    """
    if fetch_site in ("cross-site", "same-site"):
        return True
    if origin is None:
        return False
    try:
        return urlsplit(origin).netloc.lower() != host.lower()
    except ValueError:  # no browser sends such an origin
        return True


def token_in_form(body: bytes) -> str:
    """The token that a form sent along; empty if it did not."""
    try:
        fields = parse_qs(body.decode("ascii"), max_num_fields=10_000)
    except ValueError:
        return ""
    return fields.get(CSRF_FIELD, [""])[0]


def local_path(given: str) -> str:
    """A path on this server to go on to; anything else becomes the start page.

    >>> local_path("/runs?state=failed"), local_path("//evil.example/"), local_path("https://evil.example/")
    ('/runs?state=failed', '/', '/')
    """
    plain = given.startswith("/") and not given.startswith(("//", "/\\")) and given.isprintable()
    return given if plain else "/"
