"""Text that users hand in, made fit to be stored, sent and shown."""

from __future__ import annotations

from typing import Any


def fit_text(value: Any, longest: int | None = None) -> str:
    """The text of a value; what no encoding can carry is written as an escape, what is too long is cut, with a mark.

    >>> fit_text("caf\\udce9.txt")
    'caf\\\\udce9.txt'
    >>> fit_text("a" * 20, 10)
    'aaaaaaaaaa... (10 more characters were cut)'

    Raises:
        Exception: what the value's own ``__str__`` raises.
    """
    text = str(value)
    more = 0 if longest is None else len(text) - longest
    if more > 0:
        text = text[:longest]
    try:
        text.encode()
    except UnicodeEncodeError:  # file names of undecodable bytes have such characters
        text = text.encode("utf-8", "backslashreplace").decode()
    return f"{text}... ({more} more characters were cut)" if more > 0 else text
