"""A flow run as a value: what the store knows of it at one moment."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final
from uuid import UUID

import msgpack

from brokers.call_meta import CallMeta
from brokers.messages import FINAL_STATUSES, Record, Status
from brokers.schema import DEPLOYMENT_CALL
from brokers.stored import number, text, text_or_none, whole
from orchestrator import serializers
from orchestrator.client.fleet import Fleet
from orchestrator.client.future import PrefectFuture
from orchestrator.deployments.names import flow_id_of
from orchestrator.errors import MissingResult, ObjectNotFound
from orchestrator.execution.flow_texts import parameters_from
from orchestrator.inspection.flow_run_standings import shown_states
from orchestrator.inspection.flow_run_states import ShownState
from orchestrator.inspection.values import PlainReading
from orchestrator.serializers.outcomes import message_of_flow, read_outcome
from orchestrator.states import State, StateType
from orchestrator.submission.signed_calls import call_context

STORED_WITHIN_SECONDS: Final = 30.0  # its hooks are called in between
_UNKNOWN: Final = ShownState("", "")  # the record says nothing of a state


@dataclass(frozen=True)
class FlowRun:
    """A flow run. Moments are in UTC, ``None`` where there is none (yet). Follows Prefect 3 (``FlowRun``).

    Attributes:
        id, name, flow_id, flow_name: as their names say.
        state: at the moment of asking; ``state.result()`` is what the flow returned, once it has ended.
        parameters: of a run of a deployment, its parameters as JSON has them, those of the deployment included. Of
            another flow run, and where they were large and the run is over, their texts as people see them.
        deployment_id, deployment_name, deployment_version: of a run of a deployment.
        expected_start_time: when it was to begin; start_time: when it did.
        run_count: how many attempts have begun.
        auto_scheduled: a schedule made it.
        parent_flow_run_id, parent_task_run_id: the flow run, or the task run, that made it.
        job_variables, work_queue_name, idempotency_key: of one run of a deployment that is asked for by its id: what
            came with it, as long as its call is kept.
        labels, context: empty; what Prefect keeps there is not kept here.
    """

    id: UUID
    name: str
    flow_name: str
    state: State[Any]
    parameters: dict[str, Any] = field(repr=False)  # there may be secrets among them
    deployment_id: UUID | None = None
    deployment_name: str | None = None
    deployment_version: int | None = None
    tags: tuple[str, ...] = ()
    created: datetime | None = None
    expected_start_time: datetime | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    parent_flow_run_id: UUID | None = None
    work_pool_name: str | None = None
    run_count: int = 0
    flow_id: UUID | None = None
    auto_scheduled: bool = False
    parent_task_run_id: UUID | None = None
    work_queue_name: str | None = None
    idempotency_key: str | None = None
    job_variables: dict[str, Any] | None = field(default=None, repr=False)  # as parameters
    labels: dict[str, Any] = field(default_factory=dict, repr=False)
    context: dict[str, Any] = field(default_factory=dict, repr=False)
    describes_a_run: ClassVar[bool] = True  # as an argument of a task it stays as it is, see runs/nested_values.py

    @property
    def state_type(self) -> StateType:
        """Type of the state."""
        return self.state.type

    @property
    def state_name(self) -> str:
        """Name of the state."""
        return self.state.name

    @property
    def next_scheduled_start_time(self) -> datetime | None:
        """When one that waits for a moment is to begin."""
        return self.expected_start_time if self.state.type is StateType.SCHEDULED else None

    @property
    def total_run_time(self) -> timedelta:
        """From its first begin to its end; nothing before it has ended."""
        if self.start_time is None or self.end_time is None:
            return timedelta(0)
        return max(timedelta(0), self.end_time - self.start_time)

    @property
    def estimated_run_time(self) -> timedelta:
        """:attr:`total_run_time`, and of one that runs the time until now."""
        if self.state.type is StateType.RUNNING and self.start_time is not None:
            return max(timedelta(0), datetime.now(UTC) - self.start_time)
        return self.total_run_time

    @property
    def estimated_start_time_delta(self) -> timedelta:
        """How late it began, or is."""
        until = self.start_time or self.end_time or datetime.now(UTC)
        expected = self.expected_start_time
        return timedelta(0) if expected is None else max(timedelta(0), until - expected)


def read_flow_run(fleet: Fleet, run_id: str) -> FlowRun:
    """A flow run by its id. Raises ObjectNotFound: the store knows none; BrokerError."""
    (found,) = read_flow_runs(fleet, [run_id])
    if found is None:
        raise ObjectNotFound(f"Flow run {run_id!r} not found! It has expired, or never was in this namespace.")
    return found if found.deployment_id is None else replace(found, **_of_its_call(fleet, run_id))


def _of_its_call(fleet: Fleet, run_id: str) -> dict[str, Any]:
    """What the call of a run of a deployment says of it; nothing where it is not kept, or not to be read."""
    ((body, meta),) = fleet.broker.records.bodies([run_id])
    if body is None:
        return {}
    try:
        opened = serializers.open_call(body, context=lambda: call_context(DEPLOYMENT_CALL, run_id, meta or b""))
        given = PlainReading().unpack(opened.data)[1]
        parts = dict(_parts_of(given, CallMeta.unpack(meta).parent_run_id))
    except Exception:  # whatever foreign bytes make a reader raise; what people see of them is left
        return {}
    return {name: value for name, value in parts.items() if value is not None}


def _parts_of(given: Any, parent: str | None) -> Iterator[tuple[str, Any]]:
    parameters, facts = given.get("parameters"), given.get("facts")
    if isinstance(parameters, dict):
        yield "parameters", {str(name): value for name, value in parameters.items()}
    yield "parent_task_run_id", _uuid(parent.encode() if parent else None)
    if not isinstance(facts, dict):
        return
    for name in ("work_queue_name", "idempotency_key"):
        yield name, facts.get(name) if isinstance(facts.get(name), str) else None
    variables, own = facts.get("job_variables"), facts.get("own_job_variables")
    if isinstance(variables, dict) and isinstance(own, list | tuple):
        yield "job_variables", {name: variables[name] for name in own if name in variables} or None


def read_flow_runs(fleet: Fleet, run_ids: Sequence[str]) -> list[FlowRun | None]:
    """Flow runs by their ids, in three round trips, their parameters as texts. Raises BrokerError."""
    fields = fleet.broker.flow_runs.read_many(run_ids)
    records = fleet.broker.records.read(run_ids)
    states = shown_states(fleet, dict(zip(run_ids, fields, strict=True)))
    return [
        _flow_run(fleet, run_id, facts, record, states.get(run_id, _UNKNOWN)) if facts else None
        for run_id, facts, record in zip(run_ids, fields, records, strict=True)
    ]


def _flow_run(fleet: Fleet, run_id: str, fields: Mapping[str, bytes], record: Record, shown: ShownState) -> FlowRun:
    ended = _moment(fields.get("at")) if fields.get("type", b"") in _ENDED else None
    return FlowRun(
        id=UUID(run_id),
        name=text(fields.get("name")),
        flow_name=text(fields.get("flow")),
        state=_state(run_id, fields, record, shown),
        parameters=dict(parameters_from(run_id, fields.get("parameters")) or ()),
        deployment_id=_uuid(fields.get("deployment")),
        deployment_name=text_or_none(fields.get("dname")),
        deployment_version=whole(fields.get("version")) or None,
        tags=_tags(fields.get("tags")),
        created=_moment(fields.get("created")),
        expected_start_time=_moment(fields.get("expected")),
        start_time=_moment(fields.get("began")),
        end_time=ended,
        parent_flow_run_id=_uuid(fields.get("parent")),
        work_pool_name=text_or_none(fields.get("pool")),
        run_count=whole(fields.get("runs")),
        flow_id=UUID(flow_id_of(fleet.settings.namespace, text(fields.get("flow")))),
        auto_scheduled=bool(fields.get("schedule")),
    )


_ENDED: Final = (b"COMPLETED", b"FAILED", b"CANCELLED", b"CRASHED")


def _state(run_id: str, fields: Mapping[str, bytes], record: Record, shown: ShownState) -> State[Any]:
    if record.status in FINAL_STATUSES and record.status != Status.UNKNOWN:
        return read_outcome(run_id, record.status, record.outcome or b"\0")
    kind, name = shown
    message = message_of_flow(run_id, fields.get("message", b"")) or None
    at = _moment(fields.get("at"))
    try:
        type_ = StateType(kind)
    except ValueError:  # damaged, or of a newer version
        type_ = StateType.PENDING
    made: type[State[Any]] = State
    if record.status != Status.UNKNOWN and type_ in (StateType.COMPLETED, StateType.FAILED):
        made = _BeingStored
    elif type_ is StateType.COMPLETED:
        made = _WithoutResult
    state = made(type_, name or None, message, flow_run_id=run_id)
    return state.copy(timestamp=at) if at is not None else state


class _BeingStored(State[Any]):
    """The state of a run whose worker has reported its end, and stores what it came to in this moment."""

    __slots__ = ()

    def outcome(self, raise_on_failure: bool = True) -> Any:
        future: PrefectFuture[Any] = PrefectFuture(self.flow_run_id or "")
        future.wait(STORED_WITHIN_SECONDS)
        if not future.settled:
            raise MissingResult(
                f"flow run {self.flow_run_id} is {self.name}, and what it came to is not stored yet: ask again"
            )
        return future.state.outcome(raise_on_failure)

    async def aresult(self, raise_on_failure: bool = True) -> Any:
        return await asyncio.to_thread(self.outcome, raise_on_failure)


class _WithoutResult(State[Any]):
    """The state of a run that completed, and whose result has expired: its record is kept longer."""

    __slots__ = ()

    def outcome(self, raise_on_failure: bool = True) -> Any:
        raise MissingResult(f"flow run {self.flow_run_id} completed, and what it returned has expired")


def _moment(stored: bytes | None) -> datetime | None:
    seconds = number(stored)
    try:
        return datetime.fromtimestamp(seconds, UTC) if seconds else None
    except (ValueError, OverflowError, OSError):
        return None


def _uuid(stored: bytes | None) -> UUID | None:
    try:
        return UUID(text(stored)) if stored else None
    except ValueError:
        return None


def _tags(stored: bytes | None) -> tuple[str, ...]:
    try:
        tags = msgpack.unpackb(stored) if stored else ()
    except Exception:  # msgpack raises half a dozen kinds for foreign bytes
        return ()
    return tuple(tag for tag in tags if isinstance(tag, str)) if isinstance(tags, list | tuple) else ()
