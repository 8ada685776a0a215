"""Odd values on the command line: a line about usage and exit code 2, no traceback and no wait without an end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from orchestrator.errors import ConfigurationError
from task_workers.cli.deployment_schedule import _one
from task_workers.cli.group import COMMANDS, command
from task_workers.cli.terminal import json_or_text, refused_values
from task_workers.health.probe_server import ProbeServer

ODD = ("nan", "inf", "1e300", "9" * 30)
APP = "import orchestrator\n\n@orchestrator.flow\ndef nightly(day: int = 1) -> int:\n    return day\n"
DEEP = "[" * 100_000


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("app") / "app_of_odd_values.py"
    made.write_text(APP)
    return made


def options_of(group: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Parameter]]:
    if isinstance(group, click.Group):
        for name in group.list_commands(click.Context(group)):
            one = group.get_command(click.Context(group), name)
            assert one is not None
            yield from options_of(one, (*path, name))
    for param in group.params:
        yield f"{' '.join(path)} {param.name}", param


def typed(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments)


def test_no_option_takes_a_number_that_nothing_can_count() -> None:
    taken = []
    numbers = 0
    for name, param in options_of(command):
        is_number = isinstance(param.type, click.types.IntParamType | click.types.FloatParamType)
        if not is_number or getattr(param, "is_flag", False):
            continue
        numbers += 1
        for text in ODD:
            try:
                param.type.convert(text, param, None)
            except click.BadParameter:
                continue
            taken.append((name, text))
    assert len(COMMANDS) > 30
    assert numbers > 30
    assert [one for one in taken if not one[0].endswith(("watch_interval", "prefetch_seconds"))] == []  # not used


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--cron", "x y"], "it needs 5"),
        (["--interval", "0"], "at least 1 second"),
        (["--rrule", "nope"], "is not valid"),
        (["--cron", "0 2 * * *", "--timezone", "Mars/Base"], "no time zone 'Mars/Base'"),
        (["-n", "a/b"], "none of / % & < > is allowed"),
        (["-n", ""], "is no name for a deployment"),
    ],
)
def test_a_schedule_or_name_that_serve_refuses(options: list[str], told: str, app: Path) -> None:
    done = typed("serve", f"{app}:nightly", *options)
    assert (done.exit_code, told in done.stderr) == (2, True), done.output


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["block", "register", "-f", "/etc/hostname"], 1, "is no Python file"),
        (["deployment", "run", "a/b", "--start-in", "9999999d"], 2, "beyond the calendar"),
        (["automation", "create", "--from-json", "[]"], 1, "there is no automation in it"),
        (["task", "ls", "-A", "."], 1, "is a directory without __init__.py: name a module in it"),
        (["server", "start", "--host", ""], 2, "give an address"),
        (["server", "start", "--root-path", "x"], 2, "write /x"),
        (["block", "create", "secret", "x", "-p", "pa55word"], 2, "write FIELD=VALUE"),
        (["worker", "-A", "x", "-c", "1000000"], 1, "4,096"),
        (["worker", "-A", "x", "--max-memory-per-child", "-1"], 1, "MiB above 0"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_it_is_told_in_a_line(arguments: list[str], code: int, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_REDIS_URL", "redis://127.0.0.1:1/0")
    done = typed(*arguments)
    assert (done.exit_code, told in done.stderr) == (code, True), (done.output, done.exception)
    assert "Traceback" not in done.output
    assert "pa55word" not in done.output


def test_what_is_nested_too_deep_for_json_is_a_text() -> None:
    assert json_or_text(DEEP) == DEEP


def test_only_values_are_refused() -> None:
    with pytest.raises(click.UsageError, match="no such colour"), refused_values():
        raise ValueError("no such colour")
    with pytest.raises(LookupError), refused_values():
        raise LookupError("ours to mend")


def test_an_empty_id_means_no_schedule_not_the_only_one() -> None:
    with pytest.raises(click.UsageError, match="The id is empty"):
        _one("etl/nightly", [], "")


def test_an_empty_address_does_not_open_a_port_to_everybody() -> None:
    with pytest.raises(ConfigurationError, match="--listen is empty"):
        ProbeServer("", 0, {})
