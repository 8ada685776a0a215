"""``orchestrator config``: the settings in force, and those of the profile, which are changed here."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, Final

import click

from task_workers.cli.terminal import as_json, ask_on_a_terminal, echo_json, echo_table, say, with_yes

HIDDEN: Final = "********"
FROM: Final = {"env": "env", "profile": "profile", "default": "defaults"}
OF_THE_ENVIRONMENT: Final = {  # read before there are settings, or by the private server itself
    "ORCHESTRATOR_PROFILES_PATH",
    "ORCHESTRATOR_PROFILE",
    "ORCHESTRATOR_ACCEPT_PREFECT_VARIABLES",
    "ORCHESTRATOR_REDIS_SERVER",
    "PREFECT_PROFILES_PATH",
    "PREFECT_HOME",
}


@click.group("config")
def command() -> None:
    """The settings and where they come from: flags win over variables, these over the profile, that over defaults.

    \b
    orchestrator config view --show-defaults
    orchestrator config set ORCHESTRATOR_REDIS_URL=redis://127.0.0.1:6379/0
    orchestrator --profile staging config view
    """


@command.command()
@as_json
def show(as_json: bool) -> None:
    """Every setting with its value (secrets masked), its variable and its meaning."""
    from orchestrator.settings import current, describe, shown

    settings, sources = current(), _sources()
    words = {"env": "environment", "profile": "profile"}
    rows = [
        {
            "name": row.name,
            "value": shown(row.name, getattr(settings, row.name)),
            "variable": row.variable,
            "from": words.get(sources.get(row.name, ""), "default"),
            "meaning": row.meaning,
        }
        for row in describe()
    ]
    if as_json:
        return echo_json(rows)
    table = [(row["variable"], _cell(row["value"]), row["from"], row["meaning"]) for row in rows]
    return echo_table(("VARIABLE", "VALUE", "FROM", "MEANING"), table)


@command.command()
@click.option("--show-defaults/--hide-defaults", help="Also those that nobody has set.")
@click.option("--show-sources/--hide-sources", default=True, help="Where each comes from.  [default: shown]")
@click.option("--show-secrets/--hide-secrets", help="Keys, tokens and passwords as they are.  [default: hidden]")
@as_json
def view(show_defaults: bool, show_sources: bool, show_secrets: bool, as_json: bool) -> None:
    """The profile, and the settings that are set, as Prefect shows them."""
    from orchestrator.configuration.sources import active_profile, unread_of_prefect
    from orchestrator.settings import current, describe

    settings, sources = current(), _sources()
    rows = [
        (row.variable, _text(row.name, getattr(settings, row.name), show_secrets), sources.get(row.name, "default"))
        for row in sorted(describe(), key=lambda row: row.variable)
        if show_defaults or row.name in sources
    ]
    if as_json:
        found = [{"variable": variable, "value": text, "from": FROM[source]} for variable, text, source in rows]
        return echo_json({"profile": active_profile(), "settings": found})
    say(f"ORCHESTRATOR_PROFILE={active_profile()!r}")
    for variable, text, source in rows:
        say(f"{variable}={text!r}" + (f" (from {FROM[source]})" if show_sources else ""))
    for variable, hint in unread_of_prefect().items():
        say(f"{variable} is set and not read: {hint}", err=True)


@command.command("set")
@click.argument("settings", nargs=-1, required=True, metavar="NAME=VALUE...")
def set_settings(settings: tuple[str, ...]) -> None:
    """Change settings of the profile. Names of Prefect that mean the same are taken, too."""
    from orchestrator.settings import check_alone

    given = dict(_pair(text) for text in settings)
    for name in given:
        _refuse_of_the_environment(name)
    changes = {_known(name): value for name, value in given.items()}

    def edit(before: dict[str, str]) -> dict[str, str]:
        after = before | changes
        check_alone(after)
        return after

    profile = _change_profile(edit)
    for written, (name, value) in zip(given, changes.items(), strict=False):
        _say_set(written, name, value)
    say(f"Updated profile {profile!r}.")


@command.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@with_yes
def unset(names: tuple[str, ...], yes: bool) -> None:
    """Take settings out of the profile. Exits with 1 if one is not in it."""
    wanted = [_known(name) for name in names]

    def edit(before: dict[str, str]) -> dict[str, str]:
        for name in wanted:
            if name not in before:
                raise click.ClickException(f"{_variable(name)!r} is not set in the profile.")
        return {name: value for name, value in before.items() if name not in wanted}

    ask_on_a_terminal(f"Are you sure you want to unset {', '.join(map(_variable, wanted))}?", yes)
    profile = _change_profile(edit)
    for name in wanted:
        say(f"Unset {_variable(name)!r}.")
        _say_overridden(name)
    say(f"Updated profile {profile!r}.")


@command.command()
def validate() -> None:
    """Check every profile, and the settings in force here. Exits with 1 if something is wrong with them."""
    from orchestrator.configuration import profiles_file
    from orchestrator.configuration.profiles import Profiles
    from orchestrator.configuration.sources import settings_of_profile
    from orchestrator.errors import ConfigurationError
    from orchestrator.settings import Settings, check_alone

    profiles, wrong = profiles_file.read() or Profiles(), []
    for name, settings in profiles.settings.items():
        try:
            check_alone(settings_of_profile(settings, Settings.model_fields))
        except ConfigurationError as error:
            wrong.append(f"profile {name!r}: {error}")
    try:
        Settings()
    except ConfigurationError as error:
        wrong.append(f"in force here: {error}")
    if wrong:
        raise click.ClickException("\n".join(wrong))
    say("Configuration valid!")


# -- what these commands share --------------------------------------------------------------------------------------


def shown_text(name: str, text: str, secrets: bool) -> str:
    """The value of a setting as a profile has it, with what is secret in it hidden."""
    from orchestrator.settings import shown

    safe = shown(name, text)
    return text if secrets else HIDDEN if safe == "***" else str(safe)


def _text(name: str, value: Any, secrets: bool) -> str:
    """The value of a setting as a variable would have it."""
    if value is None:
        return ""
    if hasattr(value, "get_secret_value"):
        value = value.get_secret_value()
    return shown_text(name, _cell(value), secrets)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _sources() -> Mapping[str, str]:
    from orchestrator.configuration.sources import outside
    from orchestrator.settings import Settings

    return outside(Settings.model_fields).sources


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        begin = re.split(r"\W", text, maxsplit=1)[0]  # the rest may be a key
        raise click.UsageError(f"what begins with {begin!r} is no NAME=VALUE")
    if not value:
        raise click.UsageError(f"{text!r} has no value; to take a setting out: orchestrator config unset {name}")
    return name.strip(), value


def _refuse_of_the_environment(name: str) -> None:
    from orchestrator.configuration.names import OTHERWISE_HERE, variable_of

    upper = name.upper()
    variable = upper if upper.startswith(("ORCHESTRATOR_", "PREFECT_")) else variable_of(upper)
    if variable in OF_THE_ENVIRONMENT and variable not in OTHERWISE_HERE:
        raise click.ClickException(f"{variable} cannot be set in a profile: set the environment variable.")


def _known(name: str) -> str:
    """The setting of a name. Raises ConfigurationError, with the nearest one."""
    from orchestrator.configuration.names import setting_named
    from orchestrator.settings import Settings

    return setting_named(name, Settings.model_fields)


def _variable(name: str) -> str:
    from orchestrator.configuration.names import variable_of

    return variable_of(name)


def _change_profile(edit: Any) -> str:
    """Write what ``edit`` makes of the settings of the profile that holds here; its name."""
    from orchestrator.configuration import profiles_file
    from orchestrator.configuration.names import variable_of
    from orchestrator.configuration.profiles import Profiles
    from orchestrator.configuration.sources import active_profile, settings_of_profile
    from orchestrator.settings import Settings

    profile = active_profile()

    def changed(profiles: Profiles) -> Profiles:
        after = edit(settings_of_profile(profiles.of(profile), Settings.model_fields))
        return profiles.with_profile(profile, {variable_of(name): value for name, value in after.items()})

    profiles_file.change(changed)
    return profile


def _say_set(written: str, name: str, value: str) -> None:
    variable = _variable(name)
    if written.upper() != variable and written.upper().startswith("PREFECT_"):
        say(f"{written} of Prefect is {variable} here.")
    say(f"Set {variable!r} to {shown_text(name, value, False)!r}.")
    _say_overridden(name)


def _say_overridden(name: str) -> None:
    variable = _variable(name)
    if os.environ.get(variable):
        say(f"{variable} is also an environment variable, which wins: `unset {variable}` clears it.", err=True)
