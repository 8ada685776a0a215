"""What is set outside of code for this process, and where: a variable wins over the profile.

Read when settings are made, never on import.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from orchestrator.configuration import profiles_file
from orchestrator.configuration.names import OF_PREFECT, OTHERWISE_HERE, PREFECTS, setting_named, variable_of
from orchestrator.configuration.profiles import DEFAULT
from orchestrator.errors import ConfigurationError

PROFILE_VARIABLE: Final = "ORCHESTRATOR_PROFILE"
PREFECT_VARIABLE: Final = "ORCHESTRATOR_ACCEPT_PREFECT_VARIABLES"
ENVIRONMENT: Final = "env"
PROFILE: Final = "profile"


class Outside(NamedTuple):
    """What is set outside of code.

    Attributes:
        values: setting -> text.
        sources: setting -> ``env`` or ``profile``.
        profile: name of the profile that holds here.
    """

    values: dict[str, str]
    sources: dict[str, str]
    profile: str = DEFAULT


def outside(known: Collection[str]) -> Outside:
    """The settings among ``known`` that are set outside.

    Raises:
        ConfigurationError: the file of profiles is damaged, has no such profile, or one with an unknown setting.
    """
    profile, of_profile = _of_profile(known)
    of_environment = _of_environment(known)
    sources = dict.fromkeys(of_profile, PROFILE) | dict.fromkeys(of_environment, ENVIRONMENT)
    return Outside(of_profile | of_environment, sources, profile)


def active_profile() -> str:
    """The name of the profile that holds here. Raises ConfigurationError."""
    if named := os.environ.get(PROFILE_VARIABLE):
        return named
    profiles = profiles_file.read()
    return profiles.active if profiles is not None else DEFAULT


def settings_of_profile(given: Mapping[str, str], known: Collection[str]) -> dict[str, str]:
    """The values of a profile by settings instead of variables, without empty ones. Raises ConfigurationError."""
    return {setting_named(variable, known): value for variable, value in given.items() if value}


def _of_profile(known: Collection[str]) -> tuple[str, dict[str, str]]:
    name, profiles = active_profile(), profiles_file.read()
    if profiles is None:
        if name == DEFAULT:
            return name, {}
        raise ConfigurationError(
            f"{PROFILE_VARIABLE}={name}, and there are no profiles yet. Make it: orchestrator profile create {name}"
        )
    try:
        return name, settings_of_profile(profiles.of(name), known)
    except ConfigurationError as error:
        raise ConfigurationError(f"{profiles_file.path()}, profile {name!r}: {error}") from None


def _of_environment(known: Collection[str]) -> dict[str, str]:
    """The variables that name a setting, in any case, unless empty. All of pydantic-settings that flat ones need."""
    given = {name.upper(): value for name, value in os.environ.items() if value}
    found: dict[str, str] = {}
    if _takes_prefects(given.get(PREFECT_VARIABLE, "")):
        theirs = {name: value for name, value in given.items() if name.startswith(PREFECTS) and name in OF_PREFECT}
        found = {OF_PREFECT[name]: value for name, value in theirs.items() if OF_PREFECT[name] in known}
    return found | {name: given[variable_of(name)] for name in known if variable_of(name) in given}


def unread_of_prefect() -> dict[str, str]:
    """The variables of Prefect in the environment that have a meaning here and are not read -> what to do."""
    given = {name.upper() for name, value in os.environ.items() if value}
    found = {name: OTHERWISE_HERE[name] for name in sorted(given & OTHERWISE_HERE.keys())}
    if not _takes_prefects(os.environ.get(PREFECT_VARIABLE, "")):
        for name in sorted(given & OF_PREFECT.keys()):
            found[name] = f"it is {variable_of(OF_PREFECT[name])} here; {PREFECT_VARIABLE}=1 has it read"
    return found


def _takes_prefects(value: str) -> bool:
    return value.lower() in ("1", "true", "yes", "on")


def pass_to_children(known: Collection[str]) -> None:
    """Programs that this one starts from now on have its settings, whatever becomes of the profiles meanwhile."""
    found = outside(known)
    os.environ.update({variable_of(name): value for name, value in found.values.items()})
    os.environ.pop(PROFILE_VARIABLE, None)
    os.environ[profiles_file.PATH_VARIABLE] = os.devnull
