"""Inputs of flow runs as the store keeps them: JSON values under keys, with their sender."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from brokers.facets.inputs import FIRST, StoredInput
from orchestrator import serializers
from orchestrator.client.fleet import Fleet, current_fleet
from orchestrator.client.schemas.run_objects import FlowRunInput
from orchestrator.errors import ObjectNotFound, SerializationError
from orchestrator.runs.current import current_attempt, current_flow_run

log = logging.getLogger("orchestrator.flow_runs")
SENDER_PREFIX = "prefect.flow-run."
"""What stands before the id of a flow run that has sent an input. Follows Prefect 3, where scripts look for it."""
LONGEST_KEY = 1000


def own_flow_run_id() -> str | None:
    """The id of the flow run around this line, also in its tasks on workers."""
    run, attempt = current_flow_run.get(), current_attempt.get()
    if run is not None:
        return run.run_id
    return attempt.flow_run_id if attempt is not None else None


def ensure_flow_run_id(flow_run_id: UUID | str | None = None) -> str:
    """The id that was given, else that of the flow run around this line.

    Raises:
        RuntimeError: neither. ValueError: it is no id.
    """
    if flow_run_id is not None:
        return str(flow_run_id if isinstance(flow_run_id, UUID) else UUID(str(flow_run_id)))
    here = own_flow_run_id()
    if here is None:
        raise RuntimeError("give the id of a flow run, or call this in a flow run")
    return here


def default_sender() -> str | None:
    """How the flow run around this line is named as a sender."""
    here = own_flow_run_id()
    return f"{SENDER_PREFIX}{here}" if here is not None else None


def be_known(fleet: Fleet) -> None:
    """See that the store knows the flow run around this line, which can be sent inputs then. Raises BrokerError."""
    run: Any = current_flow_run.get()
    if run is None or run.is_known:
        return
    fleet.flow_reports.flush()
    if not fleet.broker.flow_runs.read(run.run_id):  # it began before there was a store in use
        run.note(run.state)
    run.make_known()


def add_input(flow_run_id: str, key: str, value: Any, sender: str | None, fleet: Fleet | None = None) -> None:
    """Send an input.

    Args:
        flow_run_id: to whom.
        key: under which it is found; unique in its flow run.
        value: as JSON has it.
        sender: who sends it.
        fleet: whose; that of this process unless given.

    Raises:
        TypeError: the value is not JSON. ValueError: the key is none. PayloadTooLarge: the value is too large.
        ObjectNotFound: there is no such flow run. BrokerConflict: it has another input of that key. BrokerError.
    """
    if not isinstance(key, str) or not 0 < len(key) <= LONGEST_KEY:
        raise ValueError(f"the key of an input has 1 to {LONGEST_KEY} characters: {key!r:.100}")
    fleet = fleet or current_fleet()
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise TypeError(f"an input of a flow run is JSON: {error}") from None
    be_known(fleet)  # whoever is sent this may answer at once
    facts = {"value": text, "sender": sender, "at": time.time()}
    packed = serializers.pack_value(facts, context=lambda: ("input", flow_run_id, key), limits=fleet.limits)
    if not fleet.broker.inputs.add(flow_run_id, key, packed):
        raise ObjectNotFound(f"Flow run {flow_run_id!r} not found! It has expired, or never was in this namespace.")


def input_of(flow_run_id: str, stored: StoredInput) -> FlowRunInput | None:
    """An input that was read; ``None``, and a line in the log, if it is damaged or was signed by another key."""
    try:
        facts = serializers.unpack_value(stored.value, context=lambda: ("input", flow_run_id, stored.key))
        text, sender = facts["value"], facts.get("sender")
        json.loads(text)
        return FlowRunInput(
            flow_run_id=UUID(flow_run_id), key=stored.key, value=text, sender=sender if sender is None else str(sender)
        )
    except (SerializationError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        log.warning("the input %r of flow run %s cannot be read and is passed over: %s", stored.key, flow_run_id, error)
        return None


def read_input(flow_run_id: str, key: str, fleet: Fleet | None = None) -> FlowRunInput | None:
    """The input of a key; ``None``: there is none. Raises BrokerError."""
    stored = (fleet or current_fleet()).broker.inputs.read(flow_run_id, key)
    return input_of(flow_run_id, stored) if stored is not None else None


def find_inputs(
    flow_run_id: str, prefix: str, limit: int, exclude_keys: Iterable[str] = (), fleet: Fleet | None = None
) -> list[FlowRunInput]:
    """Inputs whose keys begin so, the oldest first. Raises BrokerError."""
    broker, excluded = (fleet or current_fleet()).broker, frozenset(exclude_keys)
    found: list[FlowRunInput] = []
    position = FIRST
    while len(found) < limit and (some := broker.inputs.after(flow_run_id, position)):
        position = some[-1].position
        wanted = [one for one in some if one.key.startswith(prefix) and one.key not in excluded]
        found += [read for one in wanted if (read := input_of(flow_run_id, one)) is not None]
    return found[:limit]


def delete_input(flow_run_id: str, key: str, fleet: Fleet | None = None) -> None:
    """Delete an input. Raises ObjectNotFound: there is none of that key. BrokerError."""
    if not (fleet or current_fleet()).broker.inputs.delete(flow_run_id, key):
        raise ObjectNotFound(f"flow run {flow_run_id} has no input {key!r}")
