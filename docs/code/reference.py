"""Writes the pages that are made from code: the commands (``cli-reference.md``) and the settings (``settings.md``).

``python -m docs.code.reference`` rewrites them; ``tests/house/test_site.py`` says when they are stale.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import click

from orchestrator.configuration.names import OF_PREFECT, variable_of
from orchestrator.settings import Settings, describe
from task_workers.cli.group import command as whole

DOCS: Final = Path(__file__).parents[1]
NOTE: Final = "<!-- made by python -m docs.code.reference: edit the code, not this page -->"


def cli_page() -> str:
    """Every command with its arguments and options, in the order of ``orchestrator --help``."""
    parts = [
        "# Commands",
        NOTE,
        "What `orchestrator COMMAND --help` says. A flag wins over its variable, the variable over the default. Every "
        "option is also a variable: `orchestrator runs ls --limit` is `ORCHESTRATOR_RUNS_LS_LIMIT`.",
    ]
    root = click.Context(whole, info_name="orchestrator")
    for name in whole.list_commands(root):
        child = whole.get_command(root, name)
        assert child is not None
        for context in _with_those_below(click.Context(child, info_name=name, parent=root)):
            parts += _about(context)
    return "\n\n".join(parts) + "\n"


def _with_those_below(context: click.Context) -> Iterator[click.Context]:
    """A command and, if it is a group, all below it."""
    yield context
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            child = context.command.get_command(context, name)
            if child is not None and not child.hidden:
                yield from _with_those_below(click.Context(child, info_name=name, parent=context))


def _about(context: click.Context) -> list[str]:
    command = context.command
    depth = context.command_path.count(" ")
    parts = [f"{'#' * (depth + 1)} {context.command_path}", *_paragraphs(command.help or "")]
    if not isinstance(command, click.Group) or command.invoke_without_command:
        usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
        parts.append(f"```\n{usage}\n```")
    rows = [
        (
            f"`{_escaped(record[0])}`",
            _quoted(_escaped(re.sub(r" *\[([^\[\]]*)\](?=( *\[[^\[\]]*\])*$)", r" (\1)", record[1]))),
        )
        for parameter in command.get_params(context)
        if isinstance(parameter, click.Option) and "--help" not in parameter.opts
        if (record := parameter.get_help_record(context)) is not None
    ]
    if rows:
        parts.append(_table(("option", "what it does"), rows))
    parts += _paragraphs(command.epilog or "")
    return parts


def _paragraphs(text: str) -> list[str]:
    """Help texts as Markdown: what click leaves as it stands becomes a block."""
    parts = []
    for part in re.split(r"\n\s*\n", _unindented(text)):
        if part.startswith("\b"):
            parts.append(f"```\n{part.removeprefix(chr(8)).strip(chr(10))}\n```")
        elif part.strip():
            parts.append(_quoted(part))
    return parts


def _unindented(text: str) -> str:
    return "\n".join(line.strip() for line in text.strip().splitlines())


def _quoted(text: str) -> str:
    """On one line, with stars and brackets as themselves but in code."""
    return re.sub(r"([*<\[])(?![^`]*`)", r"\\\1", " ".join(text.split()))


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


PROFILES: Final = """## Profiles

Settings may also stand in profiles, in a file of yours, of which one is active:

```
orchestrator config set ORCHESTRATOR_REDIS_URL=redis://127.0.0.1:6379/0    # in the active profile; unset takes it out
orchestrator profile create staging --from default
orchestrator --profile staging config set ORCHESTRATOR_REDIS_URL=rediss://store.staging:6379/0
orchestrator profile use staging                                           # ls, inspect, rename, delete
orchestrator config view --show-defaults                                   # what holds, and where it comes from
orchestrator config validate
```

A flag of a command wins over a variable, a variable over the profile, the profile over the default.
`ORCHESTRATOR_PROFILE` takes another profile than the active one for a program, `--profile` for a command. The file is
`~/.config/orchestrator/profiles.toml` (`$XDG_CONFIG_HOME` counts, `ORCHESTRATOR_PROFILES_PATH` names another), it is
yours alone (0600), and its form is that of Prefect's. Workers and serving processes read it when they start: children
that they start later have the same settings, whatever becomes of the profile meanwhile. A damaged file is an
error, with its line.

Names of Prefect that mean the same are taken by `config set`, in profiles, and with
`ORCHESTRATOR_ACCEPT_PREFECT_VARIABLES=1` in the environment: """


def _of_prefect() -> str:
    return ", ".join(f"`{theirs}` ({variable_of(ours)})" for theirs, ours in OF_PREFECT.items()) + (
        ". Of others that have a meaning here, as `PREFECT_HOME`, `config set` says where it is written, and\n"
        "`config view` names those that are set in the environment and not read."
    )


def settings_page() -> str:
    """Every setting: variable, default, meaning."""
    rows = [
        (f"`{row.variable}`", f"`{_escaped(row.default)}`" if row.default else "", _quoted(_escaped(row.meaning)))
        for row in describe()
    ]
    parts = [
        "# Settings",
        NOTE,
        f"All {len(Settings.model_fields)} settings of clients and workers, each an environment variable, read "
        "when it is first needed, never on import. `orchestrator config show` prints those in force, and where each "
        "comes from. Times are in seconds, sizes in bytes, truths are `true` or `false`.",
        PROFILES + _of_prefect(),
        "## All settings",
        _table(("variable", "default", "meaning"), rows),
    ]
    return "\n\n".join(parts) + "\n"


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


PAGES: Final[dict[Path, Callable[[], str]]] = {
    DOCS / "cli-reference.md": cli_page,
    DOCS / "settings.md": settings_page,
}


def main() -> None:
    """Rewrite both pages."""
    for file, page in PAGES.items():
        file.write_text(page())


if __name__ == "__main__":
    main()
