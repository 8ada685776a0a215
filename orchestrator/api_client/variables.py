"""Variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.api_client.api import Api, Request, path_of
from orchestrator.api_client.sections import body_of
from orchestrator.client.schemas.actions import VariableCreate, VariableUpdate
from orchestrator.client.schemas.objects import Variable
from orchestrator.errors import ObjectNotFound


def _path(name: str) -> str:
    return path_of("variables", "name", name)


async def read_variables(api: Api, /, limit: int | None = None, offset: int = 0) -> list[Variable]:
    """The variables, by name; at most 200 (50 unless ``limit`` says)."""
    return await api.many(Variable, Request("POST", "/variables/filter", body_of({}, limit=limit, offset=offset)))


async def read_variable_by_name(api: Api, /, name: str) -> Variable | None:
    """A variable; ``None`` if there is none."""
    try:
        return await api.one(Variable, Request("GET", _path(name)))
    except ObjectNotFound:
        return None


async def create_variable(api: Api, /, variable: VariableCreate | Mapping[str, Any]) -> Variable:
    """Make a variable. Raises ApiConflict: there is one of that name; ApiError: the name or value cannot be one."""
    return await api.one(Variable, Request("POST", "/variables/", variable), creates=True)


async def update_variable(api: Api, /, variable: VariableUpdate | Mapping[str, Any]) -> None:
    """Change the value or tags of the variable of that name. Raises ObjectNotFound."""
    changes = dict(variable) if isinstance(variable, Mapping) else variable.model_dump(exclude_unset=True)
    await api.ask(Request("PATCH", _path(changes["name"]), changes))


async def delete_variable_by_name(api: Api, /, name: str) -> None:
    """Forget a variable. Raises ObjectNotFound."""
    await api.ask(Request("DELETE", _path(name)), missing=f"Variable {name!r} not found!")
