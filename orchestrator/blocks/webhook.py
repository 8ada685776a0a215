"""A block that calls a URL: ``Webhook.load("build").call({"branch": "main"})``."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, Literal

from pydantic import Field, SecretStr

from orchestrator.blocks.core import Block
from orchestrator.blocks.fields import SecretDict
from orchestrator.client.async_dispatch import async_dispatch
from orchestrator.notifications.http import Response, request

__all__ = ["Webhook"]


class Webhook(Block):
    """A URL that is called, with a payload or without.

    Follows Prefect 3 (``prefect.blocks.webhook``), with one difference: addresses that are not public are refused
    unless ``allow_private_urls`` is set.

    Example:
        ```python
        from orchestrator.blocks.webhook import Webhook

        Webhook(url="https://ci.example.com/hooks/build", headers={"X-Token": "..."}).save("build")
        answer = Webhook.load("build").call({"branch": "main"})
        answer.raise_for_status()
        ```
    """

    _block_type_name: ClassVar[str | None] = "Webhook"

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = Field(
        default="POST", description="The method of the request."
    )
    url: SecretStr = Field(
        default=..., title="Webhook URL", description="The webhook URL.", examples=["https://hooks.slack.com/XXX"]
    )
    headers: SecretDict = Field(
        default_factory=lambda: SecretDict({}), title="Webhook Headers", description="Headers of the request."
    )
    allow_private_urls: bool = Field(
        default=False,
        description="Whether the call may go to an address that is not public: of this machine or this network.",
    )
    verify: bool = Field(default=True, description="Whether the receiver's certificate must be valid.")

    @async_dispatch("acall")
    def call(self, payload: dict[str, Any] | str | None = None) -> Response:
        """Call the URL, and wait at most 10 seconds for the answer.

        Args:
            payload: sent as JSON, or as it is where it is a text.

        Returns:
            the answer, whatever its status is; ``raise_for_status()`` makes a refusal an error. On an event loop, an
            awaitable of it.

        Raises:
            NotificationError: nobody answered in time, or the address is not allowed.
        """
        return self._answer(payload)

    async def acall(self, payload: dict[str, Any] | str | None = None) -> Response:
        """As :meth:`call`."""
        return await asyncio.to_thread(self._answer, payload)

    def _answer(self, payload: dict[str, Any] | str | None) -> Response:
        is_text = isinstance(payload, str)
        return request(
            self.method,
            self.url.get_secret_value(),
            json=None if is_text else payload,
            content=payload if isinstance(payload, str) else None,
            headers={name: str(value) for name, value in self.headers.get_secret_value().items()},
            allow_private_urls=self.allow_private_urls,
            verify=self.verify,
        )
