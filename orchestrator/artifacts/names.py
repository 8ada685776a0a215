"""Keys of artifacts, as people may choose them."""

from __future__ import annotations

import re
from typing import Final
from uuid import UUID

_KEY: Final = re.compile(r"[a-z0-9-]{1,255}")


def check_key(key: str | None) -> str | None:
    """A key as it may be; ``None``: none.

    Raises:
        ValueError: it is none, with what is allowed.

    >>> check_key("daily-report")
    'daily-report'
    >>> check_key("Daily Report")
    Traceback (most recent call last):
    ValueError: key 'Daily Report': an artifact's key has lowercase letters, digits and dashes only, 1 to 255 of them
    """
    if key is not None and (not isinstance(key, str) or _KEY.fullmatch(key) is None):
        shown = repr(key) if len(repr(key)) <= 80 else repr(key)[:80] + "..."
        raise ValueError(
            f"key {shown}: an artifact's key has lowercase letters, digits and dashes only, 1 to 255 of them"
        )
    return key


def artifact_id_of(text: str | UUID) -> str:
    """An id in the form in which it is kept.

    Raises:
        ValueError: it is none.

    >>> artifact_id_of("0191D5E0-0000-7000-8000-000000000000")
    '0191d5e0-0000-7000-8000-000000000000'
    """
    try:
        return str(UUID(str(text)))
    except ValueError:
        raise ValueError(f"{str(text)[:80]!r} is no id of an artifact: a UUID is one") from None
