"""An automation is fired by hand, to see whether its actions can be done: with an event that says that it is a test."""

from __future__ import annotations

import uuid
from typing import Final

from brokers.errors import BrokerConflict
from brokers.facets.reactions import FiringWrite, Move
from orchestrator.automations.evaluation import Firing
from orchestrator.automations.firing_calls import calls_of, pack_firing
from orchestrator.automations.record import AutomationRecord
from orchestrator.automations.seen_event import SeenEvent
from orchestrator.client.fleet import Fleet
from orchestrator.errors import SerializationError
from orchestrator.events.schemas.automations import leaves_of

TRIES: Final = 50  # reactors move meanwhile


def fire_by_hand(fleet: Fleet, record: AutomationRecord, run_id: str | None = None) -> list[tuple[str, str]]:
    """Have the actions of an automation done now, once; returns the run ids of their calls, with what each does.

    Args:
        fleet: whose.
        record: the automation, enabled or not.
        run_id: a flow run that the event is to be about; made up unless given.

    Raises:
        SerializationError: it cannot be read here. BrokerError: the server does not answer.
        BrokerConflict: others write all the time.
    """
    core = record.core
    if core is None:
        raise SerializationError(f"automation {record.name!r} cannot be read: {record.trouble}")
    now = fleet.broker.ticks.now_ms()
    firing = Firing(record.id, str(uuid.uuid4()), now, _event(record, run_id, now), {})
    calls = calls_of(fleet, record, firing, ())
    types = [action.type for action in (*core.actions, *core.actions_on_trigger)]
    write = FiringWrite(record.id, pack_firing(firing, calls, types, False), record.name, "")
    for _ in range(TRIES):
        there = fleet.broker.reactions.look(0)
        move = Move(there.version, there.journal, there.events, there.partly, firings=[write], calls=calls)
        if fleet.broker.reactions.move(move):
            return [(call.run_id, kind) for call, kind in zip(calls, types, strict=True)]
    raise BrokerConflict("others write all the time: try again")


def _event(record: AutomationRecord, run_id: str | None, now_ms: int) -> SeenEvent:
    names = [name for leaf in leaves_of(record.core.trigger) for name in leaf.expect] if record.core else []
    name = min((one for one in names if not one.startswith("!")), default="prefect.flow-run.Failed").replace(
        "*", "Test"
    )
    kind = name.removeprefix("orchestrator.").removeprefix("prefect.").rpartition(".")[0] or "test"
    labels = {
        "prefect.resource.id": f"prefect.{kind}.{run_id or uuid.uuid4()}",
        "prefect.resource.name": "test",
        "prefect.state-name": name.rpartition(".")[2],
        "prefect.state-message": "this is a test",
    }
    return SeenEvent(str(uuid.uuid4()), name, labels, (), now_ms, "", {"test": True})
