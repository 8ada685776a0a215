"""A mail server of a test: keeps what is handed in, and refuses what it is asked to refuse."""

from __future__ import annotations

import asyncio
import email
import email.policy
import ssl
import threading
from collections.abc import Mapping
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

ACCEPTED = "250 OK"


class MailServer:
    """Listens on a port of 127.0.0.1; a context manager.

    Args:
        context: offers STARTTLS with this certificate, or speaks TLS from the first byte on (``implicit``).
        login: the username and password that it wants.
        refused: recipients and the reply that they get.
    """

    def __init__(
        self,
        *,
        context: ssl.SSLContext | None = None,
        implicit: bool = False,
        login: tuple[str, str] | None = None,
        refused: Mapping[str, str] | None = None,
        reply: str = ACCEPTED,
    ) -> None:
        self.mails: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        self.encrypted: list[bool] = []
        self.port = 0
        self._context, self._implicit, self._login = context, implicit, login
        self._refused, self._reply = dict(refused or {}), reply
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self._refused:
            return self._refused[address]
        envelope.rcpt_tos.append(address)
        return ACCEPTED

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self._reply == ACCEPTED:
            content: Any = envelope.content
            self.mails.append(email.message_from_bytes(content, _class=EmailMessage, policy=email.policy.default))
            self.recipients.append(list(envelope.rcpt_tos))
            self.encrypted.append(session.ssl is not None or self._implicit)
        return self._reply

    def _authenticate(self, server: SMTP, session: Session, envelope: Envelope, kind: str, data: Any) -> AuthResult:
        given = isinstance(data, LoginPassword) and (data.login.decode(), data.password.decode())
        return AuthResult(success=given == self._login, handled=False)

    def _protocol(self) -> SMTP:
        wants_login = self._login is not None
        return SMTP(
            self,
            enable_SMTPUTF8=True,
            hostname="mail.example",
            tls_context=None if self._implicit else self._context,
            authenticator=self._authenticate if wants_login else None,
            auth_required=wants_login,
            auth_require_tls=self._context is not None and not self._implicit,
            loop=self._loop,
        )

    async def _listen(self) -> None:
        context = self._context if self._implicit else None
        self._server = await self._loop.create_server(self._protocol, "127.0.0.1", 0, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]

    def __enter__(self) -> MailServer:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(30)
        return self

    async def _end(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def __exit__(self, *exc: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()
