"""Inputs of flow runs, as Prefect's clients send and read them."""

from __future__ import annotations

import json
from typing import Annotated, Final
from uuid import UUID

from pydantic import Field
from starlette.exceptions import HTTPException

from orchestrator.client.schemas.run_objects import FlowRunInput
from orchestrator.pausing.stored_inputs import LONGEST_KEY
from orchestrator.people.roles import RUNNER, VIEWER
from orchestrator.server.api.endpoint import Call, Endpoint
from orchestrator.server.api.flow_runs import NO_RUN, TAG
from orchestrator.server.api.requests import Model

Key = Annotated[str, Field(min_length=1, max_length=LONGEST_KEY)]


class InputCreate(Model):
    """An input."""

    key: Key = Field(description="Unique in its flow run")
    value: str = Field(description="JSON")
    sender: str | None = Field(None, max_length=LONGEST_KEY)


class InputFilter(Model):
    """Which inputs, the oldest first."""

    prefix: str = Field(description="How their keys begin")
    limit: int = Field(1, ge=1, le=200)
    exclude_keys: list[str] = Field(default_factory=list)


def _id(call: Call) -> str:
    try:
        return str(UUID(call.path["id"]))
    except ValueError:
        raise HTTPException(404, NO_RUN) from None


def _create(call: Call) -> None:
    body = call.body
    try:
        value = json.loads(body.value)
        call.queries.flow_runs.send_input(_id(call), body.key, value, body.sender)
    except (TypeError, ValueError, RecursionError) as error:
        raise HTTPException(422, f"value: it is no JSON: {error}") from None


def _find(call: Call) -> list[FlowRunInput]:
    body = call.body
    return call.queries.flow_runs.inputs(_id(call), body.prefix, body.limit, body.exclude_keys)


def _read(call: Call) -> str:
    found = call.queries.flow_runs.input(_id(call), call.path["key"])
    if found is None:
        raise HTTPException(404, f"flow run {call.path['id']} has no input {call.path['key']!r}")
    return found.value


def _delete(call: Call) -> None:
    call.queries.flow_runs.delete_input(_id(call), call.path["key"])


ENDPOINTS: Final = [
    Endpoint(
        "POST",
        "/flow_runs/{id}/input",
        _create,
        None,
        "Send it an input",
        TAG,
        body=InputCreate,
        changes=True,
        missing=NO_RUN,
        conflict="It has another input of that key",
        status=(201,),
        needs=RUNNER,
        in_part=True,
    ),
    Endpoint(
        "POST", "/flow_runs/{id}/input/filter", _find, list[FlowRunInput], "Its inputs", TAG, body=InputFilter,
        missing=NO_RUN, needs=VIEWER, in_part=True,
    ),
    Endpoint(
        "GET", "/flow_runs/{id}/input/{key}", _read, str, "The JSON of an input", TAG, missing="There is none",
        needs=VIEWER, in_part=True,
    ),
    Endpoint(
        "DELETE", "/flow_runs/{id}/input/{key}", _delete, None, "Delete an input", TAG, changes=True,
        missing="There is none", status=(204,), needs=RUNNER, in_part=True,
    ),
]  # fmt: skip
