"""What all blocks that send messages have in common."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Any, Literal

from pydantic import Field

from orchestrator.blocks.abstract import NotificationBlock
from orchestrator.client.async_dispatch import async_dispatch
from orchestrator.errors import NotificationError
from orchestrator.notifications.services import Outgoing

NotifyType = Literal["prefect_default", "info", "success", "warning", "failure"]


class SendingBlock(NotificationBlock, ABC):
    """A block whose messages are sent by :meth:`send`, from threads and event loops alike."""

    @abstractmethod
    def send(self, body: str, subject: str | None) -> None:
        """Send, and wait for the answer. Raises NotificationError: it was not taken."""

    @async_dispatch("anotify")
    def notify(self, body: str, subject: str | None = None) -> Any:
        """Send a message, see :class:`NotificationBlock`."""
        self.send(body, subject)

    async def anotify(self, body: str, subject: str | None = None) -> None:
        """As :meth:`notify`."""
        await asyncio.to_thread(self.send, body, subject)


class WebNotificationBlock(SendingBlock, ABC):
    """A block whose messages go to a service on the web."""

    notify_type: NotifyType = Field(
        default="prefect_default", description="The kind of the message, where the service distinguishes kinds."
    )
    allow_private_urls: bool = Field(
        default=False,
        description="Whether the message may go to an address that is not public: of this machine or this network.",
    )


class ServiceNotificationBlock(WebNotificationBlock, ABC):
    """A block whose messages are requests over HTTP. Subclasses say which requests."""

    @abstractmethod
    def requests_for(self, body: str, subject: str | None) -> list[Outgoing]:
        """The requests that a message is."""

    def send(self, body: str, subject: str | None) -> None:
        """Send all requests; those behind one that is refused, too."""
        deliver(self.requests_for(body, subject), self.allow_private_urls)


def deliver(outgoing: list[Outgoing], allow_private_urls: bool) -> None:
    """Send requests, each though another is refused.

    Raises:
        NotificationError: some were not taken. If others were, it is not temporary: they would come again.
    """
    errors: list[NotificationError] = []
    for request in outgoing:
        try:
            request.deliver(allow_private_urls=allow_private_urls)
        except NotificationError as error:
            errors.append(error)
    if errors and len(outgoing) > 1:
        temporary = len(errors) == len(outgoing) and all(error.temporary for error in errors)
        texts = "; ".join(dict.fromkeys(map(str, errors)))
        message = f"{len(errors)} of {len(outgoing)} messages were not taken: {texts}"
        raise NotificationError(message, errors[0].status, temporary)
    if errors:
        raise errors[0]
