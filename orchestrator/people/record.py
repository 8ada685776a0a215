"""People as the store keeps them. What is damaged there costs whom it describes their rights, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from brokers.facets.documents import Document
from brokers.stored import whole
from orchestrator.people.roles import Role, role_or_none
from orchestrator.people.scope import Scope
from orchestrator.serializers.documents import pack_document, unpack_document

USER: Final = "user"
TEAM: Final = "team"
KEY: Final = "api-key"
SESSION: Final = "session"
_SEEN: Final = "seen"  # field of a document: when a key or session was used last, by the store's clock


@dataclass(frozen=True, slots=True)
class User:
    """Somebody, or a program with a name. Moments are milliseconds by the store's clock.

    Attributes:
        role: over everything; ``None``: only what teams give.
        password: what is kept of it; ``None``: no log-in, keys only.
        password_id: another one with each password; sessions end when it changes.
        teams: ids.
        trouble: why it cannot be read here: such a user may do nothing.
    """

    id: str
    name: str
    role: Role | None = None
    password: Mapping[str, Any] | None = field(default=None, repr=False)
    password_id: str = ""
    teams: tuple[str, ...] = ()
    created_ms: int = 0
    generation: int = 0
    trouble: str = ""

    def document(self) -> bytes:
        """What its document holds."""
        return pack_document(
            USER,
            self.id,
            {
                "name": self.name,
                "role": str(self.role) if self.role is not None else None,
                "password": dict(self.password) if self.password is not None else None,
                "password_id": self.password_id,
                "teams": list(self.teams),
                "created": self.created_ms,
            },
        )


@dataclass(frozen=True, slots=True)
class Team:
    """Several users who have a role over a part of everything; ``scope`` is ``None`` where it is everything."""

    id: str
    name: str
    role: Role | None
    scope: Scope | None
    generation: int = 0
    trouble: str = ""

    def document(self) -> bytes:
        """What its document holds."""
        scope = self.scope
        parts = None if scope is None else [list(scope.deployments), list(scope.pools), list(scope.tags)]
        return pack_document(TEAM, self.id, {"name": self.name, "role": str(self.role), "scope": parts})


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key of a user, for programs. ``role``: it may no more than this; ``ends_at``: unix seconds, or never."""

    id: str
    name: str
    user_id: str
    digest: bytes = field(repr=False)
    role: Role | None = None
    ends_at: float | None = None
    created_ms: int = 0
    used_ms: int = 0
    trouble: str = ""

    def document(self) -> bytes:
        """What its document holds."""
        plain = {"name": self.name, "user": self.user_id, "digest": self.digest, "ends_at": self.ends_at}
        return pack_document(KEY, self.id, {**plain, "role": str(self.role) if self.role is not None else None})


@dataclass(frozen=True, slots=True)
class Session:
    """A log-in of a browser.

    Attributes:
        user_id: empty for who knew the server's own password or token.
        password_id: of the user when it began; of the server's own a digest that needs the cookie to be made.
        address: from where it was begun.
        ends_at: unix seconds.
    """

    id: str
    digest: bytes = field(repr=False)
    user_id: str = ""
    password_id: bytes = field(default=b"", repr=False)
    address: str = ""
    ends_at: float = 0.0
    created_ms: int = 0
    used_ms: int = 0

    def document(self) -> bytes:
        """What its document holds."""
        plain = {"user": self.user_id, "password_id": self.password_id, "digest": self.digest}
        return pack_document(SESSION, self.id, {**plain, "address": self.address, "ends_at": self.ends_at})


def user_of(document: Document | None) -> User | None:
    """The user of a document. Never raises."""
    if document is None:
        return None
    plain, trouble = _plain(USER, document)
    password = plain.get("password")
    return User(
        document.id,
        _text(plain.get("name")) or document.name or document.id,
        role_or_none(plain.get("role")),
        password if isinstance(password, dict) else None,
        _text(plain.get("password_id")),
        _texts(plain.get("teams")),
        whole(plain.get("created")),
        document.generation,
        trouble,
    )


def team_of(document: Document | None) -> Team | None:
    """The team of a document; a damaged one has no role. Never raises."""
    if document is None:
        return None
    plain, trouble = _plain(TEAM, document)
    parts = plain.get("scope", ())
    scope: Scope | None = Scope()
    if isinstance(parts, list) and len(parts) == 3:
        scope = Scope(*(_texts(part) for part in parts))
    elif parts is None:
        scope = None
    return Team(
        document.id,
        _text(plain.get("name")) or document.name or document.id,
        role_or_none(plain.get("role")),
        scope,
        document.generation,
        trouble,
    )


def key_of(document: Document | None) -> ApiKey | None:
    """The key of a document; a damaged one fits nothing. Never raises."""
    if document is None:
        return None
    plain, trouble = _plain(KEY, document)
    ends_at, role = plain.get("ends_at"), role_or_none(plain.get("role"))
    never = ends_at is None and bool(plain)
    if plain.get("role") is not None and role is None:
        trouble = trouble or "its role is damaged"
    return ApiKey(
        document.id,
        _text(plain.get("name")),
        _text(plain.get("user")),
        _bytes(plain.get("digest")),
        role,
        None if never else _moment(ends_at),
        document.written_at_ms,
        whole(document.fields.get(_SEEN)),
        trouble,
    )


def session_of(document: Document | None) -> Session | None:
    """The session of a document; a damaged one is over. Never raises."""
    if document is None:
        return None
    plain, _ = _plain(SESSION, document)
    return Session(
        document.id,
        _bytes(plain.get("digest")),
        _text(plain.get("user"), "?"),
        _bytes(plain.get("password_id")),
        _text(plain.get("address")),
        _moment(plain.get("ends_at")),
        document.written_at_ms,
        whole(document.fields.get(_SEEN)),
    )


def _plain(kind: str, document: Document) -> tuple[dict[str, Any], str]:
    """What a document holds, or why that cannot be read: with a secret key it has to be signed."""
    from orchestrator import serializers

    stored = document.fields.get("d", b"")
    plain, trouble = unpack_document(kind, document.id, stored)
    if not trouble and serializers.signs() and not serializers.is_signed(stored):
        return {}, "it has no signature, and this fleet has a secret key: write it once more where that is set"
    return plain, trouble


def _text(value: object, otherwise: str = "") -> str:
    return value if isinstance(value, str) else otherwise


def _texts(value: object) -> tuple[str, ...]:
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else b""


def _moment(value: object) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number and 0 < float(value) < 1e11 else 0.0  # type: ignore[arg-type]
