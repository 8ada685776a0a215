"""One HTTP request to a receiver outside, from the standard library alone.

Not what a browser does: redirects are not followed (one could lead to a private address), no cookie is kept, no more
of an answer is read than is shown. Errors name the host; the rest of a webhook's URL is its password.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json as json_module
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from orchestrator.errors import NotificationError
from orchestrator.notifications.connection import GuardedConnection
from orchestrator.notifications.cut_off import cut_off
from orchestrator.notifications.urls import SHORTEST_SECRET, Target, masked, secrets_in, target_of
from orchestrator.observability.plain_text import on_one_line

MAX_ANSWER_BYTES: Final = 64 * 1024
SHOWN_CHARACTERS: Final = 200
CONNECT_SECONDS: Final = 5.0
USER_AGENT: Final = "Orchestrator"
_BUSY: Final = (408, 425, 429)


@dataclass(frozen=True)
class Response:
    """What a receiver answered.

    Attributes:
        status: of HTTP, such as 200.
        body: the first 64 KiB of the answer's body.
        shown: scheme and host of the receiver, fit for messages.
        secrets: what is masked in messages about this answer.
    """

    status: int
    body: bytes
    shown: str = ""
    secrets: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Response(status={self.status}, {len(self.body)} bytes from {self.shown})"

    @property
    def status_code(self) -> int:
        """The status, under the name that it has in requests and httpx."""
        return self.status

    @property
    def is_success(self) -> bool:
        """Whether the status is one of 200 to 299."""
        return 200 <= self.status < 300

    @property
    def text(self) -> str:
        """The body as text; what is no UTF-8 is replaced."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The value that the body holds as JSON. Raises ``ValueError`` where it holds none."""
        return json_module.loads(self.body)

    def raise_for_status(self) -> Response:
        """This answer, if it is a success.

        Raises:
            NotificationError: it is none; the text holds the status and the beginning of the answer, without secrets.
        """
        if self.is_success:
            return self
        if 300 <= self.status < 400:
            raise NotificationError(f"{self.shown} answered {self.status}: redirects are not followed", self.status)
        words = on_one_line(masked(self.text.strip(), self.secrets))
        words = words if len(words) <= SHOWN_CHARACTERS else f"{words[:SHOWN_CHARACTERS]}…"
        temporary = self.status >= 500 or self.status in _BUSY
        message = f"{self.shown} answered {self.status}{': ' if words else ''}{words}"
        raise NotificationError(message, self.status, temporary)


def post(url: str, *, json: Any = None, **options: Any) -> Response:
    """Post to a URL. Options are those of :func:`request`."""
    return request("POST", url, json=json, **options)


def request(
    method: str,
    url: str,
    *,
    json: Any = None,
    form: Mapping[str, str] | None = None,
    content: str | bytes | None = None,
    headers: Mapping[str, str] | None = None,
    secrets: Sequence[str] = (),
    timeout_seconds: float = 10.0,
    connect_timeout_seconds: float = CONNECT_SECONDS,
    read_timeout_seconds: float | None = None,
    allow_private_urls: bool = False,
    verify: bool = True,
) -> Response:
    """Send one request and read its answer, whatever the status is.

    Args:
        method: of HTTP.
        url: http or https, optionally with a user and password, which become a header.
        json: a value to send as JSON; ``None`` sends none.
        form: fields to send as a form instead.
        content: text or bytes to send as they are instead.
        headers: more headers.
        secrets: what errors do not repeat, besides the URL and the values of headers.
        timeout_seconds: all of it has ended by then, however slowly the receiver talks.
        connect_timeout_seconds: for the name, and for each address of it.
        read_timeout_seconds: for each read and write; ``None``: as for all of it.
        allow_private_urls: reach addresses that are not public, too.
        verify: whether the receiver's certificate must be valid.

    Raises:
        NotificationError: the URL cannot be used, nobody answers in time, or the address is not allowed.
        TypeError: ``json`` is no value that JSON has.
    """
    target = target_of(url)
    sent, kind = _body(json, form, content)
    everything = _headers(target, kind, headers)
    hidden = (*secrets, *secrets_in(target), *_secret_values(everything, target, headers))
    connection = GuardedConnection(
        target,
        allow_private=allow_private_urls,
        connect_seconds=connect_timeout_seconds,
        read_seconds=read_timeout_seconds or timeout_seconds,
        verify=verify,
    )
    with cut_off(timeout_seconds, lambda: connection.line) as cut, contextlib.closing(connection):
        connection.clock = cut
        reason, temporary = f"no complete answer within {timeout_seconds:g} s", True
        try:
            connection.request(method, target.path, sent, everything)
            with connection.getresponse() as answer:
                if not cut.happened:  # else what looks like an end of its headers is ours
                    return Response(answer.status, _body_of(answer), target.shown, hidden)
        except (OSError, http.client.HTTPException, ValueError) as error:
            if not (cut.happened or isinstance(error, TimeoutError)):
                reason, temporary = _reason(error)
    raise NotificationError(f"{target.shown}: {masked(reason, hidden)}", temporary=temporary)


def _body_of(answer: http.client.HTTPResponse) -> bytes:
    """The beginning of the body, or nothing if it does not come: the status has come, and says whether it was taken."""
    try:
        return answer.read(MAX_ANSWER_BYTES)
    except (OSError, http.client.HTTPException, ValueError):
        return b""


def _body(json: Any, form: Mapping[str, str] | None, content: str | bytes | None) -> tuple[bytes | None, str | None]:
    """The bytes to send and their content type."""
    if content is not None:
        return (content.encode(), "text/plain; charset=utf-8") if isinstance(content, str) else (content, None)
    if form is not None:
        return urlencode(form).encode(), "application/x-www-form-urlencoded"
    if json is not None:
        return json_module.dumps(json, ensure_ascii=False).encode("utf-8", "replace"), "application/json"
    return None, None


def _headers(target: Target, kind: str | None, headers: Mapping[str, str] | None) -> dict[str, str]:
    found = {"User-Agent": USER_AGENT, "Accept": "*/*", "Connection": "close"}
    if kind:
        found["Content-Type"] = kind
    if target.user is not None:
        pair = f"{target.user}:{target.password or ''}".encode()
        found["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
    given = {name.lower(): name for name in found}
    for name, value in (headers or {}).items():
        found.pop(given.get(name.lower(), name), None)
        found[name] = value
    return found


def _secret_values(everything: Mapping[str, str], target: Target, headers: Mapping[str, str] | None) -> list[str]:
    """What a receiver may echo of the headers: their values, and the token behind a word such as ``Bearer``."""
    values = list((headers or {}).values())
    if target.user is not None:
        values.append(everything["Authorization"])
    parts = [part for value in values for part in (value, *value.split())]
    return [part for part in parts if len(part) >= SHORTEST_SECRET]


def _reason(error: Exception) -> tuple[str, bool]:
    """What went wrong, in words that hold nothing of the URL, and whether it may pass."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted: {error.verify_message}", True
        case http.client.RemoteDisconnected() | ConnectionResetError() | BrokenPipeError() | ssl.SSLEOFError():
            return "the connection was closed before there was an answer", True
        case http.client.HTTPException():
            return f"what it answered is not HTTP ({type(error).__name__})", True
        case OSError():
            return error.strerror or str(error) or type(error).__name__, True
        case _:
            return "the request cannot be sent: its method or a header has a character that is not allowed", False
