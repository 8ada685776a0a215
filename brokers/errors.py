"""What can go wrong while bytes are carried.

The tree (``OrchestratorError`` is the root of every error of this project)::

    OrchestratorError
    ├── BrokerError                 something about carriage
    │   ├── BrokerUnavailable       nobody answers, or not in time; says what was sent
    │   ├── BrokerConflict          somebody else has changed it meanwhile; nothing was written
    │   ├── BrokerRefused           it answered with a refusal (password, ACL, certificate, memory, version)
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
    """Something about carrying calls went wrong.

    Attributes:
        reply_lost: the server may have done what it was asked to do.
        queued_run_ids: of the calls that were to be sent, those that are queued all the same, and will run.
        doubtful_run_ids: those that may be queued, because the reply was lost.

    ``PrefectFuture(run_id)`` is a handle on such a call::

        try:
            shop.load.map(range(20_000))
        except BrokerError as error:
            kept = [PrefectFuture(run_id) for run_id in error.queued_run_ids]
    """

    reply_lost = False
    queued_run_ids: tuple[str, ...] = ()
    doubtful_run_ids: tuple[str, ...] = ()


class BrokerUnavailable(BrokerError):
    """The server does not answer, or not in time.

    The message says whether nothing was sent. When only the reply was lost, a call may be queued: its run id is in
    ``doubtful_run_ids``, and a call with an ``idempotency_key`` is safe to repeat.
    """


class BrokerConflict(BrokerError):
    """What was to be written has been changed by somebody else, or is there already. Nothing was written."""


class BrokerRefused(BrokerError):
    """The server answered and refused."""


class AuthenticationFailed(BrokerRefused):
    """Wrong user or password, or the user may not run a command that is needed."""


class TLSFailed(BrokerRefused):
    """No encrypted connection: a certificate is not accepted or cannot be read, or only one side speaks TLS."""


class UnsupportedServer(BrokerRefused):
    """The server is too old, or is something else than Redis or Valkey."""


class StoreFull(BrokerRefused):
    """The server is out of memory, or cannot write to its disk, and refuses to store more."""


class QueueFull(BrokerRefused):
    """The queue holds as many calls as it may. Nothing was stored; try again when workers have caught up."""


class EmbeddedServerError(BrokerError):
    """The private server could not be started; the message says what was tried."""


class InvalidURL(OrchestratorError, ValueError):
    """A broker URL cannot be understood; the message names the part."""


class PayloadTooLarge(OrchestratorError, ValueError):
    """A body or a result is above the hard limit; the message says both sizes in bytes."""
