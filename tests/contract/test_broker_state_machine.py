"""Any order of events: the broker keeps in step with a model that fits on a page."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from brokers.framed_calls import FramedCalls
from brokers.messages import FINAL_STATUSES, AckKind, Delivery, Envelope, Status
from brokers.redis.broker import RedisBroker
from brokers.redis.transport.connection import Wires
from orchestrator.runs.run_ids import new_map_run_ids, new_run_id
from tests.support.carriage import ROUTES, Calls, assert_nothing_left

CONSUMERS = ("w1", "w2", "w3")
MAX_DELIVERIES = 3
FINAL = {
    AckKind.COMPLETED: Status.COMPLETED,
    AckKind.FAILED: Status.FAILED,
    AckKind.CANCELLED: Status.CANCELLED,
    AckKind.CRASHED: Status.CRASHED,
    AckKind.DEAD: Status.CRASHED,
}


@dataclass(eq=False)
class Run:
    """What the model knows of a run."""

    run_id: str
    status: bytes = Status.QUEUED
    retries: int = 0
    crashes: int = 0
    open: int = 0
    held: Delivery | None = None
    holder: str = ""
    dependants: list[tuple[Run, bool]] = field(default_factory=list)
    ends: int = 0

    @property
    def settled(self) -> bool:
        return self.status in FINAL_STATUSES

    def end(self, status: bytes) -> None:
        """It ends, and sets free or settles what waits for it."""
        self.status, self.held = status, None
        self.ends += 1
        waiting, self.dependants = self.dependants, []
        for run, lenient in waiting:
            if run.status != Status.PARKED:
                continue
            if status == Status.COMPLETED or lenient:
                run.open -= 1
                if not run.open:
                    run.status = Status.QUEUED
            else:
                run.end(Status.NOT_READY)

    def come_back(self) -> None:
        """It is to be run again by somebody, unless it was to be cancelled."""
        self.held = None
        if self.status == Status.CANCELLING:
            self.end(Status.CANCELLED)
        else:
            self.status = Status.QUEUED


class BrokerMachine(RuleBasedStateMachine):
    """Submits, fetches, ends, crashes, cancels, retries, expires and replays runs."""

    wires: Wires

    def __init__(self) -> None:
        super().__init__()
        self.broker = RedisBroker(self.wires, new_run_id(), result_ttl_seconds=60)
        self.calls = Calls(self.broker)
        self.runs: list[Run] = []
        self.stale: list[Delivery] = []
        self.envelopes: list[Envelope] = []
        self.ends_of_deleted = 0

    def pick(self, data: Any, runs: list[Run]) -> Run:
        return data.draw(st.sampled_from(runs))  # type: ignore[no-any-return]

    @property
    def held(self) -> list[Run]:
        return [run for run in self.runs if run.held is not None]

    def queue_retries(self) -> None:
        """Retries have no delay here: whoever fetches or moves queues them."""
        for run in self.runs:
            if run.status == Status.DELAYED:
                run.status = Status.QUEUED

    # -- rules ---------------------------------------------------------------------------------------------------

    @rule(data=st.data(), lenient=st.booleans())
    def submit(self, data: Any, lenient: bool) -> None:
        self._submit_after(data.draw(self._some_runs()) if self.runs else [], lenient)

    def _some_runs(self) -> st.SearchStrategy[list[Run]]:
        """Some here and there, or some side by side, as the members of a map are."""
        places = st.integers(0, len(self.runs) - 1)
        here_and_there = st.lists(st.sampled_from(self.runs), max_size=3, unique_by=id)
        return here_and_there | st.tuples(places, st.integers(1, 12)).map(lambda at: self.runs[at[0] : sum(at)])

    def _submit_after(self, some: list[Run], lenient: bool) -> None:
        run = Run(new_run_id())
        run_ids = tuple(upstream.run_id for upstream in some)
        after, leniently_after = ((), run_ids) if lenient else (run_ids, ())
        self.envelopes = [self.calls.envelope(run.run_id, after=after, leniently_after=leniently_after)]
        self.broker.runs.submit(self.envelopes)
        self.runs.append(run)
        if not lenient and any(upstream.settled and upstream.status != Status.COMPLETED for upstream in some):
            for upstream in some:  # those that come before the failed one got it as a dependant
                if not upstream.settled:
                    upstream.dependants.append((run, lenient))
            run.end(Status.NOT_READY)
            return
        for upstream in some:
            if not upstream.settled:
                upstream.dependants.append((run, lenient))
                run.open += 1
        if run.open:
            run.status = Status.PARKED

    @rule(count=st.integers(1, 12))
    def submit_map(self, count: int) -> None:
        runs = [Run(run_id) for run_id in new_map_run_ids(count)]
        self.envelopes = [self.calls.envelope(run.run_id) for run in runs]
        self.broker.runs.submit(self.envelopes)
        self.runs += runs

    @precondition(lambda self: self.runs)
    @rule(data=st.data(), lenient=st.booleans(), shared=st.booleans())
    def submit_chain(self, data: Any, lenient: bool, shared: bool) -> None:
        """A map over runs that were sent side by side, or all of its calls behind one of them."""
        first, count = data.draw(st.tuples(st.integers(0, len(self.runs) - 1), st.integers(4, 12)))
        some = [self.runs[first]] * count if shared else self.runs[first : first + count]
        runs = [Run(run_id) for run_id in new_map_run_ids(len(some))]
        upstreams = [[(upstream.run_id, lenient)] for upstream in some]
        framed = FramedCalls(self.calls.envelope(), [run.run_id for run in runs], [b"body"] * len(runs), upstreams)
        self.envelopes = list(framed)
        self.broker.runs.submit(framed)
        self.runs += runs
        for run, upstream in zip(runs, some, strict=True):
            if not upstream.settled:
                upstream.dependants.append((run, lenient))
                run.open, run.status = 1, Status.PARKED
            elif upstream.status != Status.COMPLETED and not lenient:
                run.end(Status.NOT_READY)

    @precondition(lambda self: self.envelopes)
    @rule(data=st.data())
    def submit_the_last_ones_again(self, data: Any) -> None:
        divided = data.draw(st.integers(0, len(self.envelopes)))
        for some in (self.envelopes[:divided], self.envelopes[divided:]):
            if some:
                self.broker.runs.submit(some)

    @rule()
    def submit_one_that_expires(self) -> None:
        run = Run(self.calls.submit(x=0))
        self.envelopes = [self.calls.envelope(run.run_id)]
        self.runs.append(run)
        self.calls.move_until(lambda: self.calls.status(run.run_id) != Status.QUEUED)
        run.end(Status.CANCELLED)
        self.queue_retries()

    @rule(consumer=st.sampled_from(CONSUMERS), want=st.integers(1, 5))
    def fetch(self, consumer: str, want: int) -> None:
        self.queue_retries()
        waiting = {run.run_id: run for run in self.runs if run.status == Status.QUEUED and run.held is None}
        taken, _ = self.broker.deliveries.fetch(consumer, ROUTES, want)
        # Of a map of which some have ended it may be a part, and the next fetch brings more.
        assert min(1, len(waiting)) <= len(taken) <= min(want, len(waiting))
        for delivery in taken:
            run = waiting[delivery.run_id]
            assert (delivery.retries, delivery.crashes) == (run.retries, run.crashes)
            run.held, run.holder = delivery, consumer

    @precondition(lambda self: self.held)
    @rule(data=st.data(), how=st.sampled_from([*FINAL, AckKind.RETRY, AckKind.HAND_BACK]))
    def settle(self, data: Any, how: str) -> None:
        run = self.pick(data, self.held)
        assert run.held is not None
        self.stale.append(run.held)
        assert self.calls.end(run.held, how, b"end %d" % len(self.stale))
        if how in FINAL:
            run.end(FINAL[how])
        else:
            cancelled = run.status == Status.CANCELLING
            run.come_back()
            if how == AckKind.RETRY and not cancelled:
                run.retries += 1
                run.status = Status.DELAYED

    @rule(data=st.data(), consumer=st.sampled_from(CONSUMERS))
    def settle_many(self, data: Any, consumer: str) -> None:
        some = [run for run in self.held if run.holder == consumer]
        how = data.draw(st.lists(st.sampled_from(list(FINAL)), min_size=len(some), max_size=len(some)))
        acks = [
            self.calls.ack(run.held, letter, b"one of many") for run, letter in zip(some, how, strict=True) if run.held
        ]
        assert self.broker.deliveries.complete(consumer, acks) == []
        self.stale += [run.held for run in some if run.held is not None]
        for run, letter in zip(some, how, strict=True):
            run.end(FINAL[letter])

    @rule()
    def purge(self) -> None:
        waiting = [run for run in self.runs if run.status == Status.QUEUED and run.held is None]
        if any(run.dependants for run in waiting):
            return  # who is queued because they end may be purged, too, or may not
        assert self.broker.queues.purge("q") == len(waiting)
        for run in waiting:
            run.end(Status.CANCELLED)

    @precondition(lambda self: self.stale)
    @rule(data=st.data(), how=st.sampled_from([*FINAL, AckKind.RETRY, AckKind.HAND_BACK]))
    def settle_with_an_old_ticket(self, data: Any, how: str) -> None:
        assert not self.calls.end(data.draw(st.sampled_from(self.stale)), how, b"too late")

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def note_as_running(self, data: Any) -> None:
        run = self.pick(data, self.held)
        assert run.held is not None
        stop = self.broker.deliveries.started([(run.held.ticket, run.run_id)])
        assert stop == ([run.run_id] if run.status == Status.CANCELLING else [])
        if not stop:
            run.status = Status.RUNNING

    @rule(consumer=st.sampled_from(CONSUMERS), in_peace=st.booleans(), data=st.data())
    def crash(self, consumer: str, in_peace: bool, data: Any) -> None:
        lost = [run for run in self.held if run.holder == consumer]
        guilty = [] if in_peace or not lost else data.draw(st.lists(st.sampled_from(lost), unique_by=id))
        moved = self.broker.deliveries.take_over(
            consumer,
            running={run.run_id: "killed" for run in guilty},
            charge_running=not in_peace,
            max_deliveries=MAX_DELIVERIES,
        )
        assert moved == len(lost)
        for run in lost:
            assert run.held is not None
            self.stale.append(run.held)
            charged = run in guilty or (run.status == Status.RUNNING and not in_peace)
            if charged and run.status != Status.CANCELLING:
                run.crashes += 1
                if run.crashes == MAX_DELIVERIES:
                    run.end(Status.CRASHED)
                    continue
            run.come_back()

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def cancel(self, data: Any) -> None:
        run = self.pick(data, self.runs)
        (before,) = self.broker.runs.cancel([run.run_id])
        assert before == run.status
        if run.held is not None:
            run.status = Status.CANCELLING
        elif not run.settled:
            run.end(Status.CANCELLED)

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def cancel_many(self, data: Any) -> None:
        some = [run for run in data.draw(self._some_runs()) if not run.dependants]
        before = self.broker.runs.cancel([run.run_id for run in some])
        assert before == [run.status for run in some]
        for run in some:
            if run.held is not None:
                run.status = Status.CANCELLING
            elif not run.settled:
                run.end(Status.CANCELLED)

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def delete(self, data: Any) -> None:
        some = data.draw(self._some_runs())
        gone = [run for run in some if run.settled]
        assert self.broker.runs.delete([run.run_id for run in some]) == [run.run_id for run in gone]
        self.ends_of_deleted += sum(run.ends for run in gone)
        self.runs = [run for run in self.runs if run not in gone]
        self.envelopes = [one for one in self.envelopes if one.run_id not in {run.run_id for run in gone}]

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def replay(self, data: Any) -> None:
        run = self.pick(data, self.runs)
        assert self.broker.runs.replay([run.run_id]) == ([run.run_id] if run.settled else [])
        if run.settled:
            run.status, run.retries, run.crashes = Status.QUEUED, 0, 0

    @rule()
    def move(self) -> None:
        self.broker.runs.move_due()
        self.queue_retries()

    # -- what must be true ---------------------------------------------------------------------------------------

    @invariant()
    def the_store_says_what_the_model_says(self) -> None:
        records = self.broker.records.read([run.run_id for run in self.runs])
        told = [(record.status, record.retries, record.crashes) for record in records]
        assert told == [(run.status, run.retries, run.crashes) for run in self.runs]

    def teardown(self) -> None:
        for run in self.held:
            assert run.held is not None
            assert self.calls.end(run.held, outcome=b"the end")
            run.end(Status.COMPLETED)
        self.move()
        while taken := self.calls.take():
            for delivery in taken:
                assert self.calls.end(delivery)
                next(run for run in self.runs if run.run_id == delivery.run_id).end(Status.COMPLETED)
        self.the_store_says_what_the_model_says()
        assert all(run.settled for run in self.runs)
        counted = self.calls.command("HVALS", self.broker.keys.counts)
        assert sum(map(int, counted)) == sum(run.ends for run in self.runs) + self.ends_of_deleted
        assert_nothing_left(self.broker)


class LimitMachine(RuleBasedStateMachine):
    """Runs under a concurrency limit: never too many at once, and nobody who waits is forgotten."""

    wires: Wires
    SIZE = 2

    def __init__(self) -> None:
        super().__init__()
        self.broker = RedisBroker(self.wires, new_run_id(), result_ttl_seconds=60)
        self.calls = Calls(self.broker)
        self.runs: list[str] = []
        self.held: list[Delivery] = []

    @rule(count=st.integers(1, 4))
    def submit(self, count: int) -> None:
        self.runs += self.calls.submit_many(count, l=f"db|{self.SIZE}")

    @rule(want=st.integers(1, 5))
    def fetch(self, want: int) -> None:
        self.held += self.calls.take(want)

    @precondition(lambda self: self.held)
    @rule(
        data=st.data(),
        how=st.sampled_from([AckKind.COMPLETED, AckKind.FAILED, AckKind.RETRY, AckKind.HAND_BACK, "crash"]),
    )
    def end(self, data: Any, how: str) -> None:
        if how == "crash":
            self.broker.deliveries.take_over("worker", max_deliveries=99)
            self.held.clear()
            return
        delivery = data.draw(st.sampled_from(self.held))
        self.held.remove(delivery)
        self.calls.end(delivery, how)

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def cancel(self, data: Any) -> None:
        self.broker.runs.cancel([data.draw(st.sampled_from(self.runs))])

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def replay(self, data: Any) -> None:
        self.broker.runs.replay([data.draw(st.sampled_from(self.runs))])

    @invariant()
    def not_more_than_may(self) -> None:
        assert len(self.held) <= self.SIZE

    def teardown(self) -> None:
        while True:
            for delivery in self.held:
                assert self.calls.end(delivery)
            self.broker.runs.move_due()
            self.held = self.calls.take()
            if not self.held and not self.calls.take():
                break
        assert all(record.status in FINAL_STATUSES for record in self.broker.records.read(self.runs))
        assert_nothing_left(self.broker)


def test_the_broker_keeps_in_step_with_a_model(wires: Wires) -> None:
    machine = type("Machine", (BrokerMachine,), {"wires": wires})
    run_state_machine_as_test(machine, settings=settings(max_examples=40, stateful_step_count=40, deadline=None))


def test_nobody_who_waits_under_a_limit_is_forgotten(wires: Wires) -> None:
    machine = type("Machine", (LimitMachine,), {"wires": wires})
    run_state_machine_as_test(machine, settings=settings(max_examples=40, stateful_step_count=30, deadline=None))
