"""The schema of a flow's parameters as an object: ``my_flow.parameters``, as Prefect has it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field


class ParameterSchema(BaseModel):
    """A JSON schema of parameters. Follows Prefect 3 (``prefect.utilities.callables.ParameterSchema``)."""

    title: Literal["Parameters"] = "Parameters"
    type: Literal["object"] = "object"
    properties: dict[str, Any] = Field(default_factory=dict)
    required: list[str] = Field(default_factory=list)
    definitions: dict[str, Any] = Field(default_factory=dict)

    def model_dump_for_openapi(self) -> dict[str, Any]:
        """The schema as a dict, without what is empty."""
        shown = self.model_dump()
        return {name: part for name, part in shown.items() if part or name not in ("required", "definitions")}
