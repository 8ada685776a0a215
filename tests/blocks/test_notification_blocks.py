"""Blocks that send messages: what they send, what they refuse, and that they show no secret on the way."""

from __future__ import annotations

import asyncio
import json
import logging
import traceback
from typing import Any

import pytest
from pydantic import ValidationError

from orchestrator.blocks import abstract
from orchestrator.blocks.core import Block
from orchestrator.blocks.notifications import (
    AppriseNotification,
    AppriseNotificationBlock,
    CustomWebhookNotificationBlock,
    DiscordWebhook,
    EmailNotification,
    EmailServerCredentials,
    MattermostWebhook,
    MicrosoftTeamsWebhook,
    NotificationBlock,
    NotificationError,
    OpsgenieWebhook,
    PagerDutyWebHook,
    SendgridEmail,
    ServiceNotificationBlock,
    SlackWebhook,
    TwilioSMS,
)
from orchestrator.blocks.registry import OURS, class_of
from orchestrator.blocks.webhook import Webhook
from orchestrator.client.fleet import Fleet
from tests.support.mail_servers import MailServer
from tests.support.receivers import Receiver, status
from tests.support.store_dump import everything_in, traces_of

SECRET = "s3cr3t-t0k3n-unmistakable"
URL = f"https://hooks.example.org/{SECRET}"
SERVER = {"username": "etl@example.org", "password": SECRET}
BLOCKS: dict[str, Any] = {
    "slack-webhook": lambda: SlackWebhook(url=URL),
    "ms-teams-webhook": lambda: MicrosoftTeamsWebhook(url=URL),
    "pager-duty-webhook": lambda: PagerDutyWebHook(integration_key=SECRET, api_key=SECRET),
    "twilio-sms": lambda: TwilioSMS(
        account_sid="AC1", auth_token=SECRET, from_phone_number="18001234567", to_phone_numbers=["18004242424"]
    ),
    "opsgenie-webhook": lambda: OpsgenieWebhook(apikey=SECRET, target_team=["data"]),
    "mattermost-webhook": lambda: MattermostWebhook(hostname="chat.example.org", token=SECRET),
    "discord-webhook": lambda: DiscordWebhook(webhook_id=SECRET, webhook_token=SECRET),
    "sendgrid-email": lambda: SendgridEmail(api_key=SECRET, sender_email="etl@example.org", to_emails=["a@b.org"]),
    "custom-webhook": lambda: CustomWebhookNotificationBlock(name="x", url="https://h/{{t}}", secrets={"t": SECRET}),
    "apprise-notification": lambda: AppriseNotification(url=f"json://hooks.example.org/{SECRET}"),
    "email-server-credentials": lambda: EmailServerCredentials(**SERVER),
    "email-notification": lambda: EmailNotification(email_server_credentials=SERVER, to=["ann@example.org"]),
    "webhook": lambda: Webhook(url=URL, headers={"Authorization": f"Bearer {SECRET}"}),
}


def test_all_of_them_are_known_without_an_import_by_the_user() -> None:
    assert set(BLOCKS) == {slug for slug, module in OURS.items() if module.endswith((".notifications", ".webhook"))}
    assert [slug for slug in BLOCKS if class_of(slug) is not type(BLOCKS[slug]())] == []
    assert [slug for slug in BLOCKS if BLOCKS[slug]().get_block_type_slug() != slug] == []


@pytest.mark.parametrize("slug", BLOCKS)
def test_a_block_is_kept_with_its_secrets_encrypted(fleet: Fleet, slug: str) -> None:
    block = BLOCKS[slug]()
    assert SECRET not in f"{block!r} {block} {block.model_dump()}"
    block.save("mine")
    again = Block.load(f"{slug}/mine")
    assert again == block or again.model_dump() == block.model_dump()
    assert type(again) is type(block)
    assert traces_of(SECRET, everything_in(fleet)) == []


def private(receiver: Receiver, **fields: Any) -> SlackWebhook:
    return SlackWebhook(url=f"{receiver.url}/{SECRET}", allow_private_urls=True, **fields)


def test_slack_needs_no_library() -> None:
    with Receiver() as receiver:
        private(receiver).notify("It failed.", subject="Nightly")
    (got,) = receiver.requests
    assert (got.path, got.json()) == (f"/{SECRET}", {"text": "*Nightly*\nIt failed."})


def test_on_an_event_loop_it_is_awaited_and_a_thread_waits() -> None:
    async def main() -> None:
        await private(receiver).notify("one")
        await private(receiver).anotify("two", "subject")

    with Receiver() as receiver:
        asyncio.run(main())
    assert [got.json()["text"] for got in receiver.requests] == ["one", "*subject*\ntwo"]


def test_a_message_that_is_not_taken_is_an_error_without_a_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with Receiver(status(404, f"no_service {SECRET}".encode())) as receiver:
        block = private(receiver)
        for send in (block.notify, lambda text: asyncio.run(block.anotify(text))):
            with pytest.raises(NotificationError, match="answered 404: no_service") as caught, block.raise_on_failure():
                send("It failed.")
            assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert SECRET not in caplog.text
    assert caught.value.status == 404
    assert "answered 404" in caught.value.log


def test_private_addresses_are_refused_unless_they_are_allowed() -> None:
    with Receiver() as receiver:
        for block in (
            SlackWebhook(url=receiver.url),
            MicrosoftTeamsWebhook(url=receiver.url),
            CustomWebhookNotificationBlock(name="x", url=receiver.url),
            MattermostWebhook(hostname="127.0.0.1", port=receiver.port, token=SECRET),
            AppriseNotification(url=receiver.url.replace("http", "json")),
        ):
            with pytest.raises(NotificationError, match="allow_private_urls=True"):
                block.notify("It failed.")
        with pytest.raises(NotificationError, match="allow_private_urls=True"):
            Webhook(url=receiver.url).call()
    assert receiver.requests == []


def test_teams_and_mattermost_send_to_their_servers() -> None:
    with Receiver() as receiver:
        MicrosoftTeamsWebhook(url=receiver.url, allow_private_urls=True, notify_type="failure").notify(
            "body", "subject"
        )
        MattermostWebhook(
            hostname="127.0.0.1",
            port=receiver.port,
            token="t0k3n",
            path="chat",
            channels=["a"],
            allow_private_urls=True,
        ).notify("body")
    teams, mattermost = receiver.requests
    assert teams.json()["attachments"][0]["content"]["body"][0]["color"] == "Attention"
    assert (mattermost.path, mattermost.json()) == ("/chat/hooks/t0k3n", {"text": "body", "channel": "a"})


@pytest.mark.parametrize(
    ("block", "host", "facts"),
    [
        (
            PagerDutyWebHook(integration_key="k", clickable_url="https://x.org/1", notify_type="warning", group="g"),
            "https://events.pagerduty.com/",
            {"severity": "warning", "group": "g", "href": "https://x.org/1", "component": "Notification"},
        ),
        (BLOCKS["twilio-sms"](), "https://api.twilio.com/", {"To": "+18004242424", "Body": "subject\nbody"}),
        (
            OpsgenieWebhook(apikey="k", target_user=["ann"], target_schedule=["nights"], batch=True, priority=1),
            "https://api.opsgenie.com/",
            {"username": "ann", "name": "nights", "priority": "P1"},
        ),
        (
            DiscordWebhook(webhook_id="1", webhook_token="t", avatar=True, avatar_url="https://x.org/a", tts=True),
            "https://discord.com/",
            {"content": "**subject**\nbody", "avatar_url": "https://x.org/a", "tts": True},
        ),
        (BLOCKS["sendgrid-email"](), "https://api.sendgrid.com/", {"email": "a@b.org", "subject": "subject"}),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Block) else "",
)
def test_fields_of_blocks_for_services_arrive_in_their_requests(
    block: ServiceNotificationBlock, host: str, facts: dict[str, Any]
) -> None:
    """What the requests look like in full is tested with the services: tests/notifications/test_services.py."""
    (outgoing,) = block.requests_for("body", "subject")
    assert outgoing.url.startswith(host)
    text = json.dumps(outgoing.json or outgoing.form)
    assert [name for name, value in facts.items() if json.dumps({name: value})[1:-1] not in text] == []


def test_when_one_of_several_messages_is_refused_the_others_are_sent() -> None:
    with Receiver(status(500), status(200)) as receiver:
        block = MattermostWebhook(
            hostname="127.0.0.1", port=receiver.port, token=SECRET, channels=["a", "b"], allow_private_urls=True
        )
        with pytest.raises(NotificationError, match="1 of 2 messages were not taken") as caught:
            block.notify("body")
    assert [got.json()["channel"] for got in receiver.requests] == ["a", "b"]
    assert not caught.value.temporary, "sent again, b would have it twice"


def test_apprise_urls_go_to_apprise() -> None:
    with Receiver() as receiver:
        url = receiver.url.replace("http", "json")
        AppriseNotification(url=url, allow_private_urls=True, notify_type="failure").notify("body", "subject")
        SlackWebhook(url=url, allow_private_urls=True).notify("body")
    first, second = receiver.requests
    assert {"title": "subject", "message": "body", "type": "failure"}.items() <= first.json().items()
    assert {"message": "body", "type": "info"}.items() <= second.json().items()


def test_a_block_of_ones_own_needs_a_name_only() -> None:
    class OnCall(AppriseNotificationBlock):
        """Wakes people."""

    with Receiver() as receiver:
        OnCall(url=receiver.url.replace("http", "json"), allow_private_urls=True).notify("wake up")
    assert receiver.requests[0].json()["message"] == "wake up"


def test_the_base_class_is_where_prefect_has_it() -> None:
    assert abstract.NotificationBlock is NotificationBlock
    assert abstract.NotificationError is NotificationError


def test_a_block_of_ones_own_may_be_a_coroutine_function() -> None:
    got: list[Any] = []

    class Loud(NotificationBlock):
        async def notify(self, body: str, subject: str | None = None) -> None:
            got.append((body, subject))

    asyncio.run(Loud().anotify("body", "subject"))
    assert got == [("body", "subject")]


# -- webhooks of one's own ---------------------------------------------------------------------------------------------


def test_a_custom_webhook_fills_in_its_templates() -> None:
    with Receiver() as receiver:
        CustomWebhookNotificationBlock(
            name="Alerts",
            url=f"{receiver.url}/{{{{name}}}}",
            params={"q": "{{ subject }} & more"},
            json_data={"text": "{{subject}}: {{body}}", "list": ["{{n}}", 7]},
            headers={"X-Token": "{{token}}"},
            cookies={"session": "{{token}}"},
            secrets={"token": SECRET, "n": 3},
            allow_private_urls=True,
        ).notify("It failed.", subject="Nightly")
    (got,) = receiver.requests
    assert got.path == "/Alerts?q=Nightly+%26+more"
    assert got.json() == {"text": "Nightly: It failed.", "list": [3, 7]}
    assert (got.headers["X-Token"], got.headers["Cookie"]) == (SECRET, f"session={SECRET}")


def test_a_custom_webhook_sends_forms_and_a_missing_subject_is_null() -> None:
    with Receiver() as receiver:
        CustomWebhookNotificationBlock(
            name="x", url=receiver.url, method="PUT", form_data={"s": "{{subject}}"}, allow_private_urls=True
        ).notify("body")
    (got,) = receiver.requests
    assert (got.method, got.form()) == ("PUT", {"s": ["null"]})


def test_secrets_of_a_custom_webhook_are_not_repeated() -> None:
    with Receiver(status(401, f"{SECRET} is no token".encode())) as receiver:
        block = CustomWebhookNotificationBlock(
            name="x", url=receiver.url, json_data={"t": "{{t}}"}, secrets={"t": SECRET}, allow_private_urls=True
        )
        with pytest.raises(NotificationError, match="answered 401: •••••• is no token"):
            block.notify("body")


def test_templates_are_checked_when_the_block_is_made() -> None:
    with pytest.raises(KeyError, match="json_data/nope"):
        CustomWebhookNotificationBlock(name="x", url=URL, json_data={"a": ["{{nope}}"]})
    with pytest.raises(ValueError, match="both `Form Data` and `JSON Data`"):
        CustomWebhookNotificationBlock(name="x", url=URL, json_data={}, form_data={})


def test_what_a_run_says_is_no_template() -> None:
    with Receiver() as receiver:
        CustomWebhookNotificationBlock(
            name="x", url=receiver.url, json_data={"b": "{{body}}"}, secrets={"t": SECRET}, allow_private_urls=True
        ).notify("give me {{t}}")
    assert receiver.requests[0].json() == {"b": "give me {{t}}"}


def test_a_webhook_is_called_with_a_payload_or_a_text_or_nothing() -> None:
    with Receiver(status(200, b'{"id": 1}'), status(200), status(200), status(418, b"tea")) as receiver:
        block = Webhook(url=receiver.url, method="PUT", headers={"X-Token": SECRET}, allow_private_urls=True)
        assert block.call({"branch": "main"}).json() == {"id": 1}
        assert block.call("text").is_success
        assert asyncio.run(_awaited(block)).is_success
        assert block.call().status_code == 418
        with pytest.raises(NotificationError, match="answered 418: tea"):
            block.call().raise_for_status()
    bodies = [got.body for got in receiver.requests[:4]]
    assert bodies == [b'{"branch": "main"}', b"text", b'{"a": 1}', b""]
    assert {(got.method, got.headers["X-Token"]) for got in receiver.requests} == {("PUT", SECRET)}


async def _awaited(block: Webhook) -> Any:
    return await block.call({"a": 1})


# -- mail --------------------------------------------------------------------------------------------------------------


def test_a_mail_arrives_from_the_servers_user() -> None:
    with MailServer() as server:
        credentials = EmailServerCredentials(smtp_server="127.0.0.1", smtp_type="insecure", smtp_port=server.port)
        block = EmailNotification(
            email_server_credentials=credentials,
            email_to="Ann <ann@example.org>, bob@example.org",
            email_from="ETL <etl@example.org>",
            bcc=["cat@example.org"],
        )
        block.notify("It failed.", subject="Flow run 'nightly' of 2026-11-29 failed: 7 > 5\nBcc: eve@example.org")
    (got,), (recipients,) = server.mails, server.recipients
    assert got["Subject"] == "Flow run 'nightly' of 2026-11-29 failed: 7 > 5 Bcc: eve@example.org"
    assert (got["From"], got["To"]) == ("ETL <etl@example.org>", "Ann <ann@example.org>, bob@example.org")
    assert recipients == ["ann@example.org", "bob@example.org", "cat@example.org"]
    assert got.get_content().strip() == "It failed."


def test_servers_have_the_names_and_ports_that_prefects_package_knows() -> None:
    known = EmailServerCredentials(smtp_server="Gmail", username="a@b.org", password="x")
    assert known.mail_server().host == "smtp.gmail.com"
    assert known.mail_server().security == "ssl"
    assert EmailServerCredentials(smtp_type="STARTTLS").mail_server().security == "starttls"
    assert EmailNotification(email_server_credentials=known, to=["c@d.org"]).sender == "a@b.org"


@pytest.mark.parametrize(
    "fields",
    [
        {"to": []},
        {"to": "nobody"},
        {"to": ["a@b.org\nBcc: eve@example.org"]},
        {"to": ["a@b.org"], "from": "nobody"},
        {"to": ["a@b.org"], "cc": ["nobody"]},
        {"to": ["a@b.org"], "email_server_credentials": {"smtp_server": "h"}},
        {"to": ["a@b.org"], "email_server_credentials": {"username": "a@b.org"}},
    ],
)
def test_addresses_and_servers_are_checked_when_the_block_is_made(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        EmailNotification(**{"email_server_credentials": SERVER, **fields})
    assert SECRET not in "".join(traceback.format_exception(caught.value))
