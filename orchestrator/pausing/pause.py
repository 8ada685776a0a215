"""A pause of a flow run as the store keeps it: a call that nobody runs, and what the flow run's record says of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final
from uuid import UUID, uuid5

import msgpack

from brokers.messages import SYNC_LANE, Envelope, Route, Status
from brokers.schema import PAUSE_CALL, READABLE_BY, VERSION, CallMeta, Extra
from orchestrator import serializers
from orchestrator.client.fleet import Fleet
from orchestrator.errors import SerializationError
from orchestrator.submission.signed_calls import call_context

FIELD: Final = "pause"
FOREVER_SECONDS: Final = 10 * 365 * 86_400.0
_QUEUE: Final = "s-000000000000"  # nobody reads it, and calls of such queues never travel over another broker
_FIRST_LONGER: Final = 3_600_000  # ms: it times out before it could be queued


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause.

    Attributes:
        id: of the call that stands for it.
        key: its name among others of its flow run.
        until: unix seconds at which it times out.
        suspended: the flow run has no process meanwhile.
        schema: JSON schema of the input that it waits for; ``None``: it waits for none.
        description: for people who give it.
    """

    id: str
    key: str
    until: float
    suspended: bool = False
    schema: dict[str, Any] | None = None
    description: str | None = None


def pause_id_of(flow_run_id: str, key: str) -> str:
    """The same for each delivery of a flow run, so that a pause is begun and answered once."""
    return str(uuid5(UUID(flow_run_id), f"pause {key}"))


def begin(fleet: Fleet, flow_run_id: str, pause: Pause) -> None:
    """Write it down, unless it is there: another delivery may have begun it. Raises BrokerError."""
    meta = CallMeta(task_name="pause", written_by=VERSION, readable_by=READABLE_BY).pack()
    body, _ = serializers.pack_call(
        (), {}, context=lambda: call_context(PAUSE_CALL, pause.id, meta), limits=fleet.limits
    )
    left_ms = max(int((pause.until - time.time()) * 1000), 1)
    extras = {Extra.DELAY: left_ms + _FIRST_LONGER, Extra.EXPIRES: left_ms}
    route = str(Route(_QUEUE, "default", SYNC_LANE))
    fleet.calls.send([Envelope(pause.id, PAUSE_CALL, route, body, None, None, meta, extras)])
    fleet.broker.flow_runs.write(flow_run_id, {FIELD: msgpack.packb(asdict(pause))})


def pause_of(fields: Mapping[str, bytes]) -> Pause | None:
    """The last pause of a flow run, from its record; ``None``: it had none, or that is damaged."""
    try:
        plain = msgpack.unpackb(fields.get(FIELD, b""))
        found = Pause(**plain)
        schema = found.schema if isinstance(found.schema, dict) else None
        UUID(found.id)
        return Pause(found.id, str(found.key), float(found.until), bool(found.suspended), schema, found.description)
    except Exception:  # foreign bytes make half a dozen kinds of errors
        return None


def has_ended(fleet: Fleet, pause_id: str) -> bool:
    """Whether it was resumed or has timed out; one of which nothing is known has. Raises BrokerError."""
    (record,) = fleet.broker.records.read([pause_id])
    return record.status != Status.DELAYED


# -- its answer --------------------------------------------------------------------------------------------------------


def write_answer(fleet: Fleet, flow_run_id: str, pause_id: str, run_input: Any) -> None:
    """Keep what it is resumed with, as long as the flow run's record. Raises BrokerError, SerializationError."""
    packed = serializers.pack_value(run_input, context=lambda: ("answer", pause_id), limits=fleet.limits)
    fleet.broker.flow_runs.write(flow_run_id, {_answer_field(pause_id): packed})


def read_answer(fleet: Fleet, flow_run_id: str, pause_id: str) -> tuple[bool, Any]:
    """Whether it was resumed, and with what.

    Raises:
        SerializationError: it was, and the answer cannot be read here. BrokerError: the server does not answer.
    """
    packed = fleet.broker.flow_runs.read(flow_run_id).get(_answer_field(pause_id))
    if packed is None:
        return False, None
    try:
        return True, serializers.unpack_value(packed, context=lambda: ("answer", pause_id))
    except SerializationError as error:
        raise SerializationError(f"the input that the flow run was resumed with cannot be read: {error}") from None


def _answer_field(pause_id: str) -> str:
    return f"answer:{pause_id}"
