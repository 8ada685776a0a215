"""What services for messages expect: a message as the requests that their documentation asks for. Pure.

Sources: the API references of Slack (incoming webhooks), Microsoft Teams (workflows; adaptive cards), PagerDuty
(Events API v2), Twilio (Messages), Opsgenie (Alert API), Mattermost and Discord (incoming webhooks), SendGrid (Mail
Send).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from orchestrator.notifications.http import Response, request

_SLACK_LIMIT: Final = 40_000  # characters; Slack cuts what is longer
_DISCORD_LIMIT: Final = 2_000
_TWILIO_LIMIT: Final = 1_600
_PAGERDUTY_LIMIT: Final = 1_024
_OPSGENIE_LIMITS: Final = (130, 15_000)
_SLACK_MARKUP: Final = re.compile(r"<(?:https?://|mailto:|[@#!])[^<>\n]+>")  # links and mentions, written on purpose
_SLACK_ESCAPES: Final = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;"}
_SEVERITIES: Final = {"warning": "warning", "failure": "critical"}
_CARD_COLORS: Final = {"success": "Good", "warning": "Warning", "failure": "Attention"}


@dataclass(frozen=True)
class Outgoing:
    """A request that is to be sent. Its URL and headers hold secrets, so they are not shown.

    ``secrets`` are those that stand elsewhere in it.
    """

    url: str = field(repr=False)
    json: Any = field(default=None, repr=False)
    form: Mapping[str, str] | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: Sequence[str] = field(default=(), repr=False)

    def deliver(self, *, timeout_seconds: float = 10.0, allow_private_urls: bool = False) -> Response:
        """Post it.

        Raises:
            NotificationError: it was not taken.
        """
        answer = request(
            "POST",
            self.url,
            json=self.json,
            form=self.form,
            headers=self.headers,
            secrets=self.secrets,
            timeout_seconds=timeout_seconds,
            allow_private_urls=allow_private_urls,
        )
        return answer.raise_for_status()


def shortened(text: str, limit: int) -> str:
    """The text, cut where it is longer than a service takes, with a note that says so.

    >>> shortened("abc" * 20, 40)
    'abcabcabca… (50 characters are left out)'
    """
    if len(text) <= limit:
        return text
    note = f"… ({len(text)} characters are left out)"  # its longest form, to know its length
    kept = limit - len(note)
    return f"{text[:kept]}… ({len(text) - kept} characters are left out)"


def slack(url: str, body: str, subject: str | None = None) -> Outgoing:
    """Bold subject, then the text. ``&``, ``<``, ``>`` are shown as they are; links and mentions keep their meaning."""
    head = f"*{_slack_text(subject)}*\n" if subject else ""
    return Outgoing(url, {"text": shortened(head + _slack_text(body), _SLACK_LIMIT)})


def _slack_text(text: str) -> str:
    parts, end = [], 0
    for found in _SLACK_MARKUP.finditer(text):
        parts += [text[end : found.start()].translate(_SLACK_ESCAPES), found[0]]
        end = found.end()
    return "".join([*parts, text[end:].translate(_SLACK_ESCAPES)])


def teams(url: str, body: str, subject: str | None = None, *, notify_type: str = "", wrap: bool = True) -> Outgoing:
    """An adaptive card, as the workflow "When a Teams webhook request is received" posts it."""
    color = {"color": found} if (found := _CARD_COLORS.get(notify_type)) else {}
    heading = {"type": "TextBlock", "text": subject, "style": "heading", "weight": "Bolder", "size": "Large"}
    blocks: list[dict[str, Any]] = [{**heading, "wrap": wrap, **color}] if subject else []
    blocks.append({"type": "TextBlock", "text": body, "wrap": wrap})
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": blocks,
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return Outgoing(url, {"type": "message", "attachments": [attachment]})


def pagerduty(
    integration_key: str,
    body: str,
    subject: str | None = None,
    *,
    api_key: str | None = None,
    region: str = "us",
    notify_type: str = "info",
    source: str = "Orchestrator",
    component: str | None = None,
    group: str | None = None,
    class_id: str | None = None,
    details: Mapping[str, str] | None = None,
    link: str | None = None,
) -> Outgoing:
    """An event that triggers an alert. With a subject, that is its summary, and the text is among its details."""
    extra = {**(details or {}), **({"body": body} if subject else {})}
    fields = {
        "summary": shortened(subject or body, _PAGERDUTY_LIMIT),
        "severity": _SEVERITIES.get(notify_type, "info"),
        "source": source,
        "component": component,
        "group": group,
        "class": class_id,
        "custom_details": extra or None,
    }
    payload = {name: value for name, value in fields.items() if value is not None}
    event: dict[str, Any] = {"routing_key": integration_key, "event_action": "trigger", "payload": payload}
    if link:
        event["links"] = [{"href": link, "text": source}]
    host = "events.eu.pagerduty.com" if region == "eu" else "events.pagerduty.com"
    headers = {"Authorization": f"Token token={api_key}"} if api_key else {}
    return Outgoing(f"https://{host}/v2/enqueue", event, headers=headers, secrets=[integration_key])


def twilio(
    account_sid: str, auth_token: str, sender: str, to: Sequence[str], body: str, subject: str | None = None
) -> list[Outgoing]:
    """One short message for each number."""
    pair = base64.b64encode(f"{account_sid}:{auth_token}".encode()).decode()
    url = f"https://api.twilio.com/2010-04-01/Accounts/{quote(account_sid, safe='')}/Messages.json"
    text = shortened(f"{subject}\n{body}" if subject else body, _TWILIO_LIMIT)
    headers = {"Authorization": f"Basic {pair}"}
    forms = [{"From": _international(sender), "To": _international(number), "Body": text} for number in to]
    return [Outgoing(url, form=form, headers=headers) for form in forms]


def _international(number: str) -> str:
    """A phone number with its plus. Short codes and names of senders stay as they are.

    >>> _international("1 (800) 424-2424"), _international("+491701234567"), _international("12345")
    ('+18004242424', '+491701234567', '12345')
    """
    digits = re.sub(r"[\s().-]", "", number)
    return f"+{digits}" if digits.isdigit() and len(digits) > 8 else digits if digits.lstrip("+").isdigit() else number


def opsgenie(
    api_key: str,
    body: str,
    subject: str | None = None,
    *,
    responders: Sequence[Mapping[str, str]] = (),
    batch: bool = False,
    region: str = "us",
    priority: int | None = 3,
    tags: Sequence[str] | None = None,
    alias: str | None = None,
    entity: str | None = None,
    details: Mapping[str, str] | None = None,
) -> list[Outgoing]:
    """An alert for each responder, or one for all of them (``batch``); without any, as the integration routes it."""
    title, most = subject or body, _OPSGENIE_LIMITS
    fields = {
        "message": shortened(title, most[0]),
        "description": shortened(body, most[1]) if subject or len(body) > most[0] else None,
        "priority": None if priority is None else f"P{priority}",
        "tags": list(tags) if tags else None,
        "alias": alias,
        "entity": entity,
        "details": dict(details) if details else None,
    }
    alert = {name: value for name, value in fields.items() if value is not None}
    host = "api.eu.opsgenie.com" if region == "eu" else "api.opsgenie.com"
    headers = {"Authorization": f"GenieKey {api_key}"}
    groups = [list(responders)] if batch or not responders else [[responder] for responder in responders]
    alerts = [{**alert, "responders": group} if group else alert for group in groups]
    return [Outgoing(f"https://{host}/v2/alerts", one, headers=headers) for one in alerts]


def mattermost(
    url: str, body: str, subject: str | None = None, *, botname: str | None = None, channels: Sequence[str] = ()
) -> list[Outgoing]:
    """Bold subject, then the text; once for each channel, or in the channel of the webhook."""
    message: dict[str, Any] = {"text": f"**{subject}**\n{body}" if subject else body}
    if botname:
        message["username"] = botname
    names = [channel.lstrip("#") for channel in channels]
    return [Outgoing(url, {**message, "channel": name}) for name in names] or [Outgoing(url, message)]


def discord(
    webhook_id: str,
    webhook_token: str,
    body: str,
    subject: str | None = None,
    *,
    botname: str | None = None,
    avatar_url: str | None = None,
    tts: bool = False,
) -> Outgoing:
    """Bold subject, then the text."""
    text = f"**{subject}**\n{body}" if subject else body
    message: dict[str, Any] = {"content": shortened(text, _DISCORD_LIMIT), "tts": tts}
    if botname:
        message["username"] = botname
    if avatar_url:
        message["avatar_url"] = avatar_url
    path = f"{quote(webhook_id, safe='')}/{quote(webhook_token, safe='')}"
    return Outgoing(f"https://discord.com/api/webhooks/{path}", message)


def sendgrid(api_key: str, sender: str, to: Sequence[str], body: str, subject: str | None = None) -> Outgoing:
    """A mail for each recipient, who does not see the others."""
    mail = {
        "personalizations": [{"to": [{"email": address}]} for address in to],
        "from": {"email": sender},
        "subject": subject or shortened(body.partition("\n")[0], 120) or "Notification",
        "content": [{"type": "text/plain", "value": body or " "}],
    }
    headers = {"Authorization": f"Bearer {api_key}"}
    return Outgoing("https://api.sendgrid.com/v3/mail/send", mail, headers=headers)
