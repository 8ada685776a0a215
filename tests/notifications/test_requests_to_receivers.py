"""A receiver of webhooks may be slow, broken or hostile: a request ends, and its error holds no secret."""

from __future__ import annotations

import socket
import traceback
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import NotificationError, OrchestratorError
from orchestrator.notifications import addresses
from orchestrator.notifications.http import MAX_ANSWER_BYTES, post, request
from tests.support.certificates import Authority
from tests.support.receivers import Receiver, status

SECRET = "T024/B981/s3cr3tT0k3n"


def send(receiver: Receiver, **options: Any) -> Any:
    return post(f"{receiver.url}/services/{SECRET}", json={"text": "hi"}, **{"allow_private_urls": True, **options})


def refused(receiver: Receiver, **options: Any) -> NotificationError:
    """The error of a request, which is checked to hold no secret."""
    with pytest.raises(NotificationError) as caught:
        send(receiver, **options).raise_for_status()
    everything = "".join(traceback.format_exception(caught.value))
    assert not [part for part in SECRET.split("/")[2:] if part in everything]
    return caught.value


def test_json_arrives_and_the_answer_comes_back() -> None:
    with Receiver(status(201, b'{"id": 7}')) as receiver:
        answer = send(receiver)
    assert (answer.status, answer.status_code, answer.json(), answer.is_success) == (201, 201, {"id": 7}, True)
    (got,) = receiver.requests
    assert (got.method, got.path, got.json()) == ("POST", f"/services/{SECRET}", {"text": "hi"})
    assert got.headers["Content-Type"] == "application/json"
    assert got.headers["Host"] == f"127.0.0.1:{receiver.port}"


def test_forms_texts_headers_and_users_are_sent() -> None:
    with Receiver() as receiver:
        url = receiver.url.replace("//", "//ann:p%40ss@")
        request("PUT", f"{url}/a?b=c d".replace(" ", "%20"), form={"x": "ü&"}, allow_private_urls=True)
        request("PATCH", url, content="text ü", headers={"content-type": "text/x"}, allow_private_urls=True)
        request("GET", url, allow_private_urls=True)
    form, text, plain = receiver.requests
    assert (form.method, form.path, form.form()) == ("PUT", "/a?b=c%20d", {"x": ["ü&"]})
    assert form.headers["Authorization"] == "Basic YW5uOnBAc3M="
    assert (text.headers["content-type"], text.body.decode()) == ("text/x", "text ü")
    assert (plain.method, plain.body) == ("GET", b"")


@pytest.mark.parametrize(("code", "temporary"), [(400, False), (404, False), (429, True), (500, True), (503, True)])
def test_a_refusal_has_status_and_words_and_whether_it_may_pass(code: int, temporary: bool) -> None:
    with Receiver(status(code, f"no hook {SECRET}\x1b[2J".encode())) as receiver:
        error = refused(receiver)
    assert (error.status, error.temporary) == (code, temporary)
    assert f"answered {code}: no hook " in str(error)
    assert "\x1b" not in str(error)
    assert isinstance(error, OrchestratorError)


def test_a_redirect_is_not_followed() -> None:
    with Receiver() as inside, Receiver(status(302, Location=f"{inside.url}/meta")) as receiver:
        error = refused(receiver)
    assert "redirects are not followed" in str(error)
    assert inside.requests == []


def trickle(stopped: Callable[[float], bool], begin: bytes) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + begin)
        while not stopped(0.02):
            handler.wfile.write(b"x")

    return answer


def test_a_receiver_that_does_not_answer_is_left() -> None:
    with Receiver(lambda handler: receiver.stopped.wait(60) and None) as receiver:
        error = refused(receiver, timeout_seconds=0.3)
    assert "no complete answer within 0.3 s" in str(error)
    assert error.temporary


def test_a_receiver_that_talks_slowly_is_left_although_each_read_is_in_time() -> None:
    with Receiver(trickle(lambda seconds: receiver.stopped.wait(seconds), b"X-Slow: ")) as receiver:
        error = refused(receiver, timeout_seconds=0.4)
    assert "no complete answer within 0.4 s" in str(error)


def test_a_status_counts_although_the_rest_does_not_come() -> None:
    def broken_off(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab")

    with Receiver(broken_off) as receiver:
        assert send(receiver).raise_for_status().status == 200
    assert len(receiver.requests) == 1


def test_no_more_is_read_of_an_endless_answer_than_is_kept() -> None:
    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not receiver.stopped.is_set():
            handler.wfile.write(b"x" * 65_536)

    with Receiver(endless) as receiver:
        assert len(send(receiver).body) == MAX_ANSWER_BYTES


def test_a_connection_that_closes_without_an_answer_is_an_error() -> None:
    with Receiver(lambda handler: None) as receiver:
        assert "closed before there was an answer" in str(refused(receiver))


def test_an_answer_that_is_not_http_is_an_error() -> None:
    with Receiver(lambda handler: handler.wfile.write(b"220 mail.example ESMTP\r\n") and None) as receiver:
        assert "not HTTP" in str(refused(receiver))


def test_nobody_listens() -> None:
    with pytest.raises(NotificationError, match=r"127\.0\.0\.1:1: Connection refused") as caught:
        post(f"http://127.0.0.1:1/{SECRET}", allow_private_urls=True)
    assert caught.value.temporary


def test_certificates_are_checked_unless_it_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path)
    mine = authority.certify("mine", "127.0.0.1")
    with Receiver(certificate=(mine.certificate, mine.key)) as receiver:
        assert "its certificate is not trusted" in str(refused(receiver))
        assert send(receiver, verify=False).status == 200
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
        assert send(receiver).status == 200
    other = authority.certify("other", "elsewhere.example")
    with Receiver(certificate=(other.certificate, other.key)) as receiver:
        assert "its certificate is not trusted" in str(refused(receiver))


def test_tls_is_asked_of_a_server_that_has_none() -> None:
    with Receiver() as receiver, pytest.raises(NotificationError) as caught:
        post(receiver.url.replace("http:", "https:") + f"/{SECRET}", allow_private_urls=True, timeout_seconds=5)
    assert SECRET not in str(caught.value)


def test_the_address_is_the_one_that_was_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name is resolved once: a second answer, which could be another, is not asked for."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def resolve(host: str, port: int, *, flags: int, **options: Any) -> Any:
        if host != "rebinding.example":
            return real(host, port, flags=flags, **options)
        if flags:
            raise socket.gaierror(-2, "no address")
        asked.append(host)
        return real("127.0.0.1", port, **options)

    monkeypatch.setattr(addresses.socket, "getaddrinfo", resolve)
    with Receiver() as receiver:
        url = f"http://rebinding.example:{receiver.port}/"
        with pytest.raises(NotificationError, match=r"rebinding\.example has the address 127\.0\.0\.1"):
            post(url)
        assert post(url, allow_private_urls=True).status == 200
    assert asked == ["rebinding.example"] * 2
    assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.100.100.200",
        "224.0.0.1",
        "255.255.255.255",
        "2130706433",
        "0x7f.1",
        "[::1]",
        "[::]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "[::ffff:127.0.0.1]",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:7f00:1::]",
        "[::127.0.0.1]",
        "[ff02::1]",
        "[fec0::1]",
    ],
)
def test_addresses_that_are_not_public_are_refused(host: str) -> None:
    with pytest.raises(NotificationError, match=r"not public.*allow_private_urls=True") as caught:
        post(f"http://{host}/{SECRET}")
    assert not caught.value.temporary
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"])
def test_addresses_of_the_internet_are_allowed(address: str) -> None:
    assert addresses.is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "  ",
        "ftp://h/s3cr3t",
        "http://",
        "https:///s3cr3t",
        "http://h:99999/s3cr3t",
        "http://h/s3 cr3t",
        "http://[::/",
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(NotificationError, match=r"^the URL ") as caught:
        post(url)
    assert "s3cr3t" not in "".join(traceback.format_exception(caught.value))


def test_a_name_that_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*args: object, **options: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(addresses.socket, "getaddrinfo", unknown)
    with pytest.raises(NotificationError, match=r"the name hooks\.example has no address") as caught:
        post(f"https://hooks.example/{SECRET}")
    assert caught.value.temporary


def test_a_header_that_would_begin_another_is_refused_without_being_shown() -> None:
    with Receiver() as receiver:
        error = refused(receiver, headers={"X-Token": "abcdef\r\nX-Admin: yes"})
    assert "a character that is not allowed" in str(error)
    assert "abcdef" not in str(error)
    assert not error.temporary
    assert receiver.requests == []


def test_secrets_of_headers_are_not_repeated() -> None:
    with Receiver(status(403, b"Bearer t0p-s3cret is no key, ann-key neither")) as receiver:
        headers = {"Authorization": "Bearer t0p-s3cret"}
        error = refused(receiver, headers=headers, secrets=["ann-key"])
    assert "answered 403: •••••• is no key, •••••• neither" in str(error)


def test_what_is_no_json_is_an_error_of_the_caller() -> None:
    with pytest.raises(TypeError):
        post("https://hooks.example/x", json={"a": object()})
