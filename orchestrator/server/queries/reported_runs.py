"""Flow runs that another program does and reports over the API: they have a record, and no call in a queue."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgpack

from orchestrator.errors import BrokerConflict
from orchestrator.execution.flow_texts import parameters_of
from orchestrator.runs.run_ids import new_run_id
from orchestrator.serializers.outcomes import flow_message
from orchestrator.server.queries.context import QueryContext
from orchestrator.server.queries.runs import ENDED
from orchestrator.server.view_models import FlowRunView
from orchestrator.states import NAMES, StateType, may_move

_MARK: Final = "reported"


class ReportedRuns:
    """What other programs say of flow runs. Changes raise ReadOnly on a server that refuses actions."""

    def __init__(self, context: QueryContext) -> None:
        self._context = context

    def create(
        self,
        flow_name: str,
        state: StateType,
        *,
        name: str | None = None,
        state_name: str | None = None,
        message: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        tags: Sequence[str] = (),
        parent_flow_run_id: str | None = None,
    ) -> str:
        """Make the record of a run; returns its id."""
        self._context.must_write()
        reach = self._context.reach
        self._context.must_reach("such flow", reach is None or reach.has_runs_of(flow_name))
        if reach is not None and parent_flow_run_id:
            self._context.must_reach("such flow run", reach.has_flow_run_named(parent_flow_run_id))
        run_id, now = new_run_id(), f"{time.time():.3f}"
        facts: dict[str, str | bytes] = {
            "flow": flow_name,
            "name": name or f"{flow_name}-{run_id[-4:]}",
            "created": now,
            "expected": now,
            "runs": "0",
            "tags": msgpack.packb(list(tags)),
            "parameters": parameters_of(run_id, dict(parameters or {}), self._context.redaction),
            _MARK: "1",
            **({"parent": parent_flow_run_id} if parent_flow_run_id else {}),
            **_state_fields(run_id, state, state_name, message),
        }
        self._note(run_id, facts)
        return run_id

    def is_reported(self, flow_run_id: str) -> bool:
        """Whether another program does it."""
        (fields,) = self._context.fleet.broker.flow_runs.read_many([flow_run_id], [_MARK])
        return fields.get(_MARK) == b"1"

    def set_state(self, run: FlowRunView, state: StateType, name: str | None, message: str | None) -> None:
        """It is in this state now. Raises BrokerConflict: it has ended, or no run goes from the one to the other."""
        self._context.must_write()
        if not may_move(StateType(run.state_type), state):
            raise BrokerConflict(f"flow run {run.id} is {run.state_name}: no run goes from there to {state.value}")
        facts = _state_fields(run.id, state, name, message)
        if state is StateType.RUNNING:
            facts["runs"] = str(run.run_count + 1)
            if run.started is None:
                facts["began"] = facts["at"]
        self._note(run.id, facts)

    def describe(self, run: FlowRunView, name: str | None, tags: Sequence[str] | None) -> None:
        """Give a run another name, or other tags. Raises BrokerConflict: its process has yet to write its name."""
        self._context.must_write()
        if name is not None and run.state_type not in ENDED and not self.is_reported(run.id):
            raise BrokerConflict(f"flow run {run.id} is {run.state_name}: it can be renamed once it has ended")
        facts: dict[str, str | bytes] = {"name": name.encode("utf-8", "replace")} if name is not None else {}
        if tags is not None:
            facts["tags"] = msgpack.packb(list(tags))
        if facts:
            self._context.fleet.broker.flow_runs.write(run.id, facts)

    def _note(self, run_id: str, facts: Mapping[str, str | bytes]) -> None:
        stored = {
            field: value.encode("utf-8", "replace") if isinstance(value, str) else value
            for field, value in facts.items()
        }
        self._context.fleet.broker.flow_runs.note([(run_id, stored, False)])


def _state_fields(run_id: str, state: StateType, name: str | None, message: str | None) -> dict[str, str | bytes]:
    return {
        "type": state.value,
        "state": name or NAMES[state],
        "message": flow_message(run_id, message or ""),
        "at": f"{time.time():.3f}",
    }
