"""What a server or a socket says, as an error of ours that names the next step. Passwords are in none of them."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Final

import redis.exceptions as server_says

from brokers.errors import (
    AuthenticationFailed,
    BrokerError,
    BrokerRefused,
    BrokerUnavailable,
    QueueFull,
    StoreFull,
    TLSFailed,
    UnsupportedServer,
)
from brokers.urls import ServerAddress

_GONE = (
    server_says.ConnectionError,
    server_says.TimeoutError,
    server_says.ReadOnlyError,
    server_says.ClusterDownError,
    server_says.MasterDownError,
    OSError,
)
_DENIED = (server_says.AuthenticationError, server_says.AuthorizationError, server_says.NoPermissionError)
_DENIALS = ("The user executing the script can't", "ACL failure in script", "WRONGPASS", "NOAUTH")


NOTHING_SENT: Final = "Nothing was sent; try again."
REPLY_LOST: Final = "Its reply is lost: it may have done what it was asked to."


def after_lost_reply(error: BrokerError) -> BrokerError:
    """The error of a second try, where the reply to the first was lost: then the first may have been done."""
    translated = type(error)(f"{str(error).partition(NOTHING_SENT)[0].strip()} {REPLY_LOST}")
    translated.reply_lost = True
    return translated


class SlotElsewhere(BrokerUnavailable):
    """The hash slot of the namespace is at another node of the cluster, or on its way there. Nothing was done."""


def translate(error: Exception, where: str, sent: bool = False) -> BrokerError:
    """Our error for one of redis-py's; ``where`` is a masked address for the message, ``sent``: a reply is lost."""
    if isinstance(error, BrokerError):
        return error
    if isinstance(error, _DENIED) or any(word in str(error) for word in _DENIALS):
        return AuthenticationFailed(
            f"{where} refuses this user: {str(error).rstrip('.')}. "
            "Check the user and password in ORCHESTRATOR_REDIS_URL and the ACL."
        )
    if isinstance(error, server_says.OutOfMemoryError):
        return StoreFull(f"{where} is out of memory; nothing was stored. Raise maxmemory or wait until calls are done.")
    if "MISCONF" in str(error):
        reason = str(error).partition("MISCONF ")[2].partition(" script:")[0].rstrip(".")
        return StoreFull(f"{where} cannot write to its disk, and stores nothing until it can: {reason}.")
    if "QUEUEFULL" in str(error):
        return QueueFull(
            f"{str(error).partition('QUEUEFULL ')[2]}; nothing was sent. "
            "Add workers, or raise ORCHESTRATOR_QUEUE_LIMIT."
        )
    if isinstance(error, (server_says.AskError, server_says.TryAgainError)):  # MOVED is an AskError
        return SlotElsewhere(
            f"{where} is a node of a cluster, and the slot of this namespace is at another node or on its way there "
            f"({error}). Nothing was sent; try again. Every node must be reachable from here, or set "
            "ORCHESTRATOR_REDIS_URL to one that is and holds the slot."
        )
    if isinstance(error, server_says.InvalidResponse):
        return UnsupportedServer(f"{where} answers, but not like Redis or Valkey. Is the address right?")
    if isinstance(error, _GONE):
        unavailable = BrokerUnavailable(f"{where} does not answer ({error}). {REPLY_LOST if sent else NOTHING_SENT}")
        unavailable.reply_lost = sent
        return unavailable
    return BrokerRefused(f"{where} refused: {error}")


# -- TLS -------------------------------------------------------------------------------------------------------------

_NAME_CODES: Final = (62, 63, 64)  # of OpenSSL: the certificate is for another host name, mail address or IP address
_DATE_CODES: Final = (9, 10)  # not yet valid, expired
_NOT_TLS: Final = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST")
_OURS: Final = ("CERTIFICATE_REQUIRED", "ALERT_BAD_CERTIFICATE", "ALERT_UNKNOWN_CA", "HANDSHAKE_FAILURE")
_URL: Final = "ORCHESTRATOR_REDIS_URL"
_PLAIN: Final = f"If this port does not speak TLS, write redis:// in {_URL}."
_SECURE: Final = f"If this port speaks TLS, write rediss:// in {_URL}."
_CERTIFICATE: Final = f"set one that it accepts in {_URL} (?ssl_certfile=<file>&ssl_keyfile=<file>)."
_ANY: Final = "(?ssl_cert_reqs=none accepts any certificate, and is not safe.)"


def translate_opening(error: Exception, address: ServerAddress, where: str) -> BrokerError:
    """Our error for one that came while a connection was opened: with the advice that TLS may need."""
    causes = list(_causes(error))
    failure = next((cause for cause in causes if isinstance(cause, ssl.SSLError)), None)
    hung_up = any(isinstance(cause, (ssl.SSLEOFError, ConnectionResetError, BrokenPipeError)) for cause in causes)
    ours = translate(error, where)
    if failure is not None and not hung_up and not isinstance(failure, TimeoutError):
        reason = str(getattr(failure, "verify_message", failure.reason or failure)).rstrip(".")
        return TLSFailed(f"no TLS connection to {where}: {reason}. {_advice(failure)}")
    if type(ours) is not BrokerUnavailable or address.path:
        return ours
    hung_up = hung_up or "closed by server" in str(error)
    timed_out = any(isinstance(cause, (TimeoutError, server_says.TimeoutError)) for cause in causes)
    if address.tls and hung_up:
        return BrokerUnavailable(f"{ours} If it demands a certificate, {_CERTIFICATE} {_PLAIN}")
    if address.tls and timed_out:
        return BrokerUnavailable(f"{ours} {_PLAIN}")
    return BrokerUnavailable(f"{ours} {_SECURE}") if hung_up else ours


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _advice(failure: ssl.SSLError) -> str:
    if isinstance(failure, ssl.SSLCertVerificationError):
        if failure.verify_code in _NAME_CODES:
            return f"Use a name of the certificate in {_URL}, or add ?ssl_check_hostname=false to it."
        if failure.verify_code in _DATE_CODES:
            return f"Renew the server's certificate; {_URL} needs no change. {_ANY}"
        return f"Add ?ssl_ca_certs=<file of its authority> to {_URL}. {_ANY}"
    reason = failure.reason or str(failure)
    if any(word in reason for word in _NOT_TLS):
        return _PLAIN
    if any(word in reason for word in _OURS):
        return f"It demands another certificate: {_CERTIFICATE}"
    return f"Check ssl_ca_certs, ssl_certfile, ssl_keyfile and ssl_password in {_URL}."
