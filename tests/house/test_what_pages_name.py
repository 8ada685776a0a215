"""Commands, options and variables that the pages name exist, in the form in which they are written."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from docs.code.gather import pages
from orchestrator.settings import describe
from task_workers.cli.group import command as whole

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *(file for name, file in pages().items() if name != "changelog.md")]
EVERY_PAGE = sorted({*PAGES, *ROOT.glob("[A-Z]*.md"), *ROOT.glob("tests/**/*.md"), *ROOT.glob("examples/**/*.md")})
FLOORS = (ROOT, ROOT / "orchestrator")
OTHER_VARIABLES = {  # read by tests, tools and examples of ours, but where it says more
    "ORCHESTRATOR_ABSENCES",
    "ORCHESTRATOR_ACCEPT_PREFECT_VARIABLES",  # these two are read before there are settings
    "ORCHESTRATOR_PROFILES_PATH",
    "ORCHESTRATOR_MODEL_EXAMPLES",
    "ORCHESTRATOR_SWEEP",
}


def commands_on(text: str) -> Iterator[list[str]]:
    """The words of each ``orchestrator ...`` that stands in code, up to a comment, a pipe or a bracket."""
    in_blocks = re.findall(r"^(?:    |\$ |)orchestrator ([a-z].*)$", text, re.MULTILINE)
    for line in [*in_blocks, *re.findall(r"`orchestrator ([a-z][^`]*)`", text)]:
        plain = re.split(r" +#|[|&>…\[]|\.\.\.", " ".join(line.split()))[0]
        try:
            yield shlex.split(plain)
        except ValueError:
            yield plain.split()


def all_commands() -> dict[tuple[str, ...], click.Command]:
    """Every command by its path below ``orchestrator``."""
    found: dict[tuple[str, ...], click.Command] = {}

    def walk(command: click.Command, path: tuple[str, ...]) -> None:
        found[path] = command
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                child = command.get_command(context, name)
                assert child is not None
                walk(child, (*path, name))

    walk(whole, ())
    return found


COMMANDS = all_commands()


def complaint(words: list[str]) -> str | None:
    """What is wrong with a command line, as far as names go."""
    path: tuple[str, ...] = ()
    while words and (*path, words[0]) in COMMANDS:
        path, words = (*path, words[0]), words[1:]
    command = COMMANDS[path]
    if isinstance(command, click.Group) and words and not words[0].startswith("-") and words[0].islower():
        return f"no command {' '.join((*path, words[0]))}"
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    named = {word.partition("=")[0].rstrip(",;") for word in words if re.match(r"--?[a-zA-Z]", word)}
    unknown = named - known - {"-h", "--help"}
    return f"{' '.join(path)} has no option {', '.join(sorted(unknown))}" if unknown else None


@pytest.mark.parametrize("file", PAGES, ids=lambda file: str(file.relative_to(ROOT)))
def test_commands_and_options_on_a_page_exist(file: Path) -> None:
    complaints = {complaint(words) for words in commands_on(file.read_text())} - {None}
    assert not complaints


@pytest.mark.parametrize("file", PAGES, ids=lambda file: str(file.relative_to(ROOT)))
def test_variables_on_a_page_exist(file: Path) -> None:
    named = set(re.findall(r"\bORCHESTRATOR_[A-Z_]+[A-Z]\b", file.read_text()))
    settings = {setting.variable for setting in describe()}
    options = {variable for path, command in COMMANDS.items() for variable in variables_of(path, command)}
    assert named - settings - options - OTHER_VARIABLES == set()


@pytest.mark.parametrize("file", EVERY_PAGE, ids=lambda file: str(file.relative_to(ROOT)))
def test_files_and_folders_on_a_page_exist(file: Path) -> None:
    """Those that begin at the root of the repository, or at a room of ``orchestrator/``."""
    named = re.findall(r"`([.\w]+/[\w.*/-]*)`", file.read_text())
    begun = [(floor, name) for name in named for floor in FLOORS if (floor / name.partition("/")[0]).is_dir()]
    assert [name for floor, name in begun if not any(floor.glob(name.rstrip("/")))] == []


def variables_of(path: tuple[str, ...], command: click.Command) -> Iterator[str]:
    """The variables of a command's options: those that it names, and the one made of the path and the option."""
    prefix = command.context_settings.get("auto_envvar_prefix") or "_".join(("ORCHESTRATOR", *path))
    for parameter in command.params:
        yield from [parameter.envvar] if isinstance(parameter.envvar, str) else parameter.envvar or []
        yield f"{prefix}_{parameter.name}".upper().replace("-", "_")


def test_commands_are_found_on_the_pages() -> None:
    found = [words for file in PAGES for words in commands_on(file.read_text())]
    assert len(found) > 80
    assert {words[0] for words in found if words} >= {"worker", "runs", "dead", "queues", "server", "check"}
    assert complaint(["worker", "--warp"]) == "worker has no option --warp"
    assert complaint(["runs", "fly"]) == "no command runs fly"
