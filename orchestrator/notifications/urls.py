"""URLs of webhooks: checked before they are used, and what may be shown of them. Their paths are passwords."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple
from urllib.parse import quote, unquote, urlencode, urlsplit

from orchestrator.errors import NotificationError
from orchestrator.observability.redaction import REDACTED

SHORTEST_SECRET: Final = 6  # shorter parts of a path ("api", "v2") are words, and would be masked all over a text
_KEPT: Final = "/?%:@!$&'()*+,;=~-._"  # what a path or query may hold as it is
_UNSAFE: Final = re.compile(r"[\x00-\x20\x7f]")


class Target(NamedTuple):
    """A URL taken to pieces: what a connection and a request need."""

    secure: bool
    host: str
    port: int
    path: str  # with its query
    user: str | None
    password: str | None

    @property
    def shown(self) -> str:
        """The part of the URL that is no secret: scheme, host and a port of its own."""
        scheme = "https" if self.secure else "http"
        host = f"[{self.host}]" if ":" in self.host else self.host
        own = self.port != (443 if self.secure else 80)
        return f"{scheme}://{host}:{self.port}" if own else f"{scheme}://{host}"


def target_of(url: str) -> Target:
    """The pieces of an http or https URL.

    Raises:
        NotificationError: it is none. The text does not repeat it.

    >>> target_of("https://hooks.slack.com/services/T0/B0/s3cr3t").shown
    'https://hooks.slack.com'
    """
    text = url.strip()
    if not text or _UNSAFE.search(text):
        raise NotificationError("the URL is empty or contains spaces or control characters")
    try:
        parts = urlsplit(text)
        port = parts.port
        host = parts.hostname
    except ValueError:
        raise NotificationError("the URL has a host or port that cannot be read") from None
    if parts.scheme not in ("http", "https"):
        raise NotificationError("the URL must begin with https:// or http://")
    if not host:
        raise NotificationError("the URL has no host")
    secure = parts.scheme == "https"
    path = quote(parts.path or "/", safe=_KEPT)
    query = "?" + quote(parts.query, safe=_KEPT) if parts.query else ""
    credentials = [None if part is None else unquote(part) for part in (parts.username, parts.password)]
    return Target(secure, _ascii(host), port or (443 if secure else 80), path + query, credentials[0], credentials[1])


def _ascii(host: str) -> str:
    """The name as DNS and headers have it: ``münchen.example`` becomes ``xn--mnchen-3ya.example``."""
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError:
        raise NotificationError("the URL has a host that is no name") from None


def with_query(url: str, parameters: Mapping[str, object]) -> str:
    """The URL with these parameters behind those that it has.

    >>> with_query("https://h/x?a=1", {"b": "c d"})
    'https://h/x?a=1&b=c+d'
    """
    if not parameters:
        return url
    pairs = urlencode({name: str(value) for name, value in parameters.items()})
    base = url.partition("#")[0]
    return f"{base}{'&' if '?' in base else '?'}{pairs}"


def secrets_in(target: Target) -> list[str]:
    """The parts of a URL that are not shown: its path, the longer segments of it, its query's values, its user."""
    segments = re.split(r"[/?&=]", target.path)
    found = [target.path, *segments, *(unquote(part) for part in segments), target.user or "", target.password or ""]
    return [part for part in found if len(part) >= SHORTEST_SECRET]


def masked(text: str, secrets: Iterable[str]) -> str:
    """The text with these secrets replaced, the longest first.

    >>> masked("no such hook: T0/s3cr3t", ["s3cr3t"])
    'no such hook: T0/••••••'
    """
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, REDACTED)
    return text
