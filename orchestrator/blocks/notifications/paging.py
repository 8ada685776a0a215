"""Blocks for whoever is on call: PagerDuty, Opsgenie, short messages by Twilio."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import AnyHttpUrl, Field, SecretStr

from orchestrator.blocks.notifications.base import NotifyType, ServiceNotificationBlock
from orchestrator.notifications import services
from orchestrator.notifications.services import Outgoing


class PagerDutyWebHook(ServiceNotificationBlock):
    """Alerts of PagerDuty, by its Events API v2.

    Example:
        ```python
        from orchestrator.blocks.notifications import PagerDutyWebHook

        PagerDutyWebHook.load("on-call").notify("It failed.", subject="Nightly")
        ```
    """

    _block_type_name: ClassVar[str | None] = "Pager Duty Webhook"
    _block_type_slug: ClassVar[str | None] = "pager-duty-webhook"

    notify_type: NotifyType = Field(default="info", description="The severity: failure is critical.")
    integration_key: SecretStr = Field(
        default=..., description='The key of the integration "Events API V2", also called routing key.'
    )
    api_key: SecretStr | None = Field(
        default=None, title="API Key", description="An API key, found under Integrations; most accounts need none."
    )
    source: str | None = Field(default="Orchestrator", description="What the alert is about: a name or an address.")
    component: str = Field(default="Notification", description="The component in the payload.")
    group: str | None = Field(default=None, description="The group in the payload.")
    class_id: str | None = Field(default=None, title="Class ID", description="The class in the payload.")
    region_name: Literal["us", "eu"] = Field(default="us", description="The region of the account.")
    clickable_url: AnyHttpUrl | None = Field(
        default=None, title="Clickable URL", description="A link that is shown with the alert."
    )
    include_image: bool = Field(
        default=True, description="Taken from Prefect's blocks; alerts have no image here, whatever it says."
    )
    custom_details: dict[str, str] | None = Field(
        default=None, description="More details of the alert.", examples=['{"disk_space_left": "145GB"}']
    )

    def requests_for(self, body: str, subject: str | None) -> list[Outgoing]:
        """One event."""
        event = services.pagerduty(
            self.integration_key.get_secret_value(),
            body,
            subject,
            api_key=None if self.api_key is None else self.api_key.get_secret_value(),
            region=self.region_name,
            notify_type=self.notify_type,
            source=self.source or "Orchestrator",
            component=self.component,
            group=self.group,
            class_id=self.class_id,
            details=self.custom_details,
            link=None if self.clickable_url is None else str(self.clickable_url),
        )
        return [event]


class TwilioSMS(ServiceNotificationBlock):
    """Short messages to phones, by Twilio.

    Example:
        ```python
        from orchestrator.blocks.notifications import TwilioSMS

        TwilioSMS.load("on-call").notify("It failed.")
        ```
    """

    _block_type_name: ClassVar[str | None] = "Twilio SMS"

    account_sid: str = Field(default=..., description="The account SID, found on the homepage of Twilio's console.")
    auth_token: SecretStr = Field(default=..., description="The authentication token of the account.")
    from_phone_number: str = Field(
        default=..., description="The number of Twilio that the message comes from.", examples=["18001234567"]
    )
    to_phone_numbers: list[str] = Field(
        default=..., description="The number(s) that the message goes to.", examples=["18004242424"], min_length=1
    )

    def requests_for(self, body: str, subject: str | None) -> list[Outgoing]:
        """A request for each number."""
        token = self.auth_token.get_secret_value()
        return services.twilio(self.account_sid, token, self.from_phone_number, self.to_phone_numbers, body, subject)


class OpsgenieWebhook(ServiceNotificationBlock):
    """Alerts of Opsgenie, by its Alert API.

    Example:
        ```python
        from orchestrator.blocks.notifications import OpsgenieWebhook

        OpsgenieWebhook.load("on-call").notify("It failed.", subject="Nightly")
        ```
    """

    _block_type_name: ClassVar[str | None] = "Opsgenie Webhook"

    apikey: SecretStr = Field(default=..., title="API Key", description="The API key of your Opsgenie account.")
    target_user: list[str] | None = Field(default=None, description="The user(s) you wish to notify.")
    target_team: list[str] | None = Field(default=None, description="The team(s) you wish to notify.")
    target_schedule: list[str] | None = Field(default=None, description="The schedule(s) you wish to notify.")
    target_escalation: list[str] | None = Field(default=None, description="The escalation(s) you wish to notify.")
    region_name: Literal["us", "eu"] = Field(default="us", description="The region of the account.")
    batch: bool = Field(default=False, description="One alert for all targets, instead of one for each.")
    tags: list[str] | None = Field(default=None, description="Tags of the alert.", examples=['["tag1", "tag2"]'])
    priority: int | None = Field(
        default=3, description="The number of Opsgenie's priority: 1 is P1, the most urgent, 5 is P5.", ge=1, le=5
    )
    alias: str | None = Field(default=None, description="What two alerts have in common that are one for Opsgenie.")
    entity: str | None = Field(default=None, description="What the alert is about.")
    details: dict[str, str] | None = Field(
        default=None, description="More details of the alert.", examples=['{"key1": "value1", "key2": "value2"}']
    )

    def requests_for(self, body: str, subject: str | None) -> list[Outgoing]:
        """A request for each target, or one for all."""
        targets = {
            ("user", "username"): self.target_user,
            ("team", "name"): self.target_team,
            ("schedule", "name"): self.target_schedule,
            ("escalation", "name"): self.target_escalation,
        }
        return services.opsgenie(
            self.apikey.get_secret_value(),
            body,
            subject,
            responders=[{"type": kind, key: name} for (kind, key), names in targets.items() for name in names or ()],
            batch=self.batch,
            region=self.region_name,
            priority=self.priority,
            tags=self.tags,
            alias=self.alias,
            entity=self.entity,
            details=self.details,
        )
