"""What is asked of the store itself, beside lists of runs: progress, dead letters, scheduled calls, health."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import msgpack

from brokers.errors import BrokerError
from brokers.redis import dead_letters as letters
from brokers.redis import health as fitness
from orchestrator.fleet import Fleet
from orchestrator.inspection import RunView
from orchestrator.server.answers import Dead, DeadGroup, Health, IndexState, ScheduledPage
from orchestrator.server.index.facts import first_line

if TYPE_CHECKING:
    from orchestrator.server.queries import Queries

EVERY_DEAD_LETTER: Final = 1_000_000
GROUPED_AT_MOST: Final = 2_000  # dead letters, the newest ones
UPSTREAMS_AT_MOST: Final = 100  # of one run


def progress_of(fleet: Fleet, run_ids: Sequence[str]) -> dict[str, dict[str, object]]:
    """What tasks say of their progress: ``done``, ``total``, ``note``, ``fraction`` and ``moment``."""
    if not run_ids:
        return {}
    return {
        run_id: {**told._asdict(), "fraction": told.fraction}
        for run_id, told in fleet.logs.progress_of(list(run_ids)).items()
    }


def upstreams_of(fleet: Fleet, run_ids: Sequence[str]) -> dict[str, list[str]]:
    """Run -> the runs whose results it takes, of those that take any."""
    if not run_ids:
        return {}
    keys = fleet.broker.keys
    replies = fleet.broker.wires.commands([("HGET", keys.record(run_id), "u") for run_id in run_ids])
    return {run_id: _ids(packed) for run_id, packed in zip(run_ids, replies, strict=True) if packed}


def _ids(packed: bytes) -> list[str]:
    try:
        read: Any = msgpack.unpackb(packed)
        return list(dict.fromkeys(str(run_id) for run_id in read))[:UPSTREAMS_AT_MOST]
    except Exception:  # a damaged record has no upstreams
        return []


def dead_letters(queries: Queries) -> Dead:
    """Grouped by task and the first line of the error, the largest groups first."""
    broker = queries.fleet.broker
    runs = queries.views(broker.dead_letters(GROUPED_AT_MOST))
    groups: dict[tuple[str, str], list[RunView]] = {}
    for run in runs:
        groups.setdefault((run.task, first_line(run.message or "")), []).append(run)
    told = [
        DeadGroup(task, error, len(some), max((run.ended for run in some if run.ended), default=None), _names(some))
        for (task, error), some in groups.items()
    ]
    return Dead(letters.count(broker), len(runs), sorted(told, key=lambda group: -group.count))


def _names(runs: Sequence[RunView]) -> list[str]:
    return [run.id for run in runs]


def scheduled(queries: Queries, cursor: str | None, limit: int) -> ScheduledPage:
    """The cursor is a number of calls: what becomes due while somebody turns pages moves them up.

    Raises:
        ValueError: that is no cursor.
    """
    if cursor is not None and not (cursor.isascii() and cursor.isdigit() and len(cursor) < 12):
        raise ValueError(f"{cursor[:40]!r} is not a cursor: give one that a page had, or none")
    first, broker = int(cursor or 0), queries.fleet.broker
    key = broker.keys.delayed
    total, ids = broker.wires.commands([("ZCARD", key), ("ZRANGE", key, first, first + limit - 1)])
    runs = queries.views([run_id.decode() for run_id in ids])
    following = str(first + limit) if first + limit < int(total) else None
    return ScheduledPage(runs, following, int(total))


def health(fleet: Fleet, index: IndexState) -> Health:
    """How the server underneath is; says so, too, when it does not answer."""
    from orchestrator import __version__

    facts: dict[str, str] = {}
    try:
        warnings, reachable = fitness.warnings(fleet.broker), True
        facts = fitness.server_facts(fleet.broker)
    except BrokerError as error:
        warnings, reachable = [f"the server does not answer: {error}"], False
    return Health(
        reachable,
        warnings,
        int(facts.get("used_memory", "0")),
        int(facts.get("maxmemory", "0")),
        int(facts.get("used_memory_peak", "0")),
        facts.get("maxmemory_policy", ""),
        facts.get("aof_enabled") == "1",
        "celery" if fleet.broker.carried else "redis",
        fleet.settings.namespace,
        __version__,
        index,
    )
