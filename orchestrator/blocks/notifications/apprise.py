"""Blocks for the services that Apprise reaches, by its URLs. Extra ``orchestrator[notify]``."""

from __future__ import annotations

from abc import ABC
from typing import Any, ClassVar

from pydantic import Field, SecretStr

from orchestrator.blocks.notifications.base import WebNotificationBlock
from orchestrator.notifications import apprise


class AppriseNotificationBlock(WebNotificationBlock, ABC):
    """What blocks of one's own build on that send messages by Apprise: a subclass needs a name, no more.

    >>> class Telegram(AppriseNotificationBlock):
    ...     "Messages to a chat."
    >>> Telegram(url="tgram://123456789:abcdefg_hijklmnop/12315544/").get_block_type_slug()
    'telegram'
    """

    url: SecretStr = Field(
        default=...,
        title="Webhook URL",
        description="The Apprise URL of the receiver.",
        examples=["tgram://BOT_TOKEN/CHAT_ID"],
    )

    def send(self, body: str, subject: str | None) -> None:
        """Send by Apprise."""
        kind = "info" if self.notify_type == "prefect_default" else self.notify_type
        apprise.send(
            self.url.get_secret_value(), body, subject, notify_type=kind, allow_private_urls=self.allow_private_urls
        )


class AppriseNotification(AppriseNotificationBlock):
    """Messages to any of the services that Apprise knows: Telegram, ntfy, Matrix, Pushover, ...

    Example:
        ```python
        from orchestrator.blocks.notifications import AppriseNotification

        AppriseNotification(url="tgram://BOT_TOKEN/CHAT_ID").save("on-call")
        AppriseNotification.load("on-call").notify("It failed.", subject="Nightly")
        ```
    """

    _block_type_name: ClassVar[str | None] = "Apprise Notification"
    _documentation_url: ClassVar[Any] = "https://appriseit.com/services/"
