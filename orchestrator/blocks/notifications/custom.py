"""A block for whatever takes HTTP: the request is a template."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from orchestrator.blocks.fields import SecretDict
from orchestrator.blocks.notifications.base import SendingBlock
from orchestrator.notifications.http import request
from orchestrator.notifications.templates import filled, names_in
from orchestrator.notifications.urls import SHORTEST_SECRET, with_query

_TEMPLATES = ("url", "params", "json_data", "form_data", "headers", "cookies")
_ALWAYS = ("subject", "body", "name")


class CustomWebhookNotificationBlock(SendingBlock):
    """Messages to a webhook of one's own.

    In the URL, the parameters, the data, the headers and the cookies ``{{subject}}``, ``{{body}}``, ``{{name}}`` and
    ``{{...}}`` for each name of ``secrets`` are filled in. A message without subject has the subject ``null``, as in
    Prefect.

    Raises:
        ValueError: both ``json_data`` and ``form_data`` are given.
        KeyError: a template names something else.

    Example:
        ```python
        from orchestrator.blocks.notifications import CustomWebhookNotificationBlock

        CustomWebhookNotificationBlock(
            name="Alerts",
            url="https://alerts.example.com/api",
            json_data={"text": "{{subject}}: {{body}}", "token": "{{token}}"},
            secrets={"token": "..."},
        ).save("alerts")
        CustomWebhookNotificationBlock.load("alerts").notify("It failed.", subject="Nightly")
        ```
    """

    _block_type_name: ClassVar[str | None] = "Custom Webhook"

    name: str = Field(default=..., title="Name", description="Name of the webhook.")
    url: str = Field(
        default=..., title="Webhook URL", description="The webhook URL.", examples=["https://hooks.slack.com/XXX"]
    )
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = Field(
        default="POST", description="The method of the request."
    )
    params: dict[str, str] | None = Field(default=None, title="Query Params", description="Custom query parameters.")
    json_data: dict[str, Any] | None = Field(
        default=None,
        title="JSON Data",
        description="Data to send as JSON.",
        examples=['{"text": "{{subject}}\\n{{body}}", "title": "{{name}}", "token": "{{tokenFromSecrets}}"}'],
    )
    form_data: dict[str, str] | None = Field(
        default=None,
        title="Form Data",
        description="Data to send as a form, instead of as JSON.",
        examples=['{"text": "{{subject}}\\n{{body}}", "title": "{{name}}", "token": "{{tokenFromSecrets}}"}'],
    )
    headers: dict[str, str] | None = Field(default=None, description="Custom headers.")
    cookies: dict[str, str] | None = Field(default=None, description="Custom cookies.")
    timeout: float = Field(default=10, description="Seconds until the answer must have come.", gt=0)
    allow_private_urls: bool = Field(
        default=False,
        description="Whether the message may go to an address that is not public: of this machine or this network.",
    )
    secrets: SecretDict = Field(
        default_factory=lambda: SecretDict({}),
        title="Custom Secret Values",
        description="Secret values that are filled in elsewhere.",
        examples=['{"tokenFromSecrets":"SomeSecretToken"}'],
    )

    def block_initialization(self) -> None:
        """Check the templates now rather than at the first message."""
        if self.form_data is not None and self.json_data is not None:
            raise ValueError("both `Form Data` and `JSON Data` provided")
        known = {*_ALWAYS, *self.secrets.get_secret_value()}
        for field in _TEMPLATES:
            for name in sorted(names_in(getattr(self, field)) - known):
                raise KeyError(f"{field}/{name}: known are subject, body, name and the names of secrets")

    def send(self, body: str, subject: str | None) -> None:
        """Fill in and send."""
        secrets = self.secrets.get_secret_value()
        values = {**secrets, "subject": "null" if subject is None else subject, "body": body, "name": self.name}
        url, params, data, form, headers, cookies = (filled(getattr(self, field), values) for field in _TEMPLATES)
        answer = request(
            self.method,
            with_query(str(url), params or {}),
            json=data,
            form=_texts(form),
            headers=_with_cookies(_texts(headers), _texts(cookies)),
            secrets=[text for value in secrets.values() if len(text := str(value)) >= SHORTEST_SECRET],
            timeout_seconds=self.timeout,
            allow_private_urls=self.allow_private_urls,
        )
        answer.raise_for_status()


def _texts(values: dict[str, Any] | None) -> dict[str, str] | None:
    """Values that were filled in may be numbers."""
    return None if values is None else {str(name): str(value) for name, value in values.items()}


def _with_cookies(headers: dict[str, str] | None, cookies: dict[str, str] | None) -> dict[str, str]:
    pairs = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())} if cookies else {}
    return {**(headers or {}), **pairs}
