"""What is not shown: values under secret names, in pages, lists, messages and logs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

REDACTED: Final = "••••••"
SECRET_NAMES: Final = (
    "password",
    "passwd",
    "passphrase",
    "token",
    "secret",
    "api_key",
    "apikey",
    "authorization",
    "cookie",
)


_IN_URL: Final = re.compile(r"://[^\s'\"]*@")  # in a password may be anything: the last @ ends it
_ENVIRONMENTS: Final = frozenset(("env", "environment"))


class Redaction:
    """Masks values under secret names.

    Args:
        names: parts of names, any case; values under a name that contains one of them are masked.

    >>> Redaction(["token"]).of({"user": "ann", "api_token": "abc", "more": [{"Token": 1}]})
    {'user': 'ann', 'api_token': '••••••', 'more': [{'Token': '••••••'}]}
    """

    def __init__(self, names: Iterable[str] = SECRET_NAMES) -> None:
        parts = [re.escape(name.strip().lower()) for name in names if name.strip()]
        self._pattern = re.compile("|".join(parts)) if parts else None

    def hides(self, name: object) -> bool:
        """Whether a value under this name is masked."""
        return self._pattern is not None and isinstance(name, str) and bool(self._pattern.search(name.lower()))

    def of_pairs(self, pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Names and texts, the texts of secret names masked."""
        return [(name, REDACTED if self.hides(name) else text) for name, text in pairs]

    def of(self, value: Any) -> Any:
        """The value with everything under secret names masked."""
        if isinstance(value, Mapping):
            return {name: REDACTED if self.hides(name) else self.of(part) for name, part in value.items()}
        if type(value) in (list, tuple, set):
            return type(value)(self.of(part) for part in value)
        return value

    def of_job(self, value: Any) -> Any:
        """What a run is given, with every value of its environment and who logs in where in URLs masked as well.

        >>> Redaction(["token"]).of_job({"env": {"CITY": "Oslo"}, "command": "load --from db://ann:pw@db/0", "cpu": 1})
        {'env': {'CITY': '••••••'}, 'command': 'load --from db://••••••@db/0', 'cpu': 1}
        """
        return _of_job(self.of(value))


def _of_job(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: (_emptied if name in _ENVIRONMENTS else _of_job)(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_of_job(part) for part in value]
    return _IN_URL.sub(f"://{REDACTED}@", value) if isinstance(value, str) else value


def _emptied(value: Any) -> Any:
    """An environment without its values: a table, or a list of names and values as Kubernetes has it."""
    if isinstance(value, Mapping):
        return {name: part if part is None else REDACTED for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [
            {**one, "value": REDACTED} if isinstance(one, Mapping) and "value" in one else REDACTED for one in value
        ]
    return value if value is None else REDACTED
