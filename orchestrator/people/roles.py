"""Roles: what somebody may do with what is in their scope. Each may what those before it may."""

from __future__ import annotations

from enum import IntEnum


class Role(IntEnum):
    """What somebody may do.

    >>> Role.VIEWER < Role.RUNNER < Role.EDITOR < Role.ADMIN
    True
    >>> str(Role.EDITOR)
    'editor'
    """

    VIEWER = 1  # see
    RUNNER = 2  # run, cancel, pause, resume
    EDITOR = 3  # deployments, schedules, blocks without reading secrets, variables, automations, pools
    ADMIN = 4  # people, secrets of blocks, rekey, everything

    def __str__(self) -> str:
        return self.name.lower()


def role_named(text: object) -> Role:
    """A role by its name, any case. Raises ValueError.

    >>> role_named("Editor")
    <Role.EDITOR: 3>
    >>> role_named("owner")
    Traceback (most recent call last):
    ValueError: 'owner' is no role: viewer, runner, editor or admin
    """
    if isinstance(text, str) and text.upper() in Role.__members__:
        return Role[text.upper()]
    raise ValueError(f"{str(text)[:80]!r} is no role: viewer, runner, editor or admin")


def role_or_none(text: object) -> Role | None:
    """A role as the store keeps it; ``None`` where it is none."""
    try:
        return role_named(text)
    except ValueError:
        return None


VIEWER, RUNNER, EDITOR, ADMIN = Role
