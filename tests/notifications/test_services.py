"""What each service gets, compared with its documentation: as values, and once through a receiver."""

from __future__ import annotations

import traceback
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.errors import NotificationError
from orchestrator.notifications import services
from orchestrator.notifications.services import Outgoing
from tests.support.receivers import Received, Receiver, status

SLACK = "https://hooks.slack.com/services/T024/B981/s3cr3tT0k3n"


def received(outgoing: Outgoing) -> Received:
    """The request as it arrives, at a receiver instead of the service."""
    with Receiver() as receiver:
        path = outgoing.url.split("/", 3)[3]
        replace(outgoing, url=f"{receiver.url}/{path}").deliver(allow_private_urls=True)
    (got,) = receiver.requests
    return got


def test_slack() -> None:
    got = received(services.slack(SLACK, "see <https://x.example/1|run>, <!here>", "a < b & <class 'int'>"))
    assert got.path == "/services/T024/B981/s3cr3tT0k3n"
    text = "*a &lt; b &amp; &lt;class 'int'&gt;*\nsee <https://x.example/1|run>, <!here>"
    assert got.json() == {"text": text}


def test_a_long_text_is_cut_and_says_so() -> None:
    text = services.slack(SLACK, "x" * 50_000).json["text"]
    assert len(text) <= 40_000
    assert text.endswith("characters are left out)")


def test_teams() -> None:
    outgoing = services.teams("https://x.logic.azure.com/w?sig=s3cr3t", "body", "subject", notify_type="failure")
    (attachment,) = received(outgoing).json()["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert [block["text"] for block in attachment["content"]["body"]] == ["subject", "body"]
    assert attachment["content"]["body"][0]["color"] == "Attention"


@pytest.mark.parametrize(
    ("region", "host"), [("us", "https://events.pagerduty.com"), ("eu", "https://events.eu.pagerduty.com")]
)
def test_pagerduty(region: str, host: str) -> None:
    outgoing = services.pagerduty(
        "r0uting-key", "body", "subject", api_key="k3y", region=region, notify_type="failure", details={"a": "b"}
    )
    got = received(outgoing)
    assert outgoing.url == f"{host}/v2/enqueue"
    assert got.headers["Authorization"] == "Token token=k3y"
    event = got.json()
    assert (event["routing_key"], event["event_action"]) == ("r0uting-key", "trigger")
    assert event["payload"] == {
        "summary": "subject",
        "severity": "critical",
        "source": "Orchestrator",
        "custom_details": {"a": "b", "body": "body"},
    }


def test_pagerduty_without_a_subject() -> None:
    event = services.pagerduty("r0uting-key", "body", link="https://x.example").json
    assert event["payload"]["summary"] == "body"
    assert "custom_details" not in event["payload"]
    assert event["links"][0]["href"] == "https://x.example"


def test_a_key_in_the_body_is_not_repeated() -> None:
    outgoing = services.pagerduty("r0uting-key", "body")
    assert "r0uting" not in repr(outgoing)
    with Receiver(status(400, b"r0uting-key is invalid")) as receiver, pytest.raises(NotificationError) as caught:
        replace(outgoing, url=receiver.url).deliver(allow_private_urls=True)
    assert "answered 400: •••••• is invalid" in str(caught.value)
    assert "r0uting" not in "".join(traceback.format_exception(caught.value))


def test_twilio() -> None:
    first, second = services.twilio("AC1", "t0k3n", "+1 800 123-4567", ["18004242424", "12345"], "body", "subject")
    got = received(first)
    assert got.path == "/2010-04-01/Accounts/AC1/Messages.json"
    assert got.headers["Authorization"] == "Basic QUMxOnQwazNu"
    assert got.form() == {"From": ["+18001234567"], "To": ["+18004242424"], "Body": ["subject\nbody"]}
    assert dict(second.form or {})["To"] == "12345"


RESPONDERS = [{"type": "team", "name": "data"}, {"type": "user", "username": "ann@example.org"}]


@pytest.mark.parametrize(("batch", "groups"), [(True, [RESPONDERS]), (False, [[one] for one in RESPONDERS])])
def test_opsgenie(batch: bool, groups: list[Any]) -> None:
    outgoing = services.opsgenie("k3y", "body", "subject", responders=RESPONDERS, batch=batch, tags=["a"], alias="x")
    assert [one.json["responders"] for one in outgoing] == groups
    got = received(outgoing[0])
    assert (got.path, got.headers["Authorization"]) == ("/v2/alerts", "GenieKey k3y")
    alert = {"message": "subject", "description": "body", "priority": "P3", "tags": ["a"], "alias": "x"}
    assert got.json() == {**alert, "responders": groups[0]}


def test_opsgenie_without_responders_in_europe() -> None:
    (outgoing,) = services.opsgenie("k3y", "x" * 200, region="eu", priority=None)
    assert outgoing.url == "https://api.eu.opsgenie.com/v2/alerts"
    assert (len(outgoing.json["message"]), outgoing.json["description"]) == (130, "x" * 200)


def test_mattermost() -> None:
    url = "http://chat.example:8065/hooks/t0k3n"
    first, second = services.mattermost(url, "body", "subject", botname="etl", channels=["#ops", "dev"])
    assert received(first).json() == {"text": "**subject**\nbody", "username": "etl", "channel": "ops"}
    assert second.json["channel"] == "dev"
    assert [one.json for one in services.mattermost(url, "body")] == [{"text": "body"}]


def test_discord() -> None:
    outgoing = services.discord("1d", "t0k3n", "body", "subject", botname="etl", avatar_url="https://x.example/a.png")
    assert outgoing.url == "https://discord.com/api/webhooks/1d/t0k3n"
    assert received(outgoing).json() == {
        "content": "**subject**\nbody",
        "tts": False,
        "username": "etl",
        "avatar_url": "https://x.example/a.png",
    }
    assert len(services.discord("1d", "t0k3n", "x" * 3_000).json["content"]) <= 2_000


def test_sendgrid() -> None:
    got = received(services.sendgrid("SG.k3y", "etl@example.org", ["ann@example.org", "bob@example.org"], "body", "s"))
    assert (got.path, got.headers["Authorization"]) == ("/v3/mail/send", "Bearer SG.k3y")
    mail = got.json()
    assert [one["to"][0]["email"] for one in mail["personalizations"]] == ["ann@example.org", "bob@example.org"]
    assert (mail["from"], mail["subject"]) == ({"email": "etl@example.org"}, "s")
    assert mail["content"] == [{"type": "text/plain", "value": "body"}]
    assert services.sendgrid("SG.k3y", "a@b.c", ["d@e.f"], "first line\nsecond").json["subject"] == "first line"
