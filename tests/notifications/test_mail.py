"""Mail over SMTP: encrypted, to several people, with the values of runs in its subject, and never a header more."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import NotificationError
from orchestrator.notifications.smtp import Mail, MailServer, addresses, message_of, send
from tests.support import mail_servers
from tests.support.certificates import Authority
from tests.support.fake_servers import FakeServer, silence

MAIL = Mail("etl@example.org", ["ann@example.org"], "It failed.", "Flow run 'nightly' failed")
PASSWORD = "p4ss-w0rd-öf-ann"


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ssl.SSLContext]:
    """The context of a server whose certificate this process trusts."""
    authority = Authority(tmp_path)
    mine = authority.certify("mail", "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(mine.certificate, mine.key)
    return context


def at(server: mail_servers.MailServer, **options: Any) -> MailServer:
    return MailServer("127.0.0.1", port=server.port, **{"security": "none", **options})


def test_a_mail_arrives_with_everything() -> None:
    mail = Mail(
        "ETL <etl@example.org>",
        ["Änne <ann@example.org>", "bob@example.org"],
        "Grüße\nzwei Zeilen",
        "Lauf „nightly“ 失敗",
        cc=["cat@example.org"],
        bcc=["dan@example.org", "bob@example.org"],
        html="<b>Grüße</b>",
    )
    with mail_servers.MailServer() as server:
        send(mail, at(server))
    (got,), (recipients,) = server.mails, server.recipients
    assert recipients == ["ann@example.org", "bob@example.org", "cat@example.org", "dan@example.org"]
    assert got["Subject"] == "Lauf „nightly“ 失敗"
    assert [address.display_name for address in got["To"].addresses] == ["Änne", ""]
    assert "dan@example.org" not in str(got)
    assert got["Auto-Submitted"] == "auto-generated"
    assert got["Message-ID"].endswith("@example.org>")
    assert got.get_body(("plain",)).get_content().splitlines() == ["Grüße", "zwei Zeilen"]
    assert got.get_body(("html",)).get_content().strip() == "<b>Grüße</b>"


@pytest.mark.parametrize("breaks", ["\n", "\r\n", "\r", "\x00\n", "\u2028", "\x0b"])
def test_a_line_break_in_a_subject_begins_no_header(breaks: str) -> None:
    with mail_servers.MailServer() as server:
        send(Mail("etl@example.org", ["ann@example.org"], "x", f"boom{breaks}Bcc: eve@example.org"), at(server))
    (got,) = server.mails
    assert got["Subject"] == "boom Bcc: eve@example.org"
    assert got["Bcc"] is None
    assert server.recipients == [["ann@example.org"]]


@pytest.mark.parametrize("text", ["", "ann", "ann@example.org\nBcc: eve@example.org", "a@b, c@d", "a b@c", "@x", "x@"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no mail address"):
        addresses([text])
    with pytest.raises(ValueError, match="is no mail address"):
        Mail("etl@example.org", [text], "x")


def test_a_mail_without_a_recipient_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a recipient"):
        Mail("etl@example.org", [], "x")


def test_odd_texts_can_be_written() -> None:
    wire = message_of(Mail("a@b.c", ["d@e.f"], "\ud800 x" * 500, "\ud800" + "ü" * 5_000)).as_bytes()
    assert max(map(len, wire.splitlines())) < 1_000


def test_starttls_and_a_password(trusted: ssl.SSLContext) -> None:
    with mail_servers.MailServer(context=trusted, login=("ann", PASSWORD)) as server:
        send(MAIL, at(server, security="starttls", username="ann", password=PASSWORD))
    assert server.encrypted == [True]


@pytest.mark.filterwarnings("ignore:Requiring AUTH:UserWarning")  # the library does not see that TLS is around it
def test_tls_from_the_first_byte_and_a_password(trusted: ssl.SSLContext) -> None:
    with mail_servers.MailServer(context=trusted, implicit=True, login=("ann", PASSWORD)) as server:
        send(MAIL, at(server, security="ssl", username="ann", password=PASSWORD))
    assert server.encrypted == [True]


def refused(mail: Mail, server: MailServer) -> NotificationError:
    with pytest.raises(NotificationError) as caught:
        send(mail, server)
    if server.password is not None:
        assert server.password not in "".join(traceback.format_exception(caught.value))
        assert server.password not in repr(server)
    return caught.value


@pytest.mark.parametrize("password", [PASSWORD, "p4ss-w0rd"])
def test_a_wrong_password_is_reported_without_it(trusted: ssl.SSLContext, password: str) -> None:
    with mail_servers.MailServer(context=trusted, login=("ann", "another")) as server:
        error = refused(MAIL, at(server, security="starttls", username="ann", password=password))
    assert "refused username and password: 535" in str(error)
    assert (error.status, error.temporary) == (535, False)
    assert server.mails == []


def test_no_password_goes_to_a_server_without_tls() -> None:
    with mail_servers.MailServer() as server:
        error = refused(MAIL, at(server, security="starttls", username="ann", password=PASSWORD))
    assert "STARTTLS" in str(error)
    assert server.mails == []


def test_a_certificate_that_is_not_trusted(trusted: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with mail_servers.MailServer(context=trusted) as server:
        assert "certificate is not trusted" in str(refused(MAIL, at(server, security="starttls")))
        send(MAIL, at(server, security="starttls", verify=False))
    assert server.encrypted == [True]


def test_a_recipient_that_is_refused_is_named_and_the_others_have_it() -> None:
    two = Mail("etl@example.org", ["ann@example.org", "bob@example.org"], "x")
    with mail_servers.MailServer(refused={"bob@example.org": "450 try later"}) as server:
        error = refused(two, at(server))
    assert "took it for ann@example.org, and refused bob@example.org (450 try later)" in str(error)
    assert not error.temporary, "sent again, ann would have it twice"
    assert server.recipients == [["ann@example.org"]]


@pytest.mark.parametrize(("reply", "temporary"), [("550 no such user", False), ("450 greylisted", True)])
def test_all_recipients_are_refused(reply: str, temporary: bool) -> None:
    with mail_servers.MailServer(refused={"ann@example.org": reply}) as server:
        error = refused(MAIL, at(server))
    assert (str(error.status), error.temporary) == (reply[:3], temporary)


@pytest.mark.parametrize(("reply", "temporary"), [("554 spam", False), ("452 full", True)])
def test_the_message_is_refused(reply: str, temporary: bool) -> None:
    with mail_servers.MailServer(reply=reply) as server:
        error = refused(MAIL, at(server))
    assert reply in str(error)
    assert error.temporary == temporary


@pytest.mark.parametrize("security", ["none", "starttls", "ssl"])
def test_a_server_that_is_silent_is_left(security: Any) -> None:
    silent = FakeServer(silence)
    try:
        error = refused(MAIL, MailServer("127.0.0.1", security, silent.port, timeout_seconds=0.1))
    finally:
        silent.close()
    assert "no answer within 0." in str(error)
    assert error.temporary


def test_a_server_that_talks_slowly_is_left_although_each_line_is_in_time() -> None:
    over = threading.Event()

    def talk() -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            while not over.wait(0.02):
                connection.sendall(b"220-welcome\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=talk, daemon=True)
        thread.start()
        error = refused(MAIL, MailServer("127.0.0.1", "none", listener.getsockname()[1], timeout_seconds=0.1))
        over.set()
        thread.join(10)
    assert "no answer within 0." in str(error)


def test_a_server_that_is_not_there() -> None:
    error = refused(MAIL, MailServer("127.0.0.1", "none", 1))
    assert "the mail server 127.0.0.1: Connection refused" in str(error)
    assert error.temporary
