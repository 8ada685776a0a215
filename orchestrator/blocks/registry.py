"""The classes of blocks that this process has, by the slugs of their types.

A class is registered by being defined, that is, imported by the program. Nothing that the store says makes us import or
build one: an unknown slug stays unknown, unless it is one of our own, whose modules are listed here.
"""

from __future__ import annotations

import re
import unicodedata
from importlib import import_module
from typing import Any, Final

OURS: Final = {
    "secret": "orchestrator.blocks.system",
    "json": "orchestrator.blocks.system",
    "string": "orchestrator.blocks.system",
    "date-time": "orchestrator.blocks.system",
    "webhook": "orchestrator.blocks.webhook",
    "local-file-system": "orchestrator.filesystems",  # above us: imported when one is asked for
    "remote-file-system": "orchestrator.filesystems",
    "null-file-system": "orchestrator.filesystems",
    "slack-webhook": "orchestrator.blocks.notifications",
    "ms-teams-webhook": "orchestrator.blocks.notifications",
    "pager-duty-webhook": "orchestrator.blocks.notifications",
    "twilio-sms": "orchestrator.blocks.notifications",
    "opsgenie-webhook": "orchestrator.blocks.notifications",
    "mattermost-webhook": "orchestrator.blocks.notifications",
    "discord-webhook": "orchestrator.blocks.notifications",
    "custom-webhook": "orchestrator.blocks.notifications",
    "sendgrid-email": "orchestrator.blocks.notifications",
    "apprise-notification": "orchestrator.blocks.notifications",
    "email-server-credentials": "orchestrator.blocks.notifications",
    "email-notification": "orchestrator.blocks.notifications",
}
_classes: Final[dict[str, type[Any]]] = {}


def slug_of(name: str) -> str:
    """What stands for a type's name where only lowercase letters, digits and dashes may.

    >>> slug_of("AWS Credentials (old)"), slug_of("Café_Menu")
    ('aws-credentials-old', 'cafe-menu')
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")


def register(slug: str, cls: type[Any]) -> None:
    """This process has that class; a later one takes the place of an earlier one."""
    _classes[slug] = cls


def class_of(slug: str) -> type[Any] | None:
    """The class of a type; ``None``: nothing that was imported here defines it."""
    if slug not in _classes and slug in OURS:
        import_module(OURS[slug])
    return _classes.get(slug)


def our_classes() -> list[type[Any]]:
    """The classes that everybody has."""
    return [found for slug in OURS if (found := class_of(slug)) is not None]
