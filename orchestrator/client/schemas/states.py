"""The state of a run as the API has it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, TypeAdapter

from orchestrator.client.fleet import current_fleet
from orchestrator.errors import MissingResult
from orchestrator.settings import current
from orchestrator.states import State, StateType

_MOMENT: TypeAdapter[datetime] = TypeAdapter(datetime)


class ReadState(State[Any]):
    """A state read from the API: everything but what the run returned or raised.

    ``result()`` asks the store for that, which only a process with access to it can do.
    """

    __slots__ = ()

    def outcome(self, raise_on_failure: bool = True) -> Any:
        run_id = self.task_run_id or self.flow_run_id
        if self.is_final() and run_id is not None and current().api_url is None:
            found = current_fleet().latest_state(run_id)
            if found.is_final() and found.type is self.type:
                return found.outcome(raise_on_failure)
        if self.is_completed():
            why = (
                "the API does not have it: ask where the store can be reached, without ORCHESTRATOR_API_URL"
                if current().api_url is not None
                else "it is not kept: it has expired, or the run was not sent to a worker"
            )
            raise MissingResult(f"run {run_id} completed; what it returned cannot be had: {why}")
        return super().outcome(raise_on_failure)


def state_from(given: Any) -> Any:
    """A state from JSON; a state is left as it is. Raises ValueError: that is none.

    >>> state_from({"type": "FAILED", "message": "no more tea"})
    Failed('no more tea')
    """
    if not isinstance(given, Mapping):
        return given
    details = given.get("state_details") or {}
    return ReadState(
        StateType(given["type"]),
        given.get("name"),
        given.get("message"),
        _MOMENT.validate_python(given["timestamp"]) if given.get("timestamp") else None,
        task_run_id=details.get("task_run_id"),
        flow_run_id=details.get("flow_run_id"),
        scheduled_time=_MOMENT.validate_python(details["scheduled_time"]) if details.get("scheduled_time") else None,
    )


def state_as_json(state: State[Any] | None) -> dict[str, Any] | None:
    """A state as the API takes it, without data."""
    return {**state.model_dump(mode="json"), "data": None} if state is not None else None


StateField = Annotated[State[Any] | None, BeforeValidator(state_from), PlainSerializer(state_as_json)]
