"""``orchestrator profile``: settings under names, in a file of the user, of which one is active."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from task_workers.cli.terminal import as_json, ask_on_a_terminal, echo_json, say, with_yes

if TYPE_CHECKING:
    from orchestrator.configuration.profiles import Profiles


@click.group("profile")
def command() -> None:
    """Profiles: settings under names, of which one is active.

    \b
    orchestrator profile create staging
    orchestrator --profile staging config set ORCHESTRATOR_REDIS_URL=rediss://...
    orchestrator profile use staging

    A program takes another than the active one with ORCHESTRATOR_PROFILE=NAME, a command with --profile NAME.
    """


@command.command("ls")
@as_json
def list_profiles(as_json: bool) -> None:
    """List the profiles; the one that holds here has a star."""
    from orchestrator.configuration.sources import active_profile

    profiles, active = _profiles(), active_profile()
    if as_json:
        return echo_json([{"name": name, "active": name == active} for name in profiles.names])
    for name in profiles.names:
        say(f"{'*' if name == active else ' '} {name}")


@command.command()
@click.argument("name")
@click.option("--from", "source", metavar="NAME", help="Copy the settings of this profile.")
def create(name: str, source: str | None) -> None:
    """Make a profile. Exits with 1 if there is one of that name."""
    from orchestrator.configuration import profiles_file

    def edit(profiles: Profiles) -> Profiles:
        if name in profiles.settings:
            raise click.ClickException(
                f"Profile {name!r} already exists. `orchestrator profile delete {name}` removes it."
            )
        return profiles.with_profile(name, profiles.of(source) if source is not None else {})

    profiles_file.change(edit)
    say(f"Created profile {name!r}{f' with the settings of {source!r}' if source is not None else ''}.")
    say(f"  make it the active one:    orchestrator profile use {name}")
    say(f"  take it for one command:   orchestrator --profile {name} config view")


@command.command()
@click.argument("name")
def use(name: str) -> None:
    """Make a profile the active one."""
    from orchestrator.configuration import profiles_file

    def edit(profiles: Profiles) -> Profiles:
        return replace(profiles, active=_existing(profiles, name))

    profiles_file.change(edit)
    say(f"{name!r} is the active profile now.")
    _say_overridden(name)


@command.command()
@click.argument("name", required=False)
@click.option("--show-secrets/--hide-secrets", help="Keys, tokens and passwords as they are.  [default: hidden]")
@as_json
def inspect(name: str | None, show_secrets: bool, as_json: bool) -> None:
    """Show the settings of a profile; of the active one unless one is named."""
    from orchestrator.configuration.names import setting_named
    from orchestrator.configuration.sources import active_profile
    from orchestrator.errors import ConfigurationError
    from orchestrator.settings import Settings
    from task_workers.cli.config import HIDDEN, shown_text

    wanted = name or active_profile()
    found = _profiles().of(_existing(_profiles(), wanted))
    shown = {}
    for variable, value in found.items():
        try:
            shown[variable] = shown_text(setting_named(variable, Settings.model_fields), value, show_secrets)
        except ConfigurationError:  # not known here, so that it might be a secret
            shown[variable] = value if show_secrets else HIDDEN
    if as_json:
        return echo_json({"name": wanted, "settings": shown})
    if name is None:
        say(f"No name provided, defaulting to {wanted!r}")
    if not shown:
        say(f"Profile {wanted!r} is empty: orchestrator --profile {wanted} config set NAME=VALUE")
    for variable, value in shown.items():
        say(f"{variable}={value!r}")


@command.command()
@click.argument("name")
@click.argument("new_name")
def rename(name: str, new_name: str) -> None:
    """Give a profile another name."""
    from orchestrator.configuration import profiles_file

    def edit(profiles: Profiles) -> Profiles:
        settings = profiles.of(_existing(profiles, name))
        if new_name in profiles.settings:
            raise click.ClickException(f"Profile {new_name!r} already exists.")
        active = new_name if profiles.active == name else profiles.active
        return replace(profiles.without(name).with_profile(new_name, settings), active=active)

    profiles_file.change(edit)
    say(f"Renamed profile {name!r} to {new_name!r}.")
    if os.environ.get("ORCHESTRATOR_PROFILE") == name:
        say(f"ORCHESTRATOR_PROFILE still says {name!r}: change it to {new_name!r}.", err=True)


@command.command()
@click.argument("name")
@with_yes
def delete(name: str, yes: bool) -> None:
    """Delete a profile that is not in use; `default` becomes empty."""
    from orchestrator.configuration import profiles_file
    from orchestrator.configuration.sources import active_profile

    def edit(profiles: Profiles) -> Profiles:
        _existing(profiles, name)
        if name in (active_profile(), profiles.active):
            raise click.ClickException(
                f"Profile {name!r} is the active profile. Switch to another one before: orchestrator profile use NAME"
            )
        return profiles.without(name)

    edit(_profiles())
    ask_on_a_terminal(f"Delete the profile {name!r} with its settings?", yes)
    profiles_file.change(edit)
    say(f"{'Reset' if name == 'default' else 'Removed'} profile {name!r}.")


def _profiles() -> Profiles:
    from orchestrator.configuration import profiles_file
    from orchestrator.configuration.profiles import Profiles

    return profiles_file.read() or Profiles()


def _existing(profiles: Profiles, name: str) -> str:
    """Raises ClickException, exit code 1, where there is none of that name."""
    if name not in profiles.names:
        raise click.ClickException(f"Profile {name!r} not found! There are: {', '.join(profiles.names)}.")
    return name


def _say_overridden(name: str) -> None:
    named = os.environ.get("ORCHESTRATOR_PROFILE")
    if named and named != name:
        say(f"ORCHESTRATOR_PROFILE={named} wins here: `unset ORCHESTRATOR_PROFILE` clears it.", err=True)
