"""Flow runs, newest first: from the journal, the lists of deployments, and their records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any, Final, NamedTuple
from uuid import UUID

from brokers.base import Broker, Journal
from brokers.stored import number, text, text_or_none, whole
from orchestrator.client.fleet import Fleet
from orchestrator.errors import BrokerRefused
from orchestrator.inspection.flow_run_standings import shown_states
from orchestrator.inspection.flow_run_states import ENDED, ShownState
from orchestrator.serializers.outcomes import message_of_flow, read_outcome

MAX_ENTRIES: Final = 20_000  # of the journal that are searched
_ENTRIES_PER_PAGE: Final = 500
_RECORDS_PER_TRIP: Final = 100
_FIRST: Final = datetime.fromtimestamp(0, UTC)
_UNKNOWN: Final = ShownState("", "")  # the record says nothing of a state


@dataclass(frozen=True, slots=True)
class FlowRunRow:
    """A flow run in a list. Moments are in UTC; ``None`` where they are not known."""

    id: str
    flow: str
    name: str
    state_type: str
    state_name: str
    message: str
    began: datetime | None
    ended: datetime | None
    run_count: int
    parent_flow_run_id: str | None
    deployment: str | None = None  # flow/deployment
    deployment_id: str | None = None
    expected: datetime | None = None  # when a run of a deployment was to begin

    @property
    def has_ended(self) -> bool:
        """Whether its state is final."""
        return self.state_type in ENDED

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        facts = asdict(self)
        return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in facts.items()}


class FlowRunFilter(NamedTuple):
    """Which flow runs are wanted; what is empty is no condition. ``*`` and ``?`` mean any.

    Attributes:
        flows: names of flows.
        states: types or names of states, any case.
        deployments: ``flow/deployment``, or ids of deployments.
    """

    flows: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    deployments: tuple[str, ...] = ()

    def fits(self, row: FlowRunRow) -> bool:
        """Whether a flow run is wanted."""
        names = (row.deployment or "", row.deployment_id or "")
        return (
            _any_fits(self.flows, row.flow)
            and _any_fits(self.states, row.state_type, row.state_name)
            and _any_fits(self.deployments, *names)
        )


def _any_fits(patterns: tuple[str, ...], *texts: str) -> bool:
    return not patterns or any(
        fnmatchcase(text.lower(), pattern.lower()) for pattern in patterns for text in texts if text
    )


EVERY_FLOW_RUN: Final = FlowRunFilter()


def flow_runs_of(fleet: Fleet, wanted: FlowRunFilter = EVERY_FLOW_RUN, limit: int = 50) -> list[FlowRunRow]:
    """The flow runs that changed last, the newest first; of deployments that are named those that begin last.

    Args:
        fleet: the fleet that keeps them.
        wanted: which of them.
        limit: how many at most.

    Raises:
        BrokerError: the server does not respond.
    """
    with suppress(BrokerRefused):  # this user of the server may only read
        fleet.flow_reports.end_silent_runs()
    ids = _deployment_ids(fleet, wanted.deployments)
    if not ids:
        return _first_of(fleet, _batches(fleet.broker), wanted, limit)
    found = [row for one in ids for row in _first_of(fleet, _listed(fleet.broker, one), wanted, limit)]
    found.sort(key=lambda row: row.expected or _FIRST, reverse=True)
    return found[:limit]


def _first_of(fleet: Fleet, batches: Iterator[list[str]], wanted: FlowRunFilter, limit: int) -> list[FlowRunRow]:
    found: list[FlowRunRow] = []
    for run_ids in batches:
        found += [row for row in flow_run_rows(fleet, run_ids) if wanted.fits(row)]
        if len(found) >= limit:
            break
    return found[:limit]


def _deployment_ids(fleet: Fleet, named: tuple[str, ...]) -> list[str]:
    """The deployments that are meant, where each is named in full and is there; none otherwise."""
    ids = [_as_id(name) for name in named]
    found = fleet.broker.documents.find("deployment", list(named)) if named else []
    known = [one or other for one, other in zip(ids, found, strict=True)]
    return list(dict.fromkeys(filter(None, known))) if all(known) else []


def _as_id(name: str) -> str | None:
    try:
        return str(UUID(name))
    except ValueError:
        return None


def flow_run_rows(fleet: Fleet, run_ids: Sequence[str]) -> list[FlowRunRow]:
    """These flow runs as they stand now, without those whose records have expired. Raises BrokerError."""
    records = dict(zip(run_ids, fleet.broker.flow_runs.read_many(run_ids), strict=True))
    states = shown_states(fleet, records)
    rows = [row_of(run_id, fields, states.get(run_id, _UNKNOWN)) for run_id, fields in records.items() if fields]
    return _with_ends(fleet, rows)


def _with_ends(fleet: Fleet, rows: list[FlowRunRow]) -> list[FlowRunRow]:
    """With what their calls say of ends that flow runs did not write themselves: cancelled by the server, given up."""
    mute = [row.id for row in rows if row.state_type in ("CANCELLED", "CRASHED") and not row.message]
    calls = {call.run_id: call for call in fleet.broker.records.read(mute)} if mute else {}
    ends = {run_id: read_outcome(run_id, call.status, call.outcome or b"\0") for run_id, call in calls.items()}
    return [replace(row, message=ends[row.id].message or "") if row.id in ends else row for row in rows]


def row_of(run_id: str, fields: dict[str, bytes], state: ShownState) -> FlowRunRow:
    """A flow run's record as a row, in a state; never raises, whatever the record holds."""
    kind, name = state
    return FlowRunRow(
        run_id,
        text(fields.get("flow")),
        text(fields.get("name")),
        kind,
        name,
        message_of_flow(run_id, fields.get("message", b"")),
        _moment(fields.get("began")),
        _moment(fields.get("at")) if kind in ENDED else None,
        whole(fields.get("runs")),
        text_or_none(fields.get("parent")),
        text_or_none(fields.get("dname")),
        text_or_none(fields.get("deployment")),
        _moment(fields.get("expected")),
    )


def _moment(stored: bytes | None) -> datetime | None:
    seconds = number(stored)
    try:
        return datetime.fromtimestamp(seconds, UTC) if seconds else None
    except (ValueError, OverflowError, OSError):
        return None


def _batches(broker: Broker) -> Iterator[list[str]]:
    """Every flow run: those that changed last first, then runs of deployments that the journal knows no longer."""
    seen: set[str] = set()
    yield from _of_journal(broker.journal, seen)
    for batch in _listed(broker):
        if fresh := [run_id for run_id in batch if run_id not in seen]:
            yield fresh


def _listed(broker: Broker, deployment_id: str | None = None) -> Iterator[list[str]]:
    """The runs of deployments, or of one, the last to begin first."""
    for first in range(0, MAX_ENTRIES, _RECORDS_PER_TRIP):
        _, batch = broker.flow_runs.listed(deployment_id, first, _RECORDS_PER_TRIP)
        if batch:
            yield batch
        if len(batch) < _RECORDS_PER_TRIP:
            return


def _of_journal(journal: Journal, seen: set[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    first, looked = "+", 0
    while looked < MAX_ENTRIES:
        entries = journal.backwards(first, _ENTRIES_PER_PAGE)
        for _, changes in entries:
            for change in reversed(changes):
                if change.of_flow and change.run_id not in seen:
                    seen.add(change.run_id)
                    batch.append(change.run_id)
            if len(batch) >= _RECORDS_PER_TRIP:
                yield batch
                batch = []
        if len(entries) < _ENTRIES_PER_PAGE:
            break
        looked += len(entries)
        first = f"({entries[-1][0]}"
    if batch:
        yield batch
