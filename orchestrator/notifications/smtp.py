"""One mail to several people over SMTP, from the standard library alone.

What a run's values say becomes subject and text, and cannot become a header: line breaks in a subject are spaces, an
address that holds one is refused. A password is sent over TLS, or where it was asked for in the clear.
"""

from __future__ import annotations

import base64
import contextlib
import email.utils
import re
import smtplib
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP as WIRE
from typing import Final, Literal

from orchestrator.errors import NotificationError
from orchestrator.notifications.addresses import endpoints
from orchestrator.notifications.cut_off import cut_off
from orchestrator.notifications.urls import masked
from orchestrator.observability.plain_text import on_one_line

Security = Literal["starttls", "ssl", "none"]
PORTS: Final[dict[Security, int]] = {"starttls": 587, "ssl": 465, "none": 25}
TIMEOUT_SECONDS: Final = 10.0
MAX_SUBJECT: Final = 250  # characters; a longer one is the message itself
_ADDRESS: Final = re.compile(r"[^\s@<>,;:\"\\()\[\]]+@[^\s@<>,;:\"\\()\[\]]+")
_BREAKS: Final = re.compile(r"[\x00-\x1f\x7f\u0085\u2028\u2029]+")
_SURROGATES: Final = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class MailServer:
    """Where mail is handed in.

    Attributes:
        host: name or address.
        security: ``starttls`` (TLS after the greeting; refused if the server has none), ``ssl`` (TLS from the first
            byte) or ``none``.
        port: ``None``: 587, 465 or 25, by ``security``.
        username, password: who hands it in; both or none.
        verify: whether the server's certificate must be valid.
        timeout_seconds: for each answer of the server; the whole conversation has ended after six times as long.
    """

    host: str
    security: Security = "starttls"
    port: int | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    verify: bool = True
    timeout_seconds: float = TIMEOUT_SECONDS


@dataclass(frozen=True)
class Mail:
    """What is sent. Addresses may have a name: ``Ann <ann@example.org>``.

    Raises:
        ValueError: an address is none, or there is no recipient.
    """

    sender: str
    to: Sequence[str]
    body: str
    subject: str = ""
    cc: Sequence[str] = ()
    bcc: Sequence[str] = ()
    html: str | None = None

    def __post_init__(self) -> None:
        addresses([self.sender])
        if not self.recipients:
            raise ValueError("a mail needs a recipient")

    @property
    def recipients(self) -> list[str]:
        """The addresses of all that get it, each once."""
        pairs = addresses([*self.to, *self.cc, *self.bcc])
        return list(dict.fromkeys(address for _, address in pairs))


def addresses(texts: Sequence[str]) -> list[tuple[str, str]]:
    """Names and addresses of recipients.

    Raises:
        ValueError: a text is no address, or several, or holds a line break.

    >>> addresses(["Ann <ann@example.org>", "bob@example.org"])
    [('Ann', 'ann@example.org'), ('', 'bob@example.org')]
    """
    found: list[tuple[str, str]] = []
    for text in texts:
        pairs = email.utils.getaddresses([text])
        if _BREAKS.search(text) or len(pairs) != 1 or not _ADDRESS.fullmatch(pairs[0][1]):
            raise ValueError(f"{text!r} is no mail address")
        found += pairs
    return found


def message_of(mail: Mail) -> EmailMessage:
    """The mail as it goes over the wire, without the addresses of ``bcc``."""
    message = EmailMessage(policy=WIRE)
    message["Subject"] = _one_line(mail.subject)[:MAX_SUBJECT]
    message["From"] = _header([mail.sender])
    for name, texts in (("To", mail.to), ("Cc", mail.cc)):
        if texts:
            message[name] = _header(texts)
    message["Date"] = email.utils.formatdate(localtime=False)
    # its default asks the resolver for this machine's name, which may take long
    message["Message-ID"] = email.utils.make_msgid(domain=addresses([mail.sender])[0][1].rpartition("@")[2])
    message["Auto-Submitted"] = "auto-generated"  # no out-of-office reply, please
    message.set_content(_SURROGATES.sub("?", mail.body))
    if mail.html is not None:
        message.add_alternative(_SURROGATES.sub("?", mail.html), subtype="html")
    return message


def _header(texts: Sequence[str]) -> str:
    return ", ".join(email.utils.formataddr(pair) for pair in addresses(texts))


def _one_line(text: str) -> str:
    return _SURROGATES.sub("?", _BREAKS.sub(" ", text)).strip()


class _Clear(smtplib.SMTP):
    """A client that can be reached from its first byte on: the constructor talks already."""

    def __init__(self, server: MailServer, port: int, opened: list[smtplib.SMTP]) -> None:
        opened.append(self)
        super().__init__(server.host, port, _own_name(), timeout=server.timeout_seconds)


class _Encrypted(smtplib.SMTP_SSL):
    """The same over TLS from the first byte on."""

    def __init__(self, server: MailServer, port: int, opened: list[smtplib.SMTP]) -> None:
        opened.append(self)
        context = _context(server.verify)
        super().__init__(server.host, port, _own_name(), timeout=server.timeout_seconds, context=context)


def send(mail: Mail, server: MailServer) -> None:
    """Hand a mail in.

    Raises:
        NotificationError: the server was not reached, refused, or took it for some recipients only (who then have it;
            the text names the others).
    """
    message = message_of(mail)
    opened: list[smtplib.SMTP] = []
    place = f"the mail server {server.host}"
    seconds = 6 * server.timeout_seconds
    with cut_off(seconds, lambda: opened[0].sock if opened else None) as cut:
        try:
            refused = _handed_in(message, mail, server, opened)
        except smtplib.SMTPNotSupportedError as error:
            raise NotificationError(f"{place} cannot do what is needed: {on_one_line(str(error))}") from None
        except smtplib.SMTPRecipientsRefused as error:
            raise _refusal(place, error.recipients, [], server) from None
        except smtplib.SMTPResponseException as error:
            raise _answered(place, error, server) from None
        except (OSError, ValueError) as error:
            reason = f"no answer within {seconds:g} s" if cut.happened else _reason(error, server)
            raise NotificationError(f"{place}: {reason}", temporary=True) from None
        finally:
            for client in opened:
                client.close()
    if refused:
        raise _refusal(place, refused, mail.recipients, server)


def _handed_in(
    message: EmailMessage, mail: Mail, server: MailServer, opened: list[smtplib.SMTP]
) -> dict[str, tuple[int, bytes]]:
    """Who was refused while others were not."""
    port = server.port or PORTS[server.security]
    endpoints(server.host, port, server.timeout_seconds, allow_private=True)  # a name that is not known fails in time
    client = (_Encrypted if server.security == "ssl" else _Clear)(server, port, opened)
    if server.security == "starttls":
        client.starttls(context=_context(server.verify))
    if server.username is not None and server.password is not None:
        _log_in(client, server.username, server.password)
    refused = client.send_message(message, addresses([mail.sender])[0][1], mail.recipients)
    with contextlib.suppress(smtplib.SMTPException, OSError):  # it is taken, whatever becomes of the farewell
        client.quit()
    return refused


def _log_in(client: smtplib.SMTP, username: str, password: str) -> None:
    if (username + password).isascii():
        client.login(username, password)
        return
    client.ehlo_or_helo_if_needed()  # smtplib's login knows ASCII only
    pair = base64.b64encode(f"\0{username}\0{password}".encode()).decode()
    code, words = client.docmd("AUTH", f"PLAIN {pair}")
    if code != 235:
        raise smtplib.SMTPAuthenticationError(code, words)


def _own_name() -> str:
    """How this machine introduces itself; smtplib would ask the resolver, which may take long."""
    name = socket.gethostname()
    return name if "." in name and name.isascii() else "[127.0.0.1]"


def _context(verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _words(text: bytes | str, server: MailServer) -> str:
    decoded = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return on_one_line(masked(decoded.strip(), [server.password or ""]))[:200]


def _answered(place: str, error: smtplib.SMTPResponseException, server: MailServer) -> NotificationError:
    what = "refused username and password" if isinstance(error, smtplib.SMTPAuthenticationError) else "answered"
    words = _words(error.smtp_error, server)
    code = int(error.smtp_code)
    return NotificationError(f"{place} {what}: {code} {words}", code, not 500 <= code < 600)


def _refusal(
    place: str, refused: dict[str, tuple[int, bytes]], recipients: Sequence[str], server: MailServer
) -> NotificationError:
    """Some or all recipients were refused. Those who have it would get it again: then nothing is temporary."""
    named = "; ".join(f"{address} ({code} {_words(words, server)})" for address, (code, words) in refused.items())
    took = [address for address in recipients if address not in refused]
    done = f"took it for {', '.join(took)}, and " if took else ""
    codes = [code for code, _ in refused.values()]
    temporary = not took and all(code < 500 for code in codes)
    return NotificationError(f"{place} {done}refused {named}", codes[0], temporary)


def _reason(error: Exception, server: MailServer) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError):
        return f"no answer within {server.timeout_seconds:g} s"
    if isinstance(error, smtplib.SMTPException):
        return f"the conversation broke off: {_words(str(error), server)}"
    return (getattr(error, "strerror", None) or _words(str(error), server)) or type(error).__name__
