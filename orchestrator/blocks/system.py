"""Secrets, and plain values under names."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Generic, TypeVar, cast

from pydantic import Field, SecretStr, field_validator
from pydantic import Secret as PydanticSecret

from orchestrator.blocks.core import Block

__all__ = ["JSON", "DateTime", "Secret", "String"]

T = TypeVar("T")


class Secret(Block, Generic[T]):
    """A secret value: text, or anything that JSON holds.

    >>> key = Secret(value="sk-1234")
    >>> key, key.get()
    (Secret(value=Secret('**********')), 'sk-1234')
    """

    value: SecretStr | PydanticSecret[T] = Field(
        ...,
        description="A value that is kept secret.",
        examples=["sk-1234567890", {"username": "johndoe", "password": "s3cr3t"}],
        json_schema_extra={"writeOnly": True, "format": "password"},
    )

    @field_validator("value", mode="before")
    @classmethod
    def _as_secret(cls, value: Any) -> Any:
        return value if isinstance(value, PydanticSecret | SecretStr) else PydanticSecret[Any](value)

    def get(self) -> T:
        """The value; of a text that is JSON, what it stands for, as in Prefect 3."""
        value: Any = self.value.get_secret_value()
        try:
            return cast(T, json.loads(value))
        except (TypeError, ValueError):
            return cast(T, value)


class JSON(Block):
    """Anything that JSON holds.

    >>> JSON(value={"bucket": "lake"}).value["bucket"]
    'lake'
    """

    value: Any = Field(..., description="A value that JSON holds.")


class String(Block):
    """A text.

    >>> String(value="green").value
    'green'
    """

    value: str = Field(..., description="A text.")


class DateTime(Block):
    """A moment.

    >>> DateTime(value="2026-03-01T12:00:00Z").value.hour
    12
    """

    _block_type_name = "Date Time"

    value: datetime = Field(..., description="A moment, as ISO 8601 writes it.")
