"""Envelopes that are sent together, what became of them, and who is notified of it."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, Protocol, TypeAlias, TypeVar

from brokers.errors import BrokerError, QueueFull
from brokers.framed_calls import FramedCalls
from brokers.messages import Envelope
from brokers.schema import Extra

log = logging.getLogger("orchestrator.sender")
AnError = TypeVar("AnError", bound=BaseException)
OTHERS_SEND: Final = "the server does not answer: others of this process wait for it too"
WITHIN_SENDING: Final = (
    "this thread was interrupted while it sent (by a signal handler, or a finalizer), and has to go on before it can "
    "send again. Nothing was sent; leave it to another thread."
)
NOBODY_WAITS: Final = float("inf")
Rebind: TypeAlias = Callable[[Envelope, str], bytes]
"""Gives the body of a call under another run id: its signature, if it has one, is for one id only."""


class Waiter(Protocol):
    """What the coroutine awaits that sent a parcel: a future, or what stands for those of several calls."""

    def done(self) -> bool: ...
    def set_result(self, result: Any, /) -> None: ...


class Parcel:
    """Some envelopes that are sent together, and what became of them."""

    __slots__ = (
        *("done", "envelopes", "error", "gate", "is_block", "notify", "rebind", "room_until", "run_ids", "until"),
        "waiter",
    )

    def __init__(
        self,
        envelopes: Sequence[Envelope],
        notify: Callable[[Parcel], None] | None,
        until: float = NOBODY_WAITS,
        room_until: float = 0.0,
        rebind: Rebind | None = None,
        is_block: bool = False,
    ) -> None:
        self.is_block = is_block  # its calls are one, and need no envelopes
        self.envelopes = envelopes
        self.notify = notify
        self.until = until  # an event loop's sender is notified then, sent or not
        self.room_until = room_until  # until then a full queue is waited for
        self.rebind = rebind  # the only call may get another id: this gives its body then
        self.gate: threading.Lock | None = None  # of the thread that waits for it
        self.waiter: Waiter | None = None  # of the coroutine that waits for it
        self.run_ids: Sequence[str] = ()  # from the moment at which they are sent
        self.error: BaseException | None = None
        self.done = False

    @property
    def given_ids(self) -> tuple[str, ...]:
        """The run ids with which its calls came."""
        return tuple(envelope.run_id for envelope in self.envelopes)

    @property
    def queue(self) -> str:
        """The queue that it needs room in."""
        return self.envelopes[0].route[:-3]

    @property
    def is_refused_for_now(self) -> bool:
        """Whether its queue was full, and there is patience left."""
        return isinstance(self.error, QueueFull) and time.monotonic() < self.room_until


def parcel_of_thread(envelopes: Sequence[Envelope], until: float, rebind: Rebind | None) -> Parcel:
    """A parcel for which this thread waits at a gate that is shut."""
    parcel = Parcel(envelopes, open_gate, until, rebind=rebind)
    parcel.gate = threading.Lock()
    parcel.gate.acquire()
    return parcel


def take_from(queue: deque[Parcel], taken: list[Parcel], most: int) -> None:
    """Move parcels into the list; after an interruption one may be in both.

    Others put parcels to either end meanwhile, and take out those for which they wait no longer.
    """
    while len(taken) < most:
        try:
            parcel = queue[0]
        except IndexError:
            return
        taken.append(parcel)
        try:
            queue.remove(parcel)
        except ValueError:  # its sender has given up, and knows that it was not sent
            taken.pop()


def open_gate(parcel: Parcel) -> None:
    """Have the thread look that waits for it."""
    assert parcel.gate is not None
    try:
        parcel.gate.release()
    except RuntimeError:
        return  # it is open: the thread is about to look


def error_for(error: Exception, parcel: Parcel) -> Exception:
    """The error of a trip that several shared, for one of them: it must not get the others' run ids, nor traceback."""
    return copy_for(error, set(parcel.given_ids)) if isinstance(error, BrokerError) else error


def copy_for(error: AnError, its: Collection[str]) -> AnError:
    """The same error for the sender of some of the calls."""
    if not isinstance(error, BrokerError):
        return error
    copied = type(error)(*error.args)
    copied.reply_lost = error.reply_lost
    copied.queued_run_ids = tuple(run_id for run_id in error.queued_run_ids if run_id in its)
    copied.doubtful_run_ids = tuple(run_id for run_id in error.doubtful_run_ids if run_id in its)
    copied.__cause__ = error.__cause__
    return copied


def notify_sender(parcel: Parcel) -> None:
    """Let the thread or loop that sent it go on; never raises."""
    if parcel.notify is None:
        return
    try:
        parcel.notify(parcel)
    except RuntimeError as error:  # the event loop of whoever sent it is closed: the call is sent, nobody asks any more
        log.debug("nobody waits for %d sent calls any more: %s", len(parcel.envelopes), error)
    except Exception:
        log.exception("the senders of %d calls could not be notified", len(parcel.envelopes))


def have_upstreams(envelopes: Sequence[Envelope]) -> bool:
    """Whether one of these calls waits for others."""
    if isinstance(envelopes, FramedCalls):
        return envelopes.wait_for_others
    return any(envelope.extras and Extra.UPSTREAMS in envelope.extras for envelope in envelopes)
