"""Profiles as values: settings under names, of which one is active; and as TOML, in the form of Prefect's file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from orchestrator.errors import ConfigurationError

DEFAULT: Final = "default"
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Profiles:
    """All profiles of a file.

    Attributes:
        active: the one that holds unless a program names another.
        settings: profile -> variable -> value, as a variable of the environment would have it.
    """

    active: str = DEFAULT
    settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Those that there are; ``default`` always is."""
        return sorted({*self.settings, DEFAULT})

    def of(self, name: str) -> dict[str, str]:
        """The settings of a profile. Raises ConfigurationError: there is none of that name; with those that are."""
        if name not in self.names:
            raise ConfigurationError(
                f"there is no profile {name!r}; there are: {', '.join(self.names)}. Make it: orchestrator profile "
                f"create {name}"
            )
        return dict(self.settings.get(name, {}))

    def with_profile(self, name: str, settings: Mapping[str, str]) -> Profiles:
        """The same with a profile that is new, or has other settings. Raises ConfigurationError: no such name."""
        return replace(self, settings={**self.settings, check_name(name): dict(settings)})

    def without(self, name: str) -> Profiles:
        """The same without a profile."""
        return replace(self, settings={one: kept for one, kept in self.settings.items() if one != name})


def check_name(name: str) -> str:
    """The name of a profile as it may be. Raises ConfigurationError.

    >>> check_name("dev-2")
    'dev-2'
    """
    if not _NAME.fullmatch(name):
        raise ConfigurationError(f"{name!r} is no name for a profile: 1 to 100 of the characters A-Z a-z 0-9 _ . -")
    return name


def parse(text: str, where: str) -> Profiles:
    """The profiles of a file.

    Args:
        text: of the file.
        where: its path, for messages.

    Raises:
        ConfigurationError: it is damaged; with the line, or the entry.

    >>> parse('[profiles.dev]\\nORCHESTRATOR_BEAT_SECONDS = 3', "profiles.toml").of("dev")
    {'ORCHESTRATOR_BEAT_SECONDS': '3'}
    >>> parse("active = x", "profiles.toml")
    Traceback (most recent call last):
    orchestrator.errors.ConfigurationError: profiles.toml is damaged: Invalid value (at line 1, column 10)
    """
    import tomllib

    try:
        plain = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        reason = str(error).replace("at end of document", f"at line {len(text.splitlines())}, the last one")
        raise ConfigurationError(f"{where} is damaged: {reason}") from None
    active, profiles = plain.pop("active", DEFAULT), plain.pop("profiles", {})
    if plain:
        raise ConfigurationError(f"{where}: {next(iter(plain))!r} is not known; it has `active` and [profiles.NAME]")
    if not isinstance(active, str) or not isinstance(profiles, dict):
        raise ConfigurationError(f"{where}: `active` is the name of a profile, and settings are below [profiles.NAME]")
    return Profiles(active, {name: _settings(name, found, where) for name, found in profiles.items()})


def _settings(name: str, found: Any, where: str) -> dict[str, str]:
    if not isinstance(found, dict):
        raise ConfigurationError(f"{where}: the profile {name!r} is no table: write [profiles.{name}]")
    settings: dict[str, str] = {}
    for variable, value in found.items():
        if not isinstance(value, str | int | float):
            raise ConfigurationError(f"{where}, profile {name!r}: {variable} is neither a text, a number nor a truth")
        settings[variable] = str(value).lower() if isinstance(value, bool) else str(value)
    return settings


def written(profiles: Profiles) -> str:
    """Profiles as TOML.

    >>> print(written(Profiles("dev", {"dev": {"ORCHESTRATOR_PERSIST_RESULT": "true"}})), end="")
    active = "dev"
    <BLANKLINE>
    [profiles.dev]
    ORCHESTRATOR_PERSIST_RESULT = "true"
    """
    lines = [f"active = {_quoted(profiles.active)}"]
    for name, settings in profiles.settings.items():
        lines += ["", f"[profiles.{_key(name)}]"]
        lines += [f"{_key(variable)} = {_quoted(value)}" for variable, value in settings.items()]
    return "\n".join(lines) + "\n"


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _quoted(name)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
