"""An option of a command that is a field of a dataclass: its flag, what it takes and its help stand with the field."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from typing import Any, Final, NamedTuple, TypeAlias

Takes: TypeAlias = type | range | tuple[str, ...]
PORTS: Final = range(65536)
_KEY: Final = "flag"


class Flag(NamedTuple):
    """How a command line gives a field its value.

    Attributes:
        names: as they are typed; the last one names the variable, too.
        help: one sentence for people.
        takes: ``str``, ``int`` or ``float``; ``bool``: it is a switch; ``tuple``: it may be given several times; a
            range of numbers; or the words that are allowed.
        metavar: what stands for the value in the help, where its type says too little.
        default: the value without the flag, in words, where the field's default does not say it.
        setting: the setting that holds where the flag is not given.
        read: makes the field's value of what was given.
    """

    names: tuple[str, ...]
    help: str
    takes: Takes
    metavar: str | None
    default: str
    setting: str
    read: Callable[[Any], Any] | None

    def variable(self, prefix: str) -> str:
        """The environment variable that gives it.

        >>> flag("-A", "--app", help="Which.")["flag"].variable("ORCHESTRATOR_WORKER")
        'ORCHESTRATOR_WORKER_APP'
        """
        return f"{prefix}_{self.names[-1].lstrip('-').replace('-', '_').upper()}"


def flag(
    *names: str,
    help: str,
    takes: Takes = str,
    metavar: str | None = None,
    default: str = "",
    setting: str = "",
    read: Callable[[Any], Any] | None = None,
) -> dict[str, Flag]:
    """Metadata for :func:`dataclasses.field`; see :class:`Flag`."""
    return {_KEY: Flag(names, help, takes, metavar, default, setting, read)}


def flags_of(options: type) -> dict[str, Flag]:
    """The flags of a dataclass by field, in their order; a field without one is not of the command line."""
    return {field.name: _with_default(field) for field in fields(options) if _KEY in field.metadata}


def _with_default(field: Field[Any]) -> Flag:
    found: Flag = field.metadata[_KEY]
    if found.default or field.default is MISSING or field.default is None or field.default is False:
        return found
    return found._replace(default=str(field.default))


def values_from(options: type, given: dict[str, Any], settings: object) -> dict[str, Any]:
    """The fields that were given, or that a setting gives; ``None`` is what was not given."""
    values: dict[str, Any] = {}
    for name, found in flags_of(options).items():
        value = given[name]
        if value is None and found.setting:
            value = getattr(settings, found.setting)
        if value is not None:
            values[name] = found.read(value) if found.read is not None else value
    return values
