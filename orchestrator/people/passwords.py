"""Passwords: kept as scrypt makes them, and checked in the same time whether or not there is such a user."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import unicodedata
from collections.abc import Mapping
from typing import Any, Final

SHORTEST: Final = 8
LONGEST: Final = 1_000
N: Final = 1 << 15  # 32 MiB
R: Final = 8
P: Final = 3
MAX_BYTES: Final = 256 * 1024 * 1024  # that a hash of the store may ask for
_AT_ONCE: Final = threading.BoundedSemaphore(2)  # each takes memory, and a core for a fifth of a second


def check_password(password: object) -> str:
    """A password as it may be. Raises ValueError, which does not show it.

    >>> check_password("short")
    Traceback (most recent call last):
    ValueError: a password has 8 to 1,000 characters
    """
    if not isinstance(password, str) or not SHORTEST <= len(password) <= LONGEST:
        raise ValueError(f"a password has {SHORTEST} to {LONGEST:,} characters")
    return password


def hashed(password: str) -> dict[str, Any]:
    """What is kept of a password. Raises ValueError: as :func:`check_password`."""
    salt = secrets.token_bytes(16)
    derived = _scrypt(check_password(password), salt, N, R, P)
    return {"salt": salt, "n": N, "r": R, "p": P, "hash": derived}


def is_password(given: str, kept: Mapping[str, Any] | None) -> bool:
    """Whether it is the password of which that was kept; without one it takes as long, and is not.

    Args:
        given: what somebody typed, of any length.
        kept: as the store has it, damaged or not.
    """
    salt, n, r, p, derived = _checked(kept or {})
    same = hmac.compare_digest(_scrypt(given[: LONGEST + 1], salt, n, r, p), derived)
    return same and kept is not None and bool(kept.get("hash") == derived)


_NOBODY: Final = (b"\0" * 16, N, R, P, b"\0" * 64)


def _checked(kept: Mapping[str, Any]) -> tuple[bytes, int, int, int, bytes]:
    """The parts of a hash, or some that cost as much, where they are damaged or ask for too much."""
    salt, derived = kept.get("salt"), kept.get("hash")
    numbers = [kept.get(name) for name in ("n", "r", "p")]
    if not (isinstance(salt, bytes) and isinstance(derived, bytes) and len(derived) == 64):
        return _NOBODY
    if not all(isinstance(number, int) and not isinstance(number, bool) and number > 0 for number in numbers):
        return _NOBODY
    n, r, p = (int(number or 0) for number in numbers)
    if n < 2 or n & (n - 1) or 128 * n * r > MAX_BYTES or p > 16:
        return _NOBODY
    return salt, n, r, p, derived


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    text = unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
    with _AT_ONCE:
        return hashlib.scrypt(text, salt=salt, n=n, r=r, p=p, maxmem=2 * MAX_BYTES, dklen=64)
