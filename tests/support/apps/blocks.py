"""Blocks of a shop, with secrets wherever they can be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field, Secret, SecretBytes, SecretStr, field_serializer

from orchestrator import flow
from orchestrator.blocks.core import Block
from orchestrator.blocks.fields import SecretDict


class ShopCredentials(Block):
    """Who may use the shop's database.

    Example:
        ```python
        ShopCredentials.load("main")
        ```
    """

    user: str
    password: SecretStr


class Account(BaseModel):
    """A model that is no block."""

    name: str
    pin: SecretStr
    token: Secret[int] | None = None


@dataclass
class Card:
    """A plain dataclass."""

    owner: str
    number: SecretStr


class LoudAccount(BaseModel):
    """A model that writes its secret in the clear."""

    pin: SecretStr

    @field_serializer("pin")
    def _in_clear(self, pin: SecretStr) -> str:
        return pin.get_secret_value()


class ShopDatabase(Block):
    """A database of the shop."""

    _block_type_name = "Shop Database"
    _block_schema_capabilities = ("read", "write")

    host: str = "db.shop.example"
    credentials: ShopCredentials | None = None
    accounts: list[Account] = Field(default_factory=list)
    by_name: dict[str, Account] = Field(default_factory=dict)
    tokens: list[SecretStr] = Field(default_factory=list)
    headers: dict[str, SecretStr] = Field(default_factory=dict)
    certificate: SecretBytes | None = None
    options: SecretDict | None = None
    either: Account | SecretStr | None = None
    card: Card | None = None
    loud: LoudAccount | None = None
    hidden: str | None = Field(None, json_schema_extra={"writeOnly": True, "format": "password"})
    anything: Any = None
    replicas: list[ShopCredentials] = Field(default_factory=list)


@flow
def greeting(credentials: ShopCredentials, others: list[ShopCredentials] | None = None, note: str = "") -> str:
    """A flow that is given blocks."""
    names = [one.user for one in (credentials, *(others or ()))]
    return f"{', '.join(names)}: {len(credentials.password.get_secret_value())} {note}"
