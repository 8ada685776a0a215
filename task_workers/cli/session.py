"""The fleet and the apps of a command, and whole ids for the parts that people type."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from orchestrator.observability.plain_text import on_one_line
from task_workers.cli.terminal import say

if TYPE_CHECKING:
    from orchestrator.client.fleet import Fleet


@contextmanager
def the_fleet() -> Iterator[Fleet]:
    """The fleet of this process, closed afterwards."""
    from orchestrator.client.fleet import current_fleet

    fleet = current_fleet()
    try:
        yield fleet
    finally:
        fleet.close()


def whole_ids(fleet: Fleet, texts: Sequence[str]) -> list[str]:
    """Complete ids: each may be whole, a beginning, or the end that lists and the dashboard show.

    An unknown part stays as it is. Raises ``click.UsageError`` for a part that is ambiguous, blank or too short.
    """
    from orchestrator.inspection import find_run_ids
    from orchestrator.inspection.id_lookup import ID_LENGTH, MIN_PART, is_too_short

    selected = []
    for text in texts:
        if not text.strip():
            raise click.UsageError("the id of the run is blank: a variable that was not set?")
        if is_too_short(text):
            raise click.UsageError(f"{text!r} is too short: give {MIN_PART} or more characters of a run's id")
        found = [] if len(text) >= ID_LENGTH else find_run_ids(fleet, text)
        if len(found) > 1:
            raise click.UsageError(f"{text!r} may mean any of these runs:\n{_candidates(fleet, found)}")
        selected.append(found[0] if found else text)
    return selected


def _candidates(fleet: Fleet, run_ids: Sequence[str]) -> str:
    from orchestrator.inspection import views_of

    tasks = {view.id: f"{view.task}  {view.state_name}" for view in views_of(fleet, run_ids)}
    return "\n".join(f"  {run_id}  {on_one_line(tasks.get(run_id, 'a flow run'))}" for run_id in run_ids)


def whole_id(fleet: Fleet, text: str) -> str:
    """Complete one id."""
    return whole_ids(fleet, [text])[0]


def polled_queues(fleet: Fleet) -> set[str]:
    """The queues that live processes read. Raises BrokerError."""
    return {queue for facts in fleet.live_workers().values() for queue in facts.get("queues", "").split(",") if queue}


def import_apps(apps: Sequence[str]) -> None:
    """Import modules, which registers their tasks. Raises ConfigurationError."""
    from orchestrator.client.project import begin_at
    from task_workers.app import import_app

    begin_at(apps)
    for app in apps:
        import_app(app)


def say_project(fleet: Fleet) -> None:
    """On the private server, say which project was searched in vain. Raises BrokerError."""
    from orchestrator.client.no_worker import text_of_projects

    if fleet.project is not None:
        elsewhere = text_of_projects(fleet.broker.consumers.projects(fleet.settings.lease_seconds))
        say(f"(looked in the project {fleet.project}{elsewhere})", err=True)
