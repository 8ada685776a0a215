"""Users: added, found, changed, deleted."""

from __future__ import annotations

import re
import secrets
import time
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from typing import Final
from uuid import uuid4

from brokers.base import Broker
from brokers.errors import BrokerConflict
from brokers.records import in_portions
from orchestrator.errors import ConfigurationError, ObjectNotFound
from orchestrator.people.admins import WITHOUT_ADMIN_OPTION, begin_to_leave, stay
from orchestrator.people.passwords import hashed, is_password
from orchestrator.people.record import KEY, SESSION, USER, ApiKey, User, key_of, session_of, user_of
from orchestrator.people.roles import Role

MAX_LISTED: Final = 10_000
# Scripts of East Asia, which are mixed in one name, with Latin, too.
_WRITTEN_TOGETHER: Final = frozenset(("CJK", "IDEOGRAPHIC", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO"))
_NAME: Final = re.compile(r"[\w.@+-]{1,100}")


def user_name(text: object) -> str:
    """A name as it is kept, in lower case. Raises ValueError.

    >>> user_name("Ann.Berg@example.com")
    'ann.berg@example.com'
    >>> user_name("two words")
    Traceback (most recent call last):
    ValueError: 'two words' is no name of a user: 1 to 100 letters, digits and any of . _ @ + -
    """
    name = unicodedata.normalize("NFKC", text).casefold() if isinstance(text, str) else ""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{str(text)[:120]!r} is no name of a user: 1 to 100 letters, digits and any of . _ @ + -")
    return name


def _must_be_of_one_script(name: str) -> None:
    """Raises ValueError: letters that look alike, as of Latin and Cyrillic, would make one name look like another."""
    scripts = {_script(letter) for letter in name if letter.isalpha()} - _WRITTEN_TOGETHER
    if len(scripts) > 1:
        found = " and ".join(sorted(script.title() for script in scripts))
        raise ValueError(
            f"{name!r} mixes letters of {found}, some of which look alike; nobody was added: write it in one of them"
        )


def _script(letter: str) -> str:
    return unicodedata.name(letter, "LETTER").split(maxsplit=1)[0].partition("-")[0]  # a name begins with its script


def has_users(broker: Broker) -> bool:
    """Whether anybody was added: the server asks for names and passwords then."""
    return broker.documents.newest(USER, 0, 1)[0] > 0


def all_users(broker: Broker) -> list[User]:
    """All of them, by name, up to 10,000."""
    _, ids = broker.documents.newest(USER, 0, MAX_LISTED)
    found = [user_of(document) for document in broker.documents.read(USER, ids)] if ids else []
    return sorted((user for user in found if user is not None), key=lambda user: user.name)


def user_by_id(broker: Broker, user_id: str) -> User | None:
    """One by its id."""
    return user_of(broker.documents.read(USER, [user_id])[0])


def find_user(broker: Broker, name: str) -> User | None:
    """One by its name, any case; ``None`` where there is none."""
    try:
        (user_id,) = broker.documents.find(USER, [user_name(name)])
    except ValueError:
        return None
    found = user_by_id(broker, user_id) if user_id is not None else None
    if found is None or found.trouble:
        return found
    return found if found.name == user_name(name) else None  # the index of names is not signed, what it leads to is


def existing_user(broker: Broker, name: str) -> User:
    """One by its name. Raises ObjectNotFound."""
    found = find_user(broker, name)
    if found is None:
        raise ObjectNotFound(f"User {name[:120]!r} not found!")
    return found


def add_user(
    broker: Broker, name: str, password: str | None, role: Role | None, *, without_admin: bool = False
) -> User:
    """Add one. The first one closes a server that was open until then.

    Args:
        broker: of the fleet.
        name: letters, digits and ``. _ @ + -``; upper case becomes lower case.
        password: 8 to 1,000 characters; ``None``: it has keys only.
        role: over everything; ``None``: what teams give it.
        without_admin: the first one need not be an admin.

    Raises:
        ValueError: a name or password that cannot be one. BrokerConflict: there is one of that name.
        ConfigurationError: it would be the first, and no admin.
    """
    name = user_name(name)
    if role is not Role.ADMIN and not without_admin and not has_users(broker):
        raise ConfigurationError(
            f"nobody was added: {name!r} would be the first user and no admin, so that nobody could manage people over "
            f"the server; add an admin first (--role admin), or say {WITHOUT_ADMIN_OPTION}"
        )
    _must_be_of_one_script(name)
    made = User(str(uuid4()), name, role, *_password(password), created_ms=round(time.time() * 1000))
    if broker.documents.find(USER, [name]) != [None]:
        raise BrokerConflict(f"User {name!r} already exists: nothing was changed")
    generation = broker.documents.write(USER, made.id, {"d": made.document()}, name=name, only_new=True)
    return replace(made, generation=generation)


def _password(password: str | None) -> tuple[dict[str, object] | None, str]:
    return (hashed(password) if password is not None else None), secrets.token_hex(16)


def set_password(broker: Broker, user: User, password: str | None) -> None:
    """Give one another password, or none; sessions that it has end.

    Raises:
        ValueError: it cannot be one. BrokerConflict: somebody else has changed the user meanwhile.
    """
    kept, password_id = _password(password)
    _write(broker, replace(user, password=kept, password_id=password_id))
    end_sessions(broker, user.id)


def set_role(broker: Broker, user: User, role: Role | None, *, without_admin: bool = False) -> None:
    """Give one another role over everything, or none.

    Raises:
        ConfigurationError: it is the last admin. BrokerConflict: somebody else has changed the user meanwhile.
    """
    changed = replace(user, role=role)
    if user.role is not Role.ADMIN or role is Role.ADMIN:
        _write(broker, changed)
        return stay(broker, user.id) if role is Role.ADMIN else None
    _leave(broker, user, without_admin)
    try:
        _write(broker, changed)
    except BrokerConflict:
        stay(broker, user.id)
        raise
    return None


def _leave(broker: Broker, user: User, without_admin: bool) -> None:
    def admins() -> set[str]:
        return {each.id for each in all_users(broker) if each.role is Role.ADMIN and not each.trouble}

    begin_to_leave(broker, user.id, admins, even_the_last=without_admin)


def set_teams(broker: Broker, user: User, teams: Sequence[str]) -> None:
    """Have one be in these teams, by their ids. Raises BrokerConflict: as above."""
    _write(broker, replace(user, teams=tuple(dict.fromkeys(teams))))


def _write(broker: Broker, user: User) -> None:
    broker.documents.write(USER, user.id, {"d": user.document()}, name=user.name, expected=user.generation)


def delete_user(broker: Broker, user: User, *, without_admin: bool = False) -> None:
    """Forget one, with its keys and sessions.

    Raises:
        ConfigurationError: it is the last admin.
        BrokerConflict: somebody else has changed it since it was read, perhaps made it the last admin.
    """
    if user.role is Role.ADMIN:
        _leave(broker, user, without_admin)
    try:
        broker.documents.delete(USER, [user.id], expected=user.generation)
    except BrokerConflict:
        if user.role is Role.ADMIN:
            stay(broker, user.id)
        raise
    end_sessions(broker, user.id)  # they and the keys mean nothing from here on
    mine = [key.id for key in all_keys(broker) if key.user_id == user.id]
    if mine:
        broker.documents.delete(KEY, mine)


def all_keys(broker: Broker) -> list[ApiKey]:
    """The keys of everybody, however many there are, the newest first."""
    found: list[ApiKey] = []
    for ids in in_portions(broker.documents.newest(KEY, limit=None)[1], MAX_LISTED):
        found += [key for key in map(key_of, broker.documents.read(KEY, ids)) if key is not None]
    return found


def end_sessions(broker: Broker, user_id: str) -> int:
    """End every session of a user; how many there were."""
    ended = 0
    for ids in in_portions(broker.documents.newest(SESSION, limit=None)[1], MAX_LISTED):
        found = map(session_of, broker.documents.read(SESSION, ids))
        mine = [session.id for session in found if session is not None and session.user_id == user_id]
        ended += broker.documents.delete(SESSION, mine) if mine else 0
    return ended


def check_log_in(broker: Broker, name: str, password: str) -> User | None:
    """Whoever has this name and password; takes as long when nobody has the name, or has no password."""
    user = find_user(broker, name)
    known = user is not None and not user.trouble
    right = is_password(password, user.password if user is not None and known else None)
    return user if right else None
