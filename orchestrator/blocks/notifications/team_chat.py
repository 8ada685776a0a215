"""Blocks for chats of teams: Slack, Microsoft Teams, Mattermost, Discord."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, SecretStr

from orchestrator.blocks.notifications.apprise import AppriseNotificationBlock
from orchestrator.blocks.notifications.base import ServiceNotificationBlock, deliver
from orchestrator.notifications import services
from orchestrator.notifications.services import Outgoing


def _is_web(url: str) -> bool:
    return url.strip().lower().startswith(("https://", "http://"))


class SlackWebhook(AppriseNotificationBlock):
    """Messages to a channel of Slack, by an incoming webhook.

    Links (``<https://example.org|text>``) and mentions (``<!here>``, ``<@U123>``) keep their meaning; any other ``<``,
    ``>`` and ``&`` is shown as it is. Any receiver that understands Slack's messages can be used. A URL of Apprise
    (``slack://...``) is handed to Apprise.

    Example:
        ```python
        from orchestrator.blocks.notifications import SlackWebhook

        SlackWebhook(url="https://hooks.slack.com/services/...").save("alerts")
        SlackWebhook.load("alerts").notify("It failed.", subject="Nightly")
        ```
    """

    _block_type_name: ClassVar[str | None] = "Slack Webhook"

    url: SecretStr = Field(
        default=...,
        title="Webhook URL",
        description="Slack incoming webhook URL used to send notifications.",
        examples=["https://hooks.slack.com/XXX"],
    )

    def send(self, body: str, subject: str | None) -> None:
        """Send as Slack's documentation asks, or by Apprise."""
        url = self.url.get_secret_value()
        if not _is_web(url):
            return super().send(body, subject)
        return deliver([services.slack(url, body, subject)], self.allow_private_urls)


class MicrosoftTeamsWebhook(AppriseNotificationBlock):
    """Messages to a channel or chat of Microsoft Teams, by the URL of a workflow.

    Example:
        ```python
        from orchestrator.blocks.notifications import MicrosoftTeamsWebhook

        MicrosoftTeamsWebhook.load("alerts").notify("It failed.", subject="Nightly")
        ```
    """

    _block_type_name: ClassVar[str | None] = "Microsoft Teams Webhook"
    _block_type_slug: ClassVar[str | None] = "ms-teams-webhook"

    url: SecretStr = Field(
        default=...,
        title="Webhook URL",
        description="The Microsoft Power Automate (Workflows) URL used to send notifications to Teams.",
        examples=["https://prod-NO.LOCATION.logic.azure.com:443/workflows/WFID/triggers/manual/paths/invoke?sig=..."],
    )
    include_image: bool = Field(
        default=True, description="Taken from Prefect's blocks; messages have no image here, whatever it says."
    )
    wrap: bool = Field(default=True, description="Whether long lines of the text are wrapped.")

    def send(self, body: str, subject: str | None) -> None:
        """Send a card to the workflow, or by Apprise."""
        url = self.url.get_secret_value()
        if not _is_web(url):
            return super().send(body, subject)
        card = services.teams(url, body, subject, notify_type=self.notify_type, wrap=self.wrap)
        return deliver([card], self.allow_private_urls)


class MattermostWebhook(ServiceNotificationBlock):
    """Messages to channels of Mattermost, by an incoming webhook.

    Example:
        ```python
        from orchestrator.blocks.notifications import MattermostWebhook

        MattermostWebhook.load("alerts").notify("It failed.", subject="Nightly")
        ```
    """

    _block_type_name: ClassVar[str | None] = "Mattermost Webhook"

    hostname: str = Field(
        default=..., description="The hostname of your Mattermost server.", examples=["mattermost.example.com"]
    )
    secure: bool = Field(default=False, description="Whether to use a secure https connection.")
    token: SecretStr = Field(default=..., description="The token associated with your Mattermost webhook.")
    botname: str | None = Field(
        default=None, title="Bot name", description="The name of the bot that will send the message."
    )
    channels: list[str] | None = Field(default=None, description="The channel(s) you wish to notify.")
    include_image: bool = Field(
        default=False, description="Taken from Prefect's blocks; messages have no image here, whatever it says."
    )
    path: str | None = Field(default=None, description="A path before /hooks, where the server has one.")
    port: int = Field(default=8065, description="The port of your Mattermost server.", ge=1, le=65_535)

    def requests_for(self, body: str, subject: str | None) -> list[Outgoing]:
        """A request for each channel."""
        scheme, path = "https" if self.secure else "http", (self.path or "").strip("/")
        prefix = f"/{path}" if path else ""
        url = f"{scheme}://{self.hostname}:{self.port}{prefix}/hooks/{self.token.get_secret_value()}"
        return services.mattermost(url, body, subject, botname=self.botname, channels=self.channels or ())


class DiscordWebhook(ServiceNotificationBlock):
    """Messages to a channel of Discord, by a webhook: the two last parts of its URL.

    Example:
        ```python
        from orchestrator.blocks.notifications import DiscordWebhook

        DiscordWebhook.load("alerts").notify("It failed.", subject="Nightly")
        ```
    """

    _block_type_name: ClassVar[str | None] = "Discord Webhook"

    webhook_id: SecretStr = Field(default=..., description="The first of the two last parts of the webhook's URL.")
    webhook_token: SecretStr = Field(default=..., description="The last part of the webhook's URL.")
    botname: str | None = Field(
        default=None, title="Bot name", description="The name of the bot; without one that of the webhook."
    )
    tts: bool = Field(default=False, description="Whether to enable text-to-speech.")
    include_image: bool = Field(
        default=False, description="Taken from Prefect's blocks; messages have no image here, whatever it says."
    )
    avatar: bool = Field(default=False, description="Whether to override the avatar of the webhook with avatar_url.")
    avatar_url: str | None = Field(default=None, title="Avatar URL", description="An image to use as avatar.")

    def requests_for(self, body: str, subject: str | None) -> list[Outgoing]:
        """One request."""
        keys = (self.webhook_id.get_secret_value(), self.webhook_token.get_secret_value())
        picture = self.avatar_url if self.avatar else None
        return [services.discord(*keys, body, subject, botname=self.botname, avatar_url=picture, tts=self.tts)]
