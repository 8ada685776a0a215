"""The parts of a state that are read as plain values: its details, its fields as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from orchestrator.runs.states.types import StateType


@dataclass(frozen=True, slots=True)
class StateDetails:
    """What else is known of a state. The names are those of Prefect; what does not exist here is ``None``."""

    flow_run_id: UUID | None = None
    task_run_id: UUID | None = None
    child_flow_run_id: UUID | None = None
    scheduled_time: datetime | None = None
    cache_key: str | None = None
    cache_expiration: datetime | None = None
    pause_timeout: datetime | None = None
    pause_key: str | None = None


def as_text(value: object) -> str:
    try:
        return str(value)
    except Exception:
        return f"({type(value).__qualname__}, which has no text: its __str__ failed)"


def uuid_or_none(run_id: str | None) -> UUID | None:
    try:
        return None if run_id is None else UUID(run_id)
    except ValueError:  # of a state that somebody made
        return None


def as_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): as_json(part) for key, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [as_json(part) for part in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, StateType):
        return value.value
    return value if value is None or isinstance(value, str | int | float | bool) else as_text(value)
