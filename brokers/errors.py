"""What can go wrong while bytes are carried.

The tree (``OrchestratorError`` is the root of every error of this project)::

    OrchestratorError
    ├── BrokerError                 something about carriage
    │   ├── BrokerUnavailable       nobody answers, or not in time; nothing was half-sent
    │   ├── BrokerRefused           it answered and said no (password, ACL, certificate, memory, version)
    │   │   ├── AuthenticationFailed
    │   │   ├── TLSFailed
    │   │   ├── UnsupportedServer
    │   │   ├── StoreFull
    │   │   └── QueueFull
    │   └── EmbeddedServerError     the private server could not be started
    ├── InvalidURL                  (also a ValueError)
    └── PayloadTooLarge             (also a ValueError)

``orchestrator.errors`` continues the tree with what calls and results mean.
"""

from __future__ import annotations


class OrchestratorError(Exception):
    """Root of the errors raised by this project."""


class BrokerError(OrchestratorError):
    """Something about carrying calls went wrong."""


class BrokerUnavailable(BrokerError):
    """The server does not answer, or not in time. Nothing was half-sent.

    When only the reply was lost, the call may be stored: a call with an ``idempotency_key`` is safe to repeat.
    """


class BrokerRefused(BrokerError):
    """The server answered and refused."""


class AuthenticationFailed(BrokerRefused):
    """Wrong user or password, or the user may not run a command that is needed."""


class TLSFailed(BrokerRefused):
    """No encrypted connection: a certificate is not accepted or cannot be read, or only one side speaks TLS."""


class UnsupportedServer(BrokerRefused):
    """The server is too old, or is something else than Redis or Valkey."""


class StoreFull(BrokerRefused):
    """The server is out of memory and refuses to store more."""


class QueueFull(BrokerRefused):
    """The queue holds as many calls as it may. Nothing was stored; try again when workers have caught up."""


class EmbeddedServerError(BrokerError):
    """The private server could not be started; the message says what was tried."""


class InvalidURL(OrchestratorError, ValueError):
    """A broker URL cannot be understood; the message names the part."""


class PayloadTooLarge(OrchestratorError, ValueError):
    """A body or a result is above the hard limit; the message says both sizes in bytes."""
