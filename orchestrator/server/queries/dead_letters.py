"""Dead letters: grouped by task and error, replayed, purged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from orchestrator.inspection import RunView
from orchestrator.server.index.facts import first_line
from orchestrator.server.queries.context import QueryContext
from orchestrator.server.queries.run_actions import RunActions
from orchestrator.server.view_models import Dead, DeadGroup, Done

MAX_GROUPED: Final = 2_000  # dead letters, the newest ones
ALL: Final = 1_000_000


class DeadLetterQueries:
    """The dead letters of the fleet."""

    def __init__(self, context: QueryContext, actions: RunActions) -> None:
        self._context, self._actions = context, actions

    def groups(self) -> Dead:
        """Grouped by task and the first line of the error, the largest groups first."""
        broker = self._context.fleet.broker
        runs = self._context.views(broker.dead_letters.newest(MAX_GROUPED))
        by_error: dict[tuple[str, str], list[RunView]] = {}
        for run in runs:
            by_error.setdefault((run.task, first_line(run.message or "")), []).append(run)
        groups = [_group(task, error, some) for (task, error), some in by_error.items()]
        return Dead(broker.dead_letters.count(), len(runs), sorted(groups, key=lambda group: -group.count))

    def replay(self, run_ids: Sequence[str] | None = None) -> Done:
        """Queue dead letters again; all unless ids are given."""
        return self._actions.retry(self._among(run_ids))

    def purge(self, run_ids: Sequence[str] | None = None) -> Done:
        """Delete dead letters; all unless ids are given."""
        return self._actions.delete(self._among(run_ids))

    def _among(self, run_ids: Sequence[str] | None) -> list[str]:
        """The dead letters among these runs; all of them for ``None``."""
        dead = self._context.fleet.broker.dead_letters.newest(ALL)
        if run_ids is None:
            return dead
        wanted = set(run_ids)
        return [run_id for run_id in dead if run_id in wanted]


def _group(task: str, error: str, runs: Sequence[RunView]) -> DeadGroup:
    newest = max((run.ended for run in runs if run.ended), default=None)
    return DeadGroup(task, error, len(runs), newest, [run.id for run in runs])
