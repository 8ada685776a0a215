"""Apprise's URLs: what it sends arrives, what it prints is kept in, and it reaches no private network unasked."""

from __future__ import annotations

import builtins
import logging
import traceback
from typing import Any

import pytest

from orchestrator.errors import ConfigurationError, NotificationError
from orchestrator.notifications.apprise import check_url, send
from tests.support.receivers import Receiver, status

SECRET = "s3cr3t-t0k3n-of-ann"


def url_of(receiver: Receiver) -> str:
    return f"json://127.0.0.1:{receiver.port}/{SECRET}"


def test_a_message_arrives() -> None:
    with Receiver() as receiver:
        send(url_of(receiver), "It failed.", "Nightly", notify_type="failure", allow_private_urls=True)
    (got,) = receiver.requests
    assert got.path == f"/{SECRET}"
    assert {"title": "Nightly", "message": "It failed.", "type": "failure"}.items() <= got.json().items()


def refused(url: str, **options: Any) -> NotificationError:
    with pytest.raises(NotificationError) as caught:
        send(url, "It failed.", **options)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    return caught.value


def test_nothing_that_is_printed_holds_the_url(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with Receiver(status(500, b"no")) as receiver:
        assert "500" in str(refused(url_of(receiver), allow_private_urls=True))
    assert SECRET not in caplog.text
    logging.getLogger("apprise").warning("of others")
    assert "of others" in caplog.text


def test_private_addresses_need_to_be_allowed() -> None:
    with Receiver() as receiver:
        assert "not public" in str(refused(url_of(receiver)))
    assert receiver.requests == []


def test_redirects_are_not_followed() -> None:
    with Receiver() as inside, Receiver(status(307, Location=inside.url)) as receiver:
        refused(url_of(receiver), allow_private_urls=True)
    assert inside.requests == []


def test_a_receiver_that_does_not_answer_is_left() -> None:
    with Receiver(lambda handler: receiver.stopped.wait(60) and None) as receiver:
        error = refused(url_of(receiver), allow_private_urls=True, timeout_seconds=0.3)
    assert "json: no complete answer within 0.3 s" in str(error)
    assert error.temporary


def test_a_url_that_apprise_does_not_know() -> None:
    error = refused(f"nope://{SECRET}")
    assert "Apprise does not understand this URL, which begins with 'nope:'" in str(error)
    with pytest.raises(NotificationError, match="no scheme"):
        check_url(SECRET)


def test_tokens_are_not_taken_for_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking a resolver for a token would hand it to others."""
    from orchestrator.notifications import apprise as transport

    asked: list[str] = []
    monkeypatch.setattr(transport, "endpoints", lambda host, *rest, **options: asked.append(host))
    receiver = transport._receiver("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ")
    transport._judge(receiver, False, 1)
    transport._judge(transport._receiver("ntfy://ntfy.example/topic"), False, 1)
    assert asked == ["ntfy.example"]


def test_without_apprise_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **options: Any) -> Any:
        if name == "apprise":
            raise ImportError(name)
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigurationError, match=r"pip install 'orchestrator\[notify\]'"):
        send("json://h", "x")
