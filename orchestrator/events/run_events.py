"""Events of runs: made of what the journal says, with labels from their records, which are read many at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import msgpack
from pydantic import ValidationError

from brokers.base import Broker
from brokers.messages import FINAL_STATUSES, Status
from brokers.records import SUBMITTED, Change, Row
from brokers.schema import CallMeta, ScriptedEnd, is_flow_call
from brokers.stored import text, whole
from orchestrator.deployments.names import flow_id_of, pool_id_of
from orchestrator.events.interest import Interest
from orchestrator.events.names import (
    FLOW_RUN,
    RESOURCE_ID,
    RESOURCE_NAME,
    RESOURCE_ROLE,
    STATE_MESSAGE,
    STATE_NAME,
    STATE_TIMESTAMP,
    STATE_TYPE,
    TASK_RUN,
    resource_id,
)
from orchestrator.events.schemas.events import MOST_RELATED, ReceivedEvent
from orchestrator.events.stored import moment_of, placed_id
from orchestrator.runs.run_ids import short_name
from orchestrator.serializers.outcomes import fields_of, message_of_flow, name_of_run, open_state, read_outcome, type_of

LARGEST_OUTCOME: Final = 16_384  # bytes; of runs with larger ones the message and the name of the state are not known
LONGEST_MESSAGE: Final = 1_024  # characters of a message in a label
AT_ONCE: Final = 200
_FLOW_FIELDS: Final = (
    "flow", "name", "type", "state", "message", "runs", "deployment", "dname", "pool", "tags", "parent",
)  # fmt: skip
Fields = dict[str, bytes]
Labels = dict[str, str]


class JournalChange(NamedTuple):
    """One change at its place in the journal."""

    position: str
    place: int  # in its entry
    change: Change


class _State(NamedTuple):
    type: str
    name: str
    message: str = ""


def events_of_runs(
    broker: Broker, changes: Sequence[JournalChange], interest: Interest
) -> list[tuple[JournalChange, ReceivedEvent]]:
    """The events of these changes, in order. A change whose run has no record any more has one with fewer labels.

    Raises:
        BrokerError: the server does not answer.
    """
    known = _Records(broker, changes, interest)
    found = []
    for one in changes:
        event = known.event_of(one)
        if event is not None:
            found.append((one, event))
    return found


class _Records:
    """What the store knows of the runs of some changes."""

    def __init__(self, broker: Broker, changes: Sequence[JournalChange], interest: Interest) -> None:
        self._namespace, self._interest = broker.namespace, interest
        calls = _unique(one.change.run_id for one in changes if _is_wanted(one.change, interest))
        rows = broker.records.rows(calls, LARGEST_OUTCOME) if calls else []
        self._rows = {row.run_id: row for row in rows}
        flows = [one.change.run_id for one in changes if one.change.of_flow and interest.flow_runs]
        flows += [row.run_id if is_flow_call(row.task) else row.flow_run_id or "" for row in rows]
        self._flows = _flow_records(broker, _unique(filter(None, flows)))

    def event_of(self, one: JournalChange) -> ReceivedEvent | None:
        change = one.change
        if change.of_flow:
            return self._of_flow(one, _flow_state(change)) if self._interest.flow_runs else None
        row = self._rows.get(change.run_id)
        if row is None:
            return None
        if is_flow_call(row.task):  # its own reports say all but this
            cancelling = change.status == Status.CANCELLING and self._interest.flow_runs
            return self._of_flow(one, _State("CANCELLING", "Cancelling")) if cancelling else None
        return self._of_task(one, row) if self._interest.task_runs else None

    def _of_flow(self, one: JournalChange, state: _State) -> ReceivedEvent | None:
        run_id = one.change.run_id
        fields = self._flows.get(run_id, {})
        if (text(fields.get("type")), text(fields.get("state"))) == state[:2]:
            state = state._replace(message=message_of_flow(run_id, fields.get("message", b"")))
        related = flow_related(self._namespace, fields)
        return _event(one, FLOW_RUN, text(fields.get("name")), state, related, whole(fields.get("runs")))

    def _of_task(self, one: JournalChange, row: Row) -> ReceivedEvent | None:
        state = _task_state(one.change, row)
        if state is None:
            return None
        meta = CallMeta.shown(row.meta)
        related = []
        if row.flow_run_id:
            fields = self._flows.get(row.flow_run_id, {})
            related.append(labelled(FLOW_RUN, row.flow_run_id, "flow-run", text(fields.get("name"))))
            related += flow_related(self._namespace, fields)
        known = {labels[RESOURCE_ID] for labels in related}
        related += [labels for labels in map(tag, sorted(meta.tags)) if labels[RESOURCE_ID] not in known]
        name = name_of_run(row.run_id, meta.task_name or short_name(row.task), row.name)
        return _event(one, TASK_RUN, name, state, related, row.retries + row.crashes + 1)


def _is_wanted(change: Change, interest: Interest) -> bool:
    """Whether the record of a change's call is to be read. Of a flow's call only its cancellation counts."""
    if change.of_flow or change.status == Status.UNKNOWN:
        return False
    return interest.task_runs or (interest.flow_runs and change.status == Status.CANCELLING)


def _unique(ids: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(ids))


def _flow_records(broker: Broker, run_ids: Sequence[str]) -> dict[str, Fields]:
    found: dict[str, Fields] = {}
    for first in range(0, len(run_ids), AT_ONCE):
        some = run_ids[first : first + AT_ONCE]
        found |= zip(some, broker.flow_runs.read_many(some, _FLOW_FIELDS), strict=True)
    return found


def _flow_state(change: Change) -> _State:
    kind = text(change.status)
    return _State(kind, change.name or kind.capitalize())


def _task_state(change: Change, row: Row) -> _State | None:
    """The state that a task run got; ``None`` where the letter is none."""
    status = change.status
    if status == SUBMITTED:
        return _State("PENDING", "Pending")
    if status == Status.DELAYED:  # a countdown is no change: it was an attempt that failed
        return _State("SCHEDULED", "AwaitingRetry")
    if status not in FINAL_STATUSES:
        state = open_state(row.run_id, status, row.retries if row.status == status else 0, 0)
        return _State(state.type.value, state.name) if state.type.value != "CRASHED" else None
    if row.status != status or not row.outcome:
        return _State(type_of(status).value, "NotReady" if status == Status.NOT_READY else _own_name(status))
    if ScriptedEnd.unpack(row.outcome) is not None:
        ended = read_outcome(row.run_id, status, row.outcome)
        return _State(ended.type.value, ended.name, ended.message or "")
    fields = fields_of(row.run_id, status, row.outcome)
    if fields is None:
        return _State(type_of(status).value, _own_name(status))
    return _State(type_of(status).value, fields.name or _own_name(status), fields.message or "")


def _own_name(status: bytes) -> str:
    return type_of(status).value.capitalize()


def _event(
    one: JournalChange, kind: str, name: str, state: _State, related: list[Labels], run_count: int
) -> ReceivedEvent | None:
    try:
        moment = moment_of(one.position)
        resource = labelled(kind, one.change.run_id, "", name) | {
            "prefect.run-count": str(run_count),
            STATE_TYPE: state.type,
            STATE_NAME: state.name,
            STATE_MESSAGE: state.message[:LONGEST_MESSAGE],
            STATE_TIMESTAMP: moment.isoformat(),
        }
        facts = {
            "occurred": moment,
            "received": moment,
            "event": resource_id(kind, state.name),
            "resource": resource,
            "related": related[:MOST_RELATED],
            "payload": {"validated_state": state._asdict()},
            "id": placed_id("journal", one.position, one.place),
        }
        return ReceivedEvent.model_validate(facts)
    except (ValidationError, ValueError, OverflowError, OSError):  # somebody damaged the id of the run, or a name
        return None


# -- what a run has to do with ---------------------------------------------------------------------------------------


def labelled(kind: str, object_id: str, role: str, name: str = "") -> Labels:
    """The labels of a resource of ours, with a role of a related one."""
    labels = {RESOURCE_ID: resource_id(kind, object_id)}
    if name:
        labels[RESOURCE_NAME] = name
    if role:
        labels[RESOURCE_ROLE] = role
    return labels


def tag(name: str) -> Labels:
    """The labels of a tag."""
    return labelled("tag", name, "tag")


def flow_related(namespace: str, fields: Fields) -> list[Labels]:
    """What a flow run has to do with, from its record: its flow, deployment, work pool and tags."""
    flow, pool = text(fields.get("flow")), text(fields.get("pool"))
    related = [labelled("flow", flow_id_of(namespace, flow), "flow", flow)] if flow else []
    if deployment := text(fields.get("deployment")):
        related.append(labelled("deployment", deployment, "deployment", text(fields.get("dname")).partition("/")[2]))
    if pool:
        related.append(labelled("work-pool", pool_id_of(namespace, pool), "work-pool", pool))
    return related + [tag(one) for one in _tags(fields.get("tags", b""))]


def _tags(packed: bytes) -> list[str]:
    try:
        found: Any = msgpack.unpackb(packed) if packed else []
    except Exception:  # msgpack raises half a dozen kinds for foreign bytes
        return []
    return sorted(one for one in found if isinstance(one, str) and one) if isinstance(found, list) else []
