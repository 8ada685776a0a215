"""``python -m benchmarks.stages``: where the time of one call goes, in microseconds, on client, worker and server.

Everything runs in one thread (see ``stepwise``), so that a stage's time is its own; functions of the product are
wrapped from here, and a stage inside another does not count for the outer one. Times are the least of several rounds,
which is what the code costs when nobody disturbs it. The server's are its own: microseconds in scripts (``INFO
commandstats``) and on the processor in all (``INFO cpu``).
"""

from __future__ import annotations

import argparse
import functools
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks.speed.report import on_page, table
from benchmarks.speed.systems import start_server
from benchmarks.stepwise import Stepwise

PAGE: Final = Path(__file__).parent / "README.md"
BATCH: Final = 128  # calls a fetch, as a worker with short calls takes them
GROUP: Final = 128  # ends a completion, as a worker sends them with the next fetch


class Stopwatch:
    """Seconds by stage; a stage inside another does not count for the outer.

    Args:
        clock: gives seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self.seconds: dict[str, float] = defaultdict(float)
        self._inner = [0.0]

    def timed(self, stage: str, fn: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with its time added to a stage."""
        inner, seconds, clock = self._inner, self.seconds, self._clock

        @functools.wraps(fn)
        def run(*args: Any, **kwargs: Any) -> Any:
            begun = clock()
            inner.append(0.0)
            try:
                return fn(*args, **kwargs)
            finally:
                spent = clock() - begun
                seconds[stage] += spent - inner.pop()
                inner[-1] += spent

        return run

    @contextmanager
    def watching(self, *places: tuple[Any, str, str]) -> Iterator[None]:
        """In the block, functions (owner, attribute, stage) are timed."""
        before = [(owner, name, getattr(owner, name)) for owner, name, _ in places]
        for owner, name, stage in places:
            setattr(owner, name, self.timed(stage, getattr(owner, name)))
        try:
            yield
        finally:
            for owner, name, fn in before:
                setattr(owner, name, fn)


class Server(NamedTuple):
    """What the server has spent: seconds in commands, and on the processor in all."""

    commands: float
    processor: float


class Meter:
    """Reads the server's own counters."""

    def __init__(self, client: Any) -> None:
        self._client = client

    @contextmanager
    def reading(self, into: dict[str, float], what: str, calls: int) -> Iterator[None]:
        """In the block, what the server spends is added up; afterwards it is there per call, in microseconds."""
        self._client.config_resetstat()
        before = self._spent()
        yield
        after = self._spent()
        into[f"{what}, in scripts and commands"] = (after.commands - before.commands) / calls * 1e6
        into[f"{what}, whole server"] = (after.processor - before.processor) / calls * 1e6

    def _spent(self) -> Server:
        commands = self._client.info("commandstats")
        # What scripts call is in their own time already.
        sent = ("evalsha", "eval", "xread", "xreadgroup")
        usec = sum(commands.get(f"cmdstat_{name}", {"usec": 0})["usec"] for name in sent)
        processor = self._client.info("cpu")
        return Server(usec / 1e6, processor["used_cpu_user"] + processor["used_cpu_sys"])


STAGES: Final = (
    ("client", "bind", "the arguments against the signature"),
    ("client", "pack", "the body: arguments to bytes"),
    ("client", "envelope", "run id, route, frame, handle"),
    ("client", "submit", "the script's argument, the sender's turn, reading the reply"),
    ("client", "submit: waiting", "write, server, read: the round trip"),
    ("server", "submit, in scripts and commands", "record and queue entry"),
    ("server", "submit, whole server", "the same with reading, writing and the append-only file"),
    ("worker", "fetch", "the script's argument, deliveries from its reply"),
    ("server", "fetch, in scripts and commands", "routes read in order, records read"),
    ("server", "fetch, whole server", ""),
    ("worker", "unpack", "the body to arguments, the task found, the attempt made"),
    ("worker", "run", "what is around the function, and the function (`return x`)"),
    ("worker", "slot", "the loop, its locks, who runs what"),
    ("worker", "complete", "the outcome to bytes, collected in groups, the script's argument"),
    ("worker", "fetch and complete: waiting", "one round trip a batch does both"),
    ("server", "complete, in scripts and commands", "fence, state and result, whoever waits, queue entry off"),
    ("server", "complete, whole server", ""),
    ("client", "resolve", "ends from the inbox to their handles"),
    ("client", "resolve: waiting", ""),
    ("server", "resolve, in scripts and commands", "reading the inbox"),
    ("server", "resolve, whole server", ""),
    ("client", "result", "the outcome from bytes"),
)


def measure(calls: int, rounds: int, **settings: Any) -> tuple[dict[str, float], dict[str, float]]:
    """Microseconds per call by stage: of calls sent alone, and of calls of one map; in a fleet with these settings."""
    from orchestrator.testing.throwaway import throwaway_fleet

    server = start_server()
    alone: list[dict[str, float]] = []
    together: list[dict[str, float]] = []
    try:
        with throwaway_fleet(redis_url=f"{server.tcp_url}/0", **settings) as fleet, server.client() as client:
            stepwise, meter = Stepwise(fleet), Meter(client)
            _calls_of_a_map(stepwise, meter, BATCH)  # scripts are loaded, connections open
            for _ in range(rounds):
                alone.append(_calls_alone(stepwise, meter, calls))
                together.append(_calls_of_a_map(stepwise, meter, calls))
    finally:
        server.close()
    return least(alone), least(together)


def least(rounds: list[dict[str, float]]) -> dict[str, float]:
    """The least of each over the rounds.

    >>> least([{"a": 2.0}, {"a": 1.0, "b": 3.0}])
    {'a': 1.0, 'b': 3.0}
    """
    return {stage: min(some[stage] for some in rounds if stage in some) for some in rounds for stage in some}


def _sending(watch: Stopwatch) -> Any:
    from brokers.redis.transport.protocol import Dialogue
    from orchestrator import serializers
    from orchestrator.client.call_sender import CallSender
    from orchestrator.submission.envelopes import EnvelopeBuilder
    from orchestrator.tasks import Task

    return watch.watching(
        (Task, "arguments", "bind"),
        (EnvelopeBuilder, "envelope", "envelope"),
        (serializers, "pack_call", "pack"),
        (CallSender, "send", "submit"),
        (Dialogue, "exchange", "submit: waiting"),
    )


def _working(watch: Stopwatch, stepwise: Stepwise) -> Any:
    from brokers.redis.transport.protocol import Dialogue
    from orchestrator.slots.ack_buffer import AckBuffer
    from orchestrator.slots.decoding import AttemptBuilder
    from orchestrator.slots.lane import Lane
    from orchestrator.slots.thread_lane import ThreadDoor

    return watch.watching(
        (Stepwise, "run", "slot"),
        (Lane, "fetch", "fetch"),
        (AttemptBuilder, "plain_attempt", "unpack"),
        (ThreadDoor, "_run", "run"),
        (stepwise.slots._core.codec, "ack_of_value", "complete"),
        (AckBuffer, "add", "complete"),
        (AckBuffer, "take", "complete"),
        (AckBuffer, "sent", "complete"),
        (AckBuffer, "flush", "complete"),
        (Dialogue, "exchange", "fetch and complete: waiting"),
    )


def _calls_alone(stepwise: Stepwise, meter: Meter, calls: int) -> dict[str, float]:
    from benchmarks.tasks import noop
    from orchestrator.tasks import Task

    def send_all() -> None:
        for number in range(calls):
            noop.delay(number)

    watch, found = Stopwatch(), dict[str, float]()
    with meter.reading(found, "submit", calls), _sending(watch), watch.watching((Task, "delay", "envelope")):
        send_all()
    with _working(watch, stepwise):
        stepwise.run(calls)
    send_all()
    _verbs(stepwise, meter, calls, found)
    return found | per_call(watch, calls)


def per_call(watch: Stopwatch, calls: int) -> dict[str, float]:
    """Microseconds."""
    return {stage: seconds / calls * 1e6 for stage, seconds in watch.seconds.items()}


def _calls_of_a_map(stepwise: Stepwise, meter: Meter, calls: int) -> dict[str, float]:
    from benchmarks.tasks import noop
    from brokers.redis.transport.protocol import Dialogue
    from orchestrator.client import map_runs

    watch, found = Stopwatch(), dict[str, float]()
    with meter.reading(found, "submit", calls), _sending(watch):
        futures = watch.timed("envelope", noop.map)(range(calls))
    with _working(watch, stepwise):
        stepwise.run(calls)
    waiting = [(Dialogue, "exchange", "resolve: waiting")]
    with meter.reading(found, "resolve", calls), watch.watching(*waiting):
        watch.timed("resolve", stepwise.resolve)(futures)
    with watch.watching((map_runs, "read_result", "result")):
        assert futures.result() == list(range(calls))
    futures = noop.map(range(calls))
    _verbs(stepwise, meter, calls, found)
    stepwise.resolve(futures)
    return found | per_call(watch, calls)


def _verbs(stepwise: Stepwise, meter: Meter, calls: int, found: dict[str, float]) -> None:
    """The server's part of fetch and complete for queued calls, one after the other: a worker has them in one trip."""
    from brokers.messages import Ack, Delivery

    broker, slots = stepwise.fleet.broker, stepwise.slots
    deliveries: list[Delivery] = []
    with meter.reading(found, "fetch", calls):
        while len(deliveries) < calls:
            deliveries += broker.deliveries.fetch(slots.consumer, slots.thread_lane._source._routes, BATCH)[0]
    ends = [Ack(one.ticket, one.run_id, "C", b"x" * 40, broker.ttl_ms) for one in deliveries]
    with meter.reading(found, "complete", calls):
        for first in range(0, calls, GROUP):
            assert not broker.deliveries.complete(slots.consumer, ends[first : first + GROUP])


def as_table(alone: dict[str, float], together: dict[str, float]) -> str:
    """The stages in the order in which a call meets them, and what each side spends in all."""
    rows = []
    for where, stage, what in STAGES:
        rows.append([stage, where, _shown(alone.get(stage)), _shown(together.get(stage)), what])
    for where in ("client", "worker", "server"):
        parts = [stage for place, stage, _ in STAGES if place == where and "waiting" not in stage]
        if where == "server":
            parts = [stage for stage in parts if "whole" in stage]
        sums = [sum(found.get(stage, 0.0) for stage in parts) for found in (alone, together)]
        rows.append([f"**{where} in all, without waiting**", where, *map(_shown, sums), ""])
    return table(["stage", "where", "sent alone, us", "of a map, us", "what it is"], rows)


def _shown(value: float | None) -> str:
    return f"{value:.1f}" if value else ""


def main() -> None:
    """Measure, print; put it into the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stages", description=__doc__)
    parser.add_argument("--calls", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true", help=f"put the table into {PAGE.name}")
    parser.add_argument("--signed", action="store_true", help="everything is signed, and has to be")
    parser.add_argument("--encrypted", action="store_true", help="everything is encrypted")
    options = parser.parse_args()
    keys: dict[str, Any] = {"secret_key": "s" * 32, "require_signature": True} if options.signed else {}
    if options.encrypted:
        keys["encryption_key"] = "e" * 32
    shown = as_table(*measure(options.calls, options.rounds, **keys))
    print(shown)
    if options.write:
        PAGE.write_text(on_page(PAGE.read_text(), "stages", shown))


if __name__ == "__main__":
    main()
