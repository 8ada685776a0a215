"""A store, logs and calls that are played, for tests of what slots decide: no server, no process, no clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from brokers.messages import Ack, AckKind, Delivery
from orchestrator import Task, task
from orchestrator.errors import BrokerUnavailable
from orchestrator.execution.attempt import Attempt
from orchestrator.execution.verdicts import Verdict
from orchestrator.settings import Settings
from orchestrator.slots.acks import Refusal
from orchestrator.slots.held_calls import HeldCalls
from orchestrator.slots.running import RunningCall


def delivery(run_id: str, deliveries: int = 1, crashes: int = 0, upstreams: bytes | None = None) -> Delivery:
    """A call that was handed to a worker."""
    return Delivery(f"q:ds {run_id}", run_id, "t", b"", 0, crashes, None, None, deliveries, upstreams)


class PlayedStore:
    """Implements :class:`orchestrator.slots.lane_host.ClaimStore`."""

    def __init__(self) -> None:
        self.away = False
        self.noted: list[str] = []
        self.stop: list[str] = []  # told to whoever notes these runs as Running
        self.held: dict[str, str] = {}
        self.completed: list[Ack] = []
        self.refuses: list[str] = []
        self.left: list[str] = []

    def _answer(self) -> None:
        if self.away:
            raise BrokerUnavailable("the store is away")

    def started(self, calls: Sequence[Any]) -> list[str]:
        self._answer()
        run_ids = [call[1] for call in calls]
        self.noted += run_ids
        return [run_id for run_id in self.stop if run_id in run_ids]

    def pending(self, consumer: str, routes: Sequence[str]) -> dict[str, str]:
        self._answer()
        return dict(self.held)

    def complete(self, consumer: str, acks: Sequence[Ack]) -> list[str]:
        self._answer()
        self.completed += acks
        return [ack.run_id for ack in acks if ack.run_id in self.refuses]

    def take_over(self, consumer: str, *, charge_running: bool = True) -> int:
        self._answer()
        self.left.append(consumer)
        return 0

    def ends(self) -> dict[str, str]:
        """Run -> how it was acked."""
        return {ack.run_id: ack.how for ack in self.completed}


class PlayedLogs:
    """Implements :class:`orchestrator.slots.lane_host.RunLogs`."""

    def __init__(self) -> None:
        self.waiting = False
        self.away = False
        self.flushed: list[str] = []

    def flush(self, ending: Sequence[str] | None = None) -> None:
        if self.away:
            raise BrokerUnavailable("the store is away")
        self.flushed += ending or ()


class PlayedSource:
    """Implements :class:`orchestrator.slots.lane_host.Source`."""

    def __init__(self, *now: Delivery) -> None:
        self.now, self.later = list(now), list[Delivery]()
        self.wants: list[int] = []
        self.acks: list[Ack] = []
        self.error: BaseException | None = None

    def take(self, want: int, settle: Sequence[Ack] = ()) -> tuple[list[Delivery], list[str]]:
        if self.error is not None:
            raise self.error
        self.wants.append(want)
        self.acks += settle
        taken, self.now = self.now[:want], self.now[want:]
        return taken, []

    def wait(self, want: int) -> list[Delivery]:
        taken, self.later = self.later[:want], self.later[want:]
        return taken

    def close(self) -> None:
        return None


class PlayedCodec:
    """Implements :class:`orchestrator.slots.lane_host.Codec`: the attempt of a delivery calls ``work`` with its run."""

    def __init__(self, work: Callable[[str], Any] = lambda run_id: None) -> None:
        self._work = work
        self.refusals: dict[str, Refusal] = {}
        self.errors: dict[str, BaseException] = {}

    def attempt(self, delivery: Delivery) -> Attempt | Refusal:
        if delivery.run_id in self.errors:
            raise self.errors[delivery.run_id]
        if delivery.run_id in self.refusals:
            return self.refusals[delivery.run_id]
        made: Task[..., Any] = task(lambda: self._work(delivery.run_id), name="played")
        return Attempt(made, delivery.run_id, [], {}, ticket=delivery.ticket)

    def plain_attempt(self, delivery: Delivery) -> Attempt | None:
        return None

    def ack_of_value(self, delivery: Delivery, attempt: Attempt, value: object) -> Ack:
        return Ack(delivery.ticket, delivery.run_id, AckKind.COMPLETED, b"", 0)

    def ack(self, delivery: Delivery, attempt: Attempt, verdict: Verdict) -> Ack:
        letters = {"Completed": AckKind.COMPLETED, "Cancelled": AckKind.CANCELLED}
        how = letters.get(getattr(verdict, "name", None) or "", AckKind.FAILED)
        return Ack(delivery.ticket, delivery.run_id, how, b"", 0)

    def refused(self, delivery: Delivery, refusal: Refusal) -> Ack:
        return Ack(delivery.ticket, delivery.run_id, AckKind.DEAD, b"", 0)

    def broken(self, delivery: Delivery, error: BaseException) -> Ack:
        return Ack(delivery.ticket, delivery.run_id, AckKind.DEAD, b"broken", 0)


class PlayedSlots:
    """The calls of one consumer over a played store."""

    def __init__(self) -> None:
        self.store, self.logs = PlayedStore(), PlayedLogs()
        self.settings = Settings()
        self.calls = HeldCalls(self.store, self.logs, self.settings, "me", ["q:ds"])

    def run(self, run_id: str, lane: Any = None) -> RunningCall:
        """Have a call among the running ones."""
        call = RunningCall(delivery(run_id), lane, 0)
        self.calls.running[call.delivery.ticket] = call
        return call
