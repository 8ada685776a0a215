"""Types of fields of blocks, beside pydantic's ``SecretStr``, ``SecretBytes`` and ``Secret``."""

from __future__ import annotations

from typing import Any

from pydantic import Secret

__all__ = ["SecretDict"]


class SecretDict(Secret[dict[str, Any]]):
    """A dictionary that is a secret as a whole, its keys as well.

    >>> SecretDict({"user": "ann", "password": "x"})
    SecretDict('**********')
    """
