"""What lanes, the slot monitor and isolation need of the process around them: protocols, which tests implement too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from contextvars import Context
from typing import Protocol

from brokers.messages import Ack, Delivery
from orchestrator.execution.attempt import Attempt
from orchestrator.execution.verdicts import Verdict
from orchestrator.slots.ack_buffer import AckBuffer
from orchestrator.slots.acks import Refusal
from orchestrator.slots.attention import Attention
from orchestrator.slots.running import RunningCall
from orchestrator.slots.table import SlotTable

Fetch = Callable[[list[Ack]], tuple[list[Delivery], Sequence[str]]]
"""Sends acks and fetches deliveries in one round trip; returns these, and the run ids whose ack was refused."""


class ClaimStore(Protocol):
    """The verbs of a broker for what one consumer holds."""

    def started(self, calls: Sequence[tuple[str, str] | tuple[str, str, bytes]]) -> list[str]:
        """Note (ticket, run id, name) as Running; returns the runs that are to stop."""

    def pending(self, consumer: str, routes: Sequence[str]) -> dict[str, str]:
        """Ticket -> run id of what the consumer holds."""

    def complete(self, consumer: str, acks: Sequence[Ack]) -> list[str]:
        """Store acks; returns the run ids of those that were refused."""

    def take_over(self, consumer: str, *, charge_running: bool = True) -> int:
        """Give what the consumer still holds to the others."""


class RunLogs(Protocol):
    """Log lines of runs on their way to the store."""

    @property
    def waiting(self) -> bool:
        """Whether there are any."""

    def flush(self, ending: Sequence[str] | None = None) -> None:
        """Send them; these runs end. Raises BrokerError."""


class Source(Protocol):
    """Where a lane fetches; see :class:`brokers.base.QueueReader`."""

    def take(self, want: int, settle: Sequence[Ack] = ()) -> tuple[list[Delivery], list[str]]:
        """Store acks, and take up to ``want`` calls that are there now."""

    def wait(self, want: int) -> list[Delivery]:
        """Block until there is a call, or some seconds have passed."""

    def close(self) -> None:
        """Wake whoever blocks in :meth:`wait`; nothing can be taken any more."""


class Codec(Protocol):
    """From a delivery to an attempt, and from what came of it to an ack."""

    def attempt(self, delivery: Delivery) -> Attempt | Refusal:
        """The attempt, or why there can be none. Raises BrokerError: upstream results cannot be read."""

    def plain_attempt(self, delivery: Delivery) -> Attempt | None:
        """The attempt, if it is one at a plain task that can be made without a look at anything else."""

    def ack(self, delivery: Delivery, attempt: Attempt, verdict: Verdict) -> Ack:
        """The ack of an attempt that has ended."""

    def ack_of_value(self, delivery: Delivery, attempt: Attempt, value: object) -> Ack:
        """The ack of an attempt at a plain task that has returned a plain value."""

    def refused(self, delivery: Delivery, refusal: Refusal) -> Ack:
        """The ack of a delivery that cannot be run."""

    def broken(self, delivery: Delivery, error: BaseException) -> Ack:
        """The ack of a delivery on which the worker itself failed."""


class LaneHost(Protocol):
    """The calls of this process; see :class:`orchestrator.slots.held_calls.HeldCalls`."""

    table: SlotTable
    acks: AckBuffer
    attention: Attention
    """Of the slot monitor: an outcome waits that no slot's thread will send, or there is something to look after."""

    @property
    def draining(self) -> bool:
        """Whether no more calls are to be taken or started."""

    @property
    def running(self) -> MutableMapping[str, RunningCall]:
        """What runs now, by ticket: lanes enter calls, and take them out when their acks are among :attr:`acks`."""

    def context(self) -> Context:
        """The context variables that a call begins with."""

    def exchange(self, fetch: Fetch) -> list[Delivery]:
        """Send outcomes and fetch calls in one round trip. Raises BrokerError; the outcomes are kept then."""

    def fetched(self, deliveries: Sequence[Delivery]) -> None:
        """These calls are here now."""

    def may_start(self, delivery: Delivery) -> bool:
        """Whether a fetched call is still ours to run; what is not is forgotten here."""

    def begin(self, call: RunningCall) -> bool:
        """The call is one of those that run, from now on; False if it was handed back meanwhile."""

    def hand_back(self, delivery: Delivery) -> None:
        """Somebody else may have this call: it was not started."""

    def forget(self, deliveries: Sequence[Delivery]) -> None:
        """These calls are not here any more, unstarted."""

    def announce(self, call: RunningCall, attempt: Attempt) -> None:
        """The call's function is about to run: notify listeners, and write down when the process is to be killed."""

    def send_acks(self) -> None:
        """Send outcomes; if the server is away they are kept and tried again."""

    def flush_acks(self) -> None:
        """Send outcomes. Raises BrokerError."""

    def connection_lost(self, error: BaseException) -> None:
        """The server does not answer."""

    def pause(self, seconds: float) -> None:
        """Sleep, unless the slots stop."""


class MonitorHost(LaneHost, Protocol):
    """What the slot monitor needs beside that."""

    def note_running(self, calls: Sequence[RunningCall]) -> list[str]:
        """Note them as Running in the store; returns the runs that are to stop. Raises BrokerError."""

    def held_by_server(self) -> dict[str, str]:
        """Ticket -> run id of what the server has for this consumer. Raises BrokerError."""

    def known_tickets(self) -> set[str]:
        """Tickets of all calls that are here: not started, running, finished and not confirmed."""

    def give_up(self, lost: Mapping[str, str]) -> None:
        """Hand back claims (ticket -> run id) whose reply never came. Raises BrokerError."""


class WatchedLane(Protocol):
    """What the slot monitor looks at."""

    sends_acks: bool
    """Whether its own threads send outcomes; else the monitor does, at each look."""

    def look(self, now: float) -> bool:
        """Once in a few milliseconds; whether there are outcomes that are to be sent at once."""
