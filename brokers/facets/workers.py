"""What workers and waiting processes speak: deliveries, consumers, queues, inboxes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from brokers.block_ends import BlockEnds
from brokers.facets.events import EVENTS_TTL_SECONDS
from brokers.messages import Ack, Delivery, KillVerdict, RunEnd
from brokers.records import Backlog


class QueueReader(Protocol):
    """One consumer's reader of some routes, for one thread: takes what is there, or blocks until something comes.

    Not self-healing: any verb may raise a BrokerError, after which the next call connects anew.

    Attributes:
        closed: whether :meth:`close` was called.
    """

    closed: bool

    def take(self, want: int, settle: Sequence[Ack] = ()) -> tuple[list[Delivery], list[str]]:
        """Settle, and take up to ``want`` calls that are there now.

        Returns:
            The deliveries, and the run ids whose ack was refused (stale ticket).

        Raises:
            NotSettled: there are deliveries, and the acks may not be stored.
        """

    def wait(self, want: int) -> list[Delivery]:
        """Block until a call comes (or some seconds have passed), then take up to ``want``."""

    def close(self) -> None:
        """Close for good; a thread that blocks in :meth:`wait` gets BrokerUnavailable.

        A :meth:`take` that is under way is left alone: cut off, it would not know whether its outcomes were stored.
        """

    def leave_out(self, queues: frozenset[str] | None) -> None:
        """From now on do not take calls of these queues; ``None``: take none at all.

        A thread that blocks is woken when there is more to read than before, or nothing: it would learn of it too late.
        Should a claim be on its way just then, its reply is lost, and the call is handed back soon.
        """

    def prepare(self) -> None:
        """Make the streams and groups."""


class Deliveries(Protocol):
    """Calls that consumers hold: fetched, started, acknowledged."""

    def reader(
        self, consumer: str, routes: Sequence[str], block_seconds: float = 2.0, trust_seconds: float = 0.0
    ) -> QueueReader:
        """A consumer's reader of some routes, for one thread: see :class:`brokers.base.QueueReader`."""

    def fetch(
        self,
        consumer: str,
        routes: Sequence[str],
        want: int,
        settle: Sequence[Ack] = (),
        claimed: Sequence[tuple[str, str, str]] = (),
    ) -> tuple[list[Delivery], list[str]]:
        """Acknowledge what has ended and take up to ``want`` calls in one round trip.

        Returns:
            The deliveries, and the run ids whose ack was refused because their ticket was stale.

        Raises:
            NotSettled: there are deliveries, and the acks may not be stored.
        """

    def complete(self, consumer: str, acks: Sequence[Ack]) -> list[str]:
        """Acknowledge; returns the run ids whose ack was refused because the ticket was stale."""

    def started(self, runs: Sequence[tuple[str, str] | tuple[str, str, bytes]]) -> list[str]:
        """Note runs (ticket, id, name where one was given) as running; returns the runs that should stop."""

    def hand_over(
        self, run_id: str, ticket: str, holder: str, other: str, *, even_cancelled: bool = False
    ) -> Delivery | None:
        """Give a call that one consumer holds to another one, under the ticket that it has.

        Repeated, it is the same call again.

        Args:
            run_id, ticket: of the call.
            holder: the consumer that holds it.
            other: gets it; it sends heartbeats already.
            even_cancelled: also a call that is to be cancelled.

        Returns:
            The call; ``None`` where the ticket is stale, the run has ended, or a third consumer holds it.
        """

    def pending(self, consumer: str, routes: Sequence[str]) -> dict[str, str]:
        """What the server holds for a consumer: ticket -> run id."""

    def take_over(
        self,
        consumer: str,
        *,
        running: Mapping[str, str] | None = None,
        verdicts: Mapping[str, KillVerdict] | None = None,
        charge_running: bool = True,
        max_deliveries: int = 3,
        dead_letter_ttl_seconds: float = 30 * 86_400,
    ) -> int:
        """Give the calls of a consumer that is gone to the others.

        Args:
            consumer: whose calls.
            running: run id -> reason, of calls known to have died with it; they are charged with a crash.
            verdicts: run id -> what becomes of a call for which the consumer was killed (hard timeout, cancelled).
            charge_running: whether calls noted as running are charged as well (not when a consumer leaves in peace).
            max_deliveries: crashes that make a call a dead letter.
            dead_letter_ttl_seconds: how long a dead letter is kept.

        Returns:
            How many calls were moved.
        """

    def killed(self, sent: Sequence[str] = ()) -> dict[str, int]:
        """Flow runs that ended because their process was killed, and whose hooks nobody has sent for.

        With ``~`` before them: runs, of tasks as well, that ended and have an undo log (:class:`UndoLogs`).

        Args:
            sent: of these somebody has; they are listed no longer.

        Returns:
            Flow run -> the moment of its end (unix ms, by the server's clock), some of the oldest.
        """


class Consumers(Protocol):
    """Consumers: leases, descriptions, and the calls of the dead."""

    def beat(self, consumers: Sequence[str], lease_seconds: float) -> list[str]:
        """Say that these consumers live; returns consumers (any) whose lease has run out."""

    def tidy(
        self, patience_seconds: float, dead_letter_ttl_seconds: float, events_ttl_seconds: float = EVENTS_TTL_SECONDS
    ) -> int:
        """Mark consumers as dead that hold calls though nobody beats for them; returns how many.

        Also forgets what is too old of dead letters, of the journal and of events.
        """

    def describe(self, consumer: str, facts: Mapping[str, str], ttl_seconds: float) -> None:
        """The description of a consumer: host, process, queues, tasks."""

    def leave(self, names: Sequence[str]) -> None:
        """These workers (or the workers of these consumers) have ended in peace."""

    def alive(self, lease_seconds: float) -> dict[str, dict[str, str]]:
        """The live consumers with their descriptions."""

    def note_project(self, project: str) -> None:
        """On the private server: workers of this project, in this namespace, live (``orchestrator.client.project``)."""

    def projects(self, lease_seconds: float) -> list[str]:
        """The other projects on the private server that have live workers."""


class Queues(Protocol):
    """Queues as a whole."""

    def paused(self) -> set[str]:
        """The queues whose calls are not handed out."""

    def pause(self, queue: str) -> bool:
        """Hand out no more calls of a queue, until :meth:`resume`; whether it was not paused before."""

    def resume(self, queue: str) -> bool:
        """Hand out the calls of a queue again; whether it was paused."""

    def purge(self, queue: str) -> int:
        """End every call of a queue as cancelled that waits now and is claimed by nobody; returns how many.

        In portions: the server serves others in between. Calls that are sent meanwhile stay.
        """

    def backlog(self, queues: Sequence[str], soon_seconds: float = 1.0) -> Backlog:
        """What is left on these queues. Runs that are delayed for longer than ``soon_seconds`` do not count."""

    def unknown_tasks(self) -> list[tuple[str, str]]:
        """(queue, task) of the calls that wait for a worker that knows their task."""

    def adopt(self, tasks: Sequence[tuple[str, str]]) -> int:
        """Queue the calls of these (queue, task) again: a worker knows them now. Returns how many there were."""


class Wait(Protocol):
    """What a thread waits for that reads an inbox meanwhile.

    Attributes:
        interrupt: to be called, from any thread, when it is over by another way than what was read; ``None``: nobody
            reads for it.
    """

    interrupt: Callable[[], None] | None

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to wait for."""

    def take(self, end: RunEnd) -> bool:
        """The end of a run came: whether it is what is waited for, and by nobody else. Then the wait is over."""


class Inbox(Protocol):
    """What others send to a process, read in a thread of its own."""

    def start(self) -> None:
        """Make the inbox and begin to read. Raises BrokerError when the server is not there."""

    def ask_again(self) -> None:
        """Call ``on_gap`` as soon as the server answers: someone could not say what they wait for."""

    def read_here(self, wait: Wait, until: float) -> None:
        """Read in this thread instead of the inbox's own, which is woken less often then, if that can be now.

        It settles nothing but what it waits for, so that an exception that is raised in this thread from outside
        (Ctrl-C) costs nobody else anything: all else is left to the inbox's thread, which reads it again.

        Returns when the wait is over, at the moment ``until`` (``time.monotonic()``), or before, at any time: whoever
        waits goes on to wait then. Raises nothing but what interrupts this thread.
        """

    def listen(self) -> None:
        """Somebody who does not read himself wants to know from now on what comes, at once."""

    def stop(self) -> None:
        """Stop reading and remove the inbox."""


class Inboxes(Protocol):
    """Where a process receives the ends of runs, and a worker its commands."""

    def inbox(
        self,
        name: str,
        *,
        on_settled: Callable[[list[RunEnd]], None] = lambda ends: None,
        on_orders: Callable[[list[tuple[str, str]]], None] = lambda orders: None,
        on_gap: Callable[[], None] = lambda: None,
        on_pieces: Callable[[list[BlockEnds]], None] | None = None,
        is_quiet: Callable[[], bool] = lambda: False,
    ) -> Inbox:
        """The inbox of a process or consumer, not read before its ``start``: see :class:`brokers.base.Inbox`.

        ``on_pieces`` gets ends of calls of blocks that came together; without it ``on_settled`` gets them one by one.
        ``is_quiet`` says whether nobody but those who call ``read_here`` wants to know at once what comes.
        """

    def expect(self, run_ids: Sequence[str], inbox: str) -> list[RunEnd]:
        """Have the ends of these runs sent to an inbox; returns those that have ended already."""

    def ends(self, run_ids: Sequence[str]) -> dict[str, tuple[bytes, bytes]]:
        """Status and outcome of these runs, unknown ones too, and perhaps of others of their blocks.

        Of runs that have not ended, and of those that a script has ended, the outcome is none of a task's.
        """

    def send_order(self, what: str, inboxes: Sequence[str]) -> set[str]:
        """Put an order into inboxes; returns those that somebody reads."""

    def is_listening(self, process: str) -> bool:
        """Whether a process reads its inbox (or did so until two minutes ago)."""
