"""API keys: shown once, kept as SHA-256, until they are revoked or over."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from typing import Final, NamedTuple

from brokers.base import Broker
from orchestrator.errors import ConfigurationError, ObjectNotFound
from orchestrator.people.record import KEY, ApiKey, User, key_of
from orchestrator.people.roles import Role
from orchestrator.people.users import all_keys

PREFIX: Final = "orc"
SEEN_SECONDS: Final = 60.0  # between two notes that one is in use
MOST_KEYS: Final = 50  # of a user
_NAME: Final = re.compile(r"[\w.@+-][\w.@+ -]{0,99}")
_WRITTEN: Final = re.compile(r"orc_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")


class MadeKey(NamedTuple):
    """A new key; ``text`` is what a program sends, and is shown this once."""

    key: ApiKey
    text: str


def create_key(
    broker: Broker, user: User, name: str, *, seconds: float | None = None, role: Role | None = None
) -> MadeKey:
    """Make a key of a user.

    Args:
        broker: of the fleet.
        user: whose rights it has.
        name: for people.
        seconds: from now on after which it is over; ``None``: never.
        role: it may no more than that; ``None``: all that the user may.

    Raises:
        ValueError: a name that cannot be one, or no time.
        ConfigurationError: the user has a key of that name, or 50 of them.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name[:120]!r} is no name of a key: 1 to 100 letters, digits and any of . _ @ + -")
    if seconds is not None and not 0 < seconds < 1e10:
        raise ValueError(f"a key that is over after {seconds:g} s is none: give it a time to come")
    before = _make_room(broker, user)
    if any(key.name == name for key in before):
        raise ConfigurationError(f"user {user.name!r} has a key {name!r} already: choose another name, or revoke that")
    key_id = secrets.token_hex(6)
    text = f"{PREFIX}_{key_id}_{secrets.token_urlsafe(32)}"
    made = ApiKey(key_id, name, user.id, _digest(text), role, None if seconds is None else time.time() + seconds)
    broker.documents.write(KEY, key_id, {"d": made.document()}, only_new=True)
    if len(keys_of(broker, user)) > MOST_KEYS:  # others were made at the same time
        broker.documents.delete(KEY, [key_id])
        raise _too_many(user)
    return MadeKey(made, text)


def _make_room(broker: Broker, user: User) -> list[ApiKey]:
    """The keys of a user who may have one more; where there are many, those that are over go.

    Raises:
        ConfigurationError: there are too many.
    """
    found = keys_of(broker, user)
    if len(found) < MOST_KEYS:
        return found
    over = [key.id for key in found if key.ends_at is not None and key.ends_at <= time.time()]
    if not over:
        raise _too_many(user)
    broker.documents.delete(KEY, over)
    return [key for key in found if key.id not in over]


def _too_many(user: User) -> ConfigurationError:
    return ConfigurationError(
        f"user {user.name!r} has {MOST_KEYS} keys already, and nobody has more; no key was made: revoke one that is "
        "not used any more (orchestrator api-key revoke)"
    )


def key_by_id(broker: Broker, key_id: str) -> ApiKey | None:
    """One by its id."""
    return key_of(broker.documents.read(KEY, [key_id])[0])


def keys_of(broker: Broker, user: User) -> list[ApiKey]:
    """Those of a user, the newest first."""
    return [key for key in all_keys(broker) if key.user_id == user.id]


def find_keys(broker: Broker, text: str) -> list[ApiKey]:
    """The keys that somebody may mean: by id, by name, or by the key itself."""
    written = _WRITTEN.fullmatch(text)
    wanted = written[1] if written else text
    return [key for key in all_keys(broker) if wanted in (key.id, key.name)]


def revoke_key(broker: Broker, key_id: str) -> None:
    """Have it mean nothing from now on. Raises ObjectNotFound."""
    if not broker.documents.delete(KEY, [key_id]):
        raise ObjectNotFound(f"API key {key_id[:120]!r} not found!")


def key_in(broker: Broker, text: str) -> ApiKey | None:
    """The key that a program has sent; ``None``: it is none, was revoked, or is over."""
    written = _WRITTEN.fullmatch(text)
    if written is None:
        return None
    key = key_of(broker.documents.read(KEY, [written[1]])[0])
    if key is None or key.trouble or not hmac.compare_digest(_digest(text), key.digest):
        return None
    if key.ends_at is not None and key.ends_at <= time.time():
        return None
    if time.time() - key.used_ms / 1000 > SEEN_SECONDS:
        broker.documents.touch(KEY, [key.id], "seen")
    return key


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
