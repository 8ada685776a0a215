"""Everything else that messages can go to, by the library Apprise and its URLs: ``tgram://``, ``ntfy://``, ``mailto://``.

Extra ``orchestrator[notify]``; imported at the first message. Apprise resolves and connects by itself, so the host of a
URL is judged before it connects, not while it does; it is set not to follow redirects.
"""

from __future__ import annotations

import contextlib
import logging
import re
import threading
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from orchestrator.errors import ConfigurationError, NotificationError
from orchestrator.notifications.addresses import endpoints
from orchestrator.notifications.urls import SHORTEST_SECRET, masked
from orchestrator.observability.plain_text import on_one_line

TIMEOUT_SECONDS: Final = 30.0
SHOWN_CHARACTERS: Final = 200
_LOGGERS: Final = ("apprise", "urllib3.connectionpool")  # at DEBUG they print URLs, which are secrets


def send(
    url: str,
    body: str,
    subject: str | None = None,
    *,
    notify_type: str = "info",
    timeout_seconds: float = TIMEOUT_SECONDS,
    allow_private_urls: bool = False,
) -> None:
    """Send a message to one Apprise URL.

    Args:
        notify_type: ``info``, ``success``, ``warning`` or ``failure``.

    Raises:
        ConfigurationError: Apprise is not installed.
        NotificationError: the URL is not understood, its host is not public, or the message was not taken in time.
    """
    receiver = _receiver(url)
    scheme = url.partition(":")[0]
    _judge(receiver, allow_private_urls, timeout_seconds)
    log: list[str] = []
    outcome: list[bool | Exception] = []

    def notify() -> None:
        with _listening(log):
            try:
                outcome.append(bool(receiver.notify(body=body, title=subject or "", notify_type=notify_type)))
            except Exception as error:
                outcome.append(error)

    # it has timeouts for each read and none for all of them: a receiver that trickles would hold the caller
    thread = threading.Thread(target=notify, name="orchestrator-apprise", daemon=True)
    thread.start()
    thread.join(timeout_seconds)
    if outcome == [True]:
        return
    if not outcome:
        raise NotificationError(f"{scheme}: no complete answer within {timeout_seconds:g} s", temporary=True)
    words = "; ".join(log) or (type(outcome[0]).__name__ if isinstance(outcome[0], Exception) else "it was not taken")
    words = on_one_line(masked(words, _secrets_in(url)))[:SHOWN_CHARACTERS]
    raise NotificationError(f"{scheme}: {words}", temporary=True)


def check_url(url: str) -> None:
    """Raises :class:`~orchestrator.errors.NotificationError` if Apprise does not understand the URL."""
    _receiver(url)


def _receiver(url: str) -> Any:
    """Apprise's object for the URL."""
    try:
        import apprise
    except ImportError:
        raise ConfigurationError("messages to Apprise URLs need apprise: pip install 'orchestrator[notify]'") from None
    asset = apprise.AppriseAsset(
        app_id="Orchestrator", app_desc="Orchestrator", app_url="", async_mode=False, storage_mode="memory"
    )
    asset.http_redirects = False
    with _listening([]):
        found = apprise.Apprise.instantiate(url, asset=asset, suppress_exceptions=True)
    if found is None:
        raise NotificationError(
            f"Apprise does not understand this URL, which begins with {_scheme(url)!r}: see its list of services, "
            "https://appriseit.com/services/"
        )
    return found


def _scheme(url: str) -> str:
    found = re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:", url)
    return found[0] if found else "no scheme"


def _judge(receiver: Any, allow_private_urls: bool, seconds: float) -> None:
    """Refuse a host that is not public. Mail servers are spared, as those of the other mail blocks are."""
    if allow_private_urls or {"mailto", "mailtos"} & receiver.schemas():
        return
    templates = getattr(type(receiver), "templates", ())
    if receiver.host and any("{host}" in template for template in templates):  # else it is a part of a token
        endpoints(receiver.host, receiver.port or 443, seconds)


@contextlib.contextmanager
def _listening(log: list[str]) -> Iterator[None]:
    """Within this block what Apprise warns of in this thread goes to ``log``, and what it prints of URLs nowhere."""
    thread = threading.get_ident()

    def keep(record: logging.LogRecord) -> bool:
        if record.thread != thread:
            return True
        if record.levelno >= logging.WARNING:
            log.append(record.getMessage())
        return False

    loggers = [logging.getLogger(name) for name in _LOGGERS]
    for logger in loggers:
        logger.addFilter(keep)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(keep)


def _secrets_in(url: str) -> list[str]:
    """Every longer part of the URL behind its scheme: which of them are tokens, only the service knows."""
    rest = urlsplit(url).geturl().partition("://")[2]
    parts = re.split(r"[/?&=@:#]", rest)
    return [part for part in (rest, *parts, *map(unquote, parts)) if len(part) >= SHORTEST_SECRET]
