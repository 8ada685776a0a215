"""Blocks for mail: over a server's SMTP, or by SendGrid."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar

from pydantic import AliasChoices, Field, SecretStr, field_validator, model_validator

from orchestrator.blocks.core import Block
from orchestrator.blocks.notifications.base import SendingBlock, ServiceNotificationBlock
from orchestrator.notifications import services
from orchestrator.notifications.services import Outgoing
from orchestrator.notifications.smtp import Mail, MailServer, Security, addresses, send


class SMTPType(StrEnum):
    """How a mail server is talked to, under the names of Prefect's package for mail."""

    SSL = "SSL"
    STARTTLS = "STARTTLS"
    INSECURE = "INSECURE"


_SECURITY: dict[SMTPType, Security] = {SMTPType.SSL: "ssl", SMTPType.STARTTLS: "starttls", SMTPType.INSECURE: "none"}
_SERVERS = {
    "AOL": "smtp.aol.com",
    "ATT": "smtp.mail.att.net",
    "COMCAST": "smtp.comcast.net",
    "ICLOUD": "smtp.mail.me.com",
    "GMAIL": "smtp.gmail.com",
    "OUTLOOK": "smtp-mail.outlook.com",
    "YAHOO": "smtp.mail.yahoo.com",
}


class EmailServerCredentials(Block):
    """A mail server, and who hands mail in. The fields are those of Prefect's package for mail.

    Example:
        ```python
        from orchestrator.blocks.notifications import EmailServerCredentials

        EmailServerCredentials(username="etl@example.org", password="...", smtp_server="smtp.example.org").save("mail")
        ```
    """

    _block_type_name: ClassVar[str | None] = "Email Server Credentials"

    username: str | None = Field(default=None, description="The username at the server; often the address.")
    password: SecretStr | None = Field(default=None, description="The password, or a password for apps.")
    smtp_server: str = Field(
        default="smtp.gmail.com",
        title="SMTP Server",
        description="The server: a name or address, or one of " + ", ".join(_SERVERS) + ".",
    )
    smtp_type: SMTPType = Field(
        default=SMTPType.SSL,
        title="SMTP Type",
        description="SSL: TLS from the first byte on. STARTTLS: TLS after the greeting. INSECURE: none.",
    )
    smtp_port: int | None = Field(
        default=None, title="SMTP Port", description="Without one: 465, 587 or 25, by the type.", ge=1, le=65_535
    )
    verify: bool = Field(default=True, description="Whether the server's certificate must be valid.")

    @field_validator("smtp_server", mode="before")
    @classmethod
    def _known_server(cls, value: Any) -> Any:
        return _SERVERS.get(value.strip().upper(), value.strip()) if isinstance(value, str) else value

    @field_validator("smtp_type", mode="before")
    @classmethod
    def _any_case(cls, value: Any) -> Any:
        return value.strip().upper() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _both_or_none(self) -> EmailServerCredentials:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password: both or none")
        return self

    def mail_server(self) -> MailServer:
        """The server as the transport takes it."""
        password = None if self.password is None else self.password.get_secret_value()
        security = _SECURITY[self.smtp_type]
        return MailServer(self.smtp_server, security, self.smtp_port, self.username, password, self.verify)


class EmailNotification(SendingBlock):
    """Mail to one or several people.

    A block with ``from_`` unset uses the server's username as sender.

    Example:
        ```python
        from orchestrator.blocks.notifications import EmailNotification, EmailServerCredentials

        server = EmailServerCredentials.load("mail")
        EmailNotification(email_server_credentials=server, to=["ann@example.org"]).save("on-call")
        EmailNotification.load("on-call").notify("It failed.", subject="Nightly")
        ```
    """

    _block_type_name: ClassVar[str | None] = "Email Notification"

    email_server_credentials: EmailServerCredentials = Field(
        default=..., title="Mail server", description="The server, and who hands mail in."
    )
    to: list[str] = Field(
        default=...,
        validation_alias=AliasChoices("to", "email_to"),
        description="Recipients: a list, or a text with commas.",
        examples=["ann@example.org"],
        min_length=1,
    )
    from_: str | None = Field(
        default=None,
        validation_alias=AliasChoices("from", "from_", "email_from"),
        title="From",
        description="The sender; without one the server's username.",
        examples=["ETL <etl@example.org>"],
    )
    cc: list[str] = Field(default_factory=list, description="Further recipients, seen by all.")
    bcc: list[str] = Field(default_factory=list, description="Further recipients, seen by nobody.")

    @field_validator("to", "cc", "bcc", mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("to", "cc", "bcc")
    @classmethod
    def _addresses(cls, value: list[str]) -> list[str]:
        addresses(value)
        return value

    @model_validator(mode="after")
    def _has_a_sender(self) -> EmailNotification:
        addresses([self.sender])
        return self

    @property
    def sender(self) -> str:
        """Who the mail is from."""
        return self.from_ or self.email_server_credentials.username or ""

    def send(self, body: str, subject: str | None) -> None:
        """Hand the mail in."""
        mail = Mail(self.sender, self.to, body, subject or "Notification", self.cc, self.bcc)
        send(mail, self.email_server_credentials.mail_server())


class SendgridEmail(ServiceNotificationBlock):
    """Mail by an account of SendGrid; recipients do not see each other.

    Example:
        ```python
        from orchestrator.blocks.notifications import SendgridEmail

        SendgridEmail.load("alerts").notify("It failed.", subject="Nightly")
        ```
    """

    _block_type_name: ClassVar[str | None] = "Sendgrid Email"

    api_key: SecretStr = Field(default=..., title="API Key", description="The API key of your SendGrid account.")
    sender_email: str = Field(
        default=..., title="Sender email id", description="The sender's address.", examples=["etl@example.org"]
    )
    to_emails: list[str] = Field(
        default=...,
        title="Recipient emails",
        description="The addresses of all recipients.",
        examples=["ann@example.org"],
        min_length=1,
    )

    def requests_for(self, body: str, subject: str | None) -> list[Outgoing]:
        """One request, with a mail for each recipient."""
        return [services.sendgrid(self.api_key.get_secret_value(), self.sender_email, self.to_emails, body, subject)]
