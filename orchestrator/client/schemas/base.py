"""What all objects of the client have in common."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

RunId = Annotated[UUID | str, Field(union_mode="left_to_right")]
"""A UUID, unless whoever submitted the run gave it an id that is none."""


class ApiObject(BaseModel):
    """What the API answers, as an object. Fields that it does not know are left out: a newer server may send more."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=(), arbitrary_types_allowed=True)


class IdentifiedObject(ApiObject):
    """An object with an id and the moments of its creation and its last change, if they are known."""

    id: UUID
    created: datetime | None = None
    updated: datetime | None = None
