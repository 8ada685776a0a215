"""``orchestrator events``: listed, followed and reported on the command line, in words that Prefect's users know."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.client.fleet import Fleet
from orchestrator.events import emit_event
from orchestrator.events.subscription import Subscription
from tests.support.command_line import Command, command_on

pytestmark = pytest.mark.parametrize("row", ["embedded"], indirect=True)  # what it says does not depend on the engine


@pytest.fixture
def command(fleet: Fleet) -> Command:
    return command_on(fleet)


def test_an_event_is_reported_and_listed(command: Command) -> None:
    related = '[{"prefect.resource.id": "c.1", "prefect.resource.role": "customer"}]'
    done = command(
        "event", "emit", "cli.paid", "--resource-id", "cli.7", "--resource", "size=3", "--related", related,
        "--payload", '{"total": 12}',
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Successfully emitted event 'cli.paid' with ID ")
    (found,) = json.loads(command("events", "ls", "--filter", "cli.paid", "-o", "json").stdout)
    assert found["resource"] == {"size": "3", "prefect.resource.id": "cli.7"}
    assert (found["payload"], found["related"][0]["prefect.resource.role"]) == ({"total": 12}, "customer")
    table = command("events", "ls", "--resource", "cli.*", "--since", "1h", "--text", "12").stdout
    assert "cli.paid" in table
    assert "no such events" in command("events", "ls", "--filter", "cli.unpaid").stdout


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ((), "a resource needs the label prefect.resource.id"),
        (("--resource", "x"), "is neither KEY=VALUE nor a JSON object"),
        (("--resource-id", "x", "--payload", "[1]"), "is not a JSON object"),
        (("--resource-id", "x", "--related", "{"), "is not JSON"),
        (("--resource-id", "x", "--related", "[{}]"), "a resource needs the label"),
    ],
)
def test_what_can_be_no_event_is_one_line_and_no_zero(command: Command, arguments: tuple[str, ...], line: str) -> None:
    done = command("events", "emit", "cli.wrong", *arguments)
    assert done.returncode in (1, 2)
    assert line in done.stderr
    assert "Traceback" not in done.stderr


def test_a_list_goes_on_where_it_stopped(command: Command) -> None:
    for number in range(3):
        emit_event(f"cli.page.{number}", {"prefect.resource.id": "cli.8"})
    first = command("events", "ls", "-f", "cli.page.*", "-n", "2")
    cursor = first.stderr.rpartition("--cursor ")[2].strip()
    assert "cli.page.0" in command("events", "ls", "-f", "cli.page.*", "--cursor", cursor).stdout
    assert command("events", "ls", "--cursor", "x").returncode == 2


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_stream_has_what_happens_while_it_is_open(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, form: str
) -> None:
    entered = Subscription.__enter__

    def enter(events: Subscription) -> Subscription:
        emit_event("cli.opened", {"prefect.resource.id": "cli.9"})
        return entered(events)

    monkeypatch.setattr(Subscription, "__enter__", enter)
    file = tmp_path / "events"
    options = ["events", "stream", "--filter", "cli.opened", "--run-once", "--format", form]
    line = command(*options).stdout.strip()
    done = command(*options, "--output-file", str(file))
    assert (done.returncode, done.stdout) == (0, "")
    for text in (line, file.read_text().strip()):
        assert (json.loads(text)["resource"]["prefect.resource.id"] if form == "json" else text.split()[-1]) == "cli.9"
