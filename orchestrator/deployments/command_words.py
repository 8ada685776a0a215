"""Words of job variables on a command line: none becomes an option of the program that nobody has asked for."""

from __future__ import annotations

import re
from typing import Final

from orchestrator.errors import ConfigurationError

_OPTION: Final = re.compile(r"[a-z][a-z0-9-]*")


def operand(what: str, value: object) -> str:
    """A value as text, for where the program would take one that begins with a dash as an option.

    Args:
        what: names it in the message.
        value: as somebody has given it.

    Raises:
        ConfigurationError: it begins with a dash.

    >>> operand("the job variable 'image'", "shop/etl")
    'shop/etl'
    >>> operand("the job variable 'image'", "--privileged")
    Traceback (most recent call last):
    orchestrator.errors.ConfigurationError: the job variable 'image' begins with a dash: '--privileged' would be an \
option of the command. Nothing was started
    """
    text = str(value)
    if text.startswith("-"):
        raise ConfigurationError(
            f"{what} begins with a dash: {text[:100]!r} would be an option of the command. Nothing was started"
        )
    return text


def option(where: str, name: str) -> str:
    """The option of this name, with its dashes.

    Args:
        where: the table in which it stands, for the message.
        name: with ``-`` or ``_`` between its words.

    Raises:
        ConfigurationError: no option has such a name.

    >>> option("container_create_kwargs", "shm_size")
    '--shm-size'
    """
    written = name.replace("_", "-")
    if not _OPTION.fullmatch(written):
        raise ConfigurationError(f"{where} has {name[:100]!r}, which cannot be the name of an option")
    return f"--{written}"
