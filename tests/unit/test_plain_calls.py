"""The short way of a call through a worker: whatever the function does, it comes to what the long way comes to."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from brokers.messages import Ack, AckKind, Delivery
from orchestrator import get_run_logger, task
from orchestrator.errors import RunCrashed
from orchestrator.execution.interrupt import CancelRun
from orchestrator.execution.plain import is_plain
from orchestrator.futures import PrefectFuture, PrefectFutureList
from orchestrator.observability.events import listen
from orchestrator.observability.tracing import API as TRACES
from orchestrator.observability.tracing.sending import is_wanted
from orchestrator.runnables import registry
from orchestrator.runs.current import current_attempt
from orchestrator.runs.run_ids import new_run_id
from orchestrator.runtime import task_run
from orchestrator.serializers import pack_call
from orchestrator.serializers.outcomes import read_outcome
from orchestrator.slots import decoding
from orchestrator.slots.alone import Alone
from orchestrator.slots.decoding import AttemptBuilder
from orchestrator.slots.loop_places import LoopPlaces
from orchestrator.slots.prefetched import Prefetched
from orchestrator.slots.running import RunningCall
from orchestrator.slots.thread_lane import ThreadRunner
from orchestrator.states import Cancelled, Completed, Failed, Running
from orchestrator.testing import inline
from orchestrator.transactions import get_transaction, transaction
from tests.support.played_store import PlayedSlots


class Worker:
    """Runs deliveries in this thread, on the short way where there is one."""

    def __init__(self, short: bool = True) -> None:
        self.slots = PlayedSlots()
        self.codec = AttemptBuilder(self._fleet())
        self.plain_runs: list[str] = []
        attempt_of = self.codec.plain_attempt

        def plain_attempt(delivery: Delivery) -> Any:
            attempt = attempt_of(delivery) if short else None
            if attempt is not None:
                self.plain_runs.append(delivery.run_id)
            return attempt

        self.codec.plain_attempt = plain_attempt  # type: ignore[method-assign]
        alone = Alone(self.slots.calls, LoopPlaces(1), max_deliveries=3)
        self.runner = ThreadRunner(self.slots.calls, alone, self.codec)
        self.ready = Prefetched()

    @staticmethod
    def _fleet() -> Any:
        from orchestrator.client.fleet import current_fleet

        return current_fleet()

    def take_back(self) -> None:
        return None

    def lend(self) -> None:
        return None

    def run(self, delivery: Delivery) -> Ack:
        self.slots.calls.fetched([delivery])
        self.runner.run(delivery, self, 0)  # type: ignore[arg-type]
        assert self.slots.calls.running == {}
        self.slots.calls.flush_acks()
        return self.slots.store.completed[-1]


def delivery_of(called: Any, *args: Any, retries: int = 0, meta: bytes | None = None, **kwargs: Any) -> Delivery:
    run_id = new_run_id()
    body = pack_call(args, kwargs, context=lambda: ("call", "never needed")).body
    return Delivery("default:ds 1-0", run_id, called.task_key, body, retries, 0, None, meta, 1)


def told(ack: Ack) -> list[Any]:
    """What an ack says, without ids and moments."""
    said: list[Any] = [ack.how, ack.delay_ms, ack.drop_body, ack.ttl_ms, ack.name]
    if ack.how in (AckKind.COMPLETED, AckKind.FAILED, AckKind.CANCELLED):
        state = read_outcome(ack.run_id, ack.how.encode(), ack.outcome)
        said += [state.name, state.message, state.run_count, type(state.data), str(state.data)]
    return said


@pytest.fixture(autouse=True)
def fleet() -> Iterator[Any]:
    with inline() as one:
        yield one


def raises(error: BaseException) -> None:
    raise error


async def answer() -> int:
    return 42


class Odd:
    """Of no type that is packed without a pickle."""

    def __repr__(self) -> str:
        return "odd"


@task
def other(x: int) -> int:
    return x


DOES: dict[str, Callable[[], Any]] = {
    "nothing": lambda: None,
    "a number": lambda: 7,
    "text": lambda: "text\udce9",
    "a large result": lambda: b"x" * 100_000,
    "a list": lambda: [1, (2, {3})],
    "a state": lambda: Failed(message="said so"),
    "a state of success": lambda: Completed(data=5, name="Good"),
    "no end": lambda: Running(),
    "a coroutine": answer,
    "what cannot be packed": lambda: sys,
    "an odd object": Odd,
    "a mistake": lambda: raises(ValueError("wrong")),
    "an exit": lambda: sys.exit(3),
    "Ctrl-C": lambda: raises(KeyboardInterrupt()),
    "an end of a generator": lambda: raises(GeneratorExit()),
    "a stop of an iteration": lambda: raises(StopIteration(1)),
    "its own cancellation": lambda: raises(CancelRun()),
    "a call of another": lambda: other(3),
    "a handle": lambda: other.submit(3),
    "handles": lambda: [other.submit(3), other.submit(4)],
    "a hook": lambda: get_transaction() and None,
    "its name": lambda: task_run.task_name,
    "how often": lambda: task_run.run_count,
    "a log line": lambda: get_run_logger().info("a line"),
}


@pytest.mark.parametrize("what", DOES)
@pytest.mark.parametrize("retries", [0, 1])
def test_both_ways_come_to_the_same(what: str, retries: int) -> None:
    @task(retries=1, retry_delay_seconds=3, name="does")
    def does() -> Any:
        return DOES[what]()

    call = delivery_of(does, retries=retries)
    short, long = Worker(), Worker(short=False)
    assert told(short.run(call)) == told(long.run(call))
    assert (short.plain_runs, long.plain_runs) == ([call.run_id], [])


def test_a_transaction_inside_is_committed_or_rolled_back() -> None:
    done: list[str] = []

    @task(on_commit=[lambda txn: done.append("commit")], on_rollback=[lambda txn: done.append("rollback")])
    def staged() -> int:
        return 1

    @task
    def around(fails: bool) -> None:
        with transaction():
            staged()
            if fails:
                raise ValueError

    for fails, expected in ((False, ["commit"]), (True, ["rollback"])):
        done.clear()
        worker = Worker()
        ack = worker.run(delivery_of(around, fails))
        assert (done, ack.how) == (expected, AckKind.FAILED if fails else AckKind.COMPLETED)
        assert worker.plain_runs


@pytest.mark.parametrize(
    "options",
    [
        {"timeout_seconds": 5}, {"hard_timeout_seconds": 5}, {"log_prints": True}, {"log_prints": False},
        {"persist_result": True}, {"cache_key_fn": lambda *_: "key"}, {"task_run_name": "called {x}"},
        {"on_completion": [print]}, {"on_failure": [print]}, {"on_running": [print]}, {"on_commit": [print]},
        {"on_rollback": [print]}, {"validate_parameters": True}, {"result_serializer": "json"},
        {"retry_condition_fn": lambda *_: True}, {"refresh_cache": True}, {"cache_expiration": timedelta(1)},
    ],
    ids=lambda options: next(iter(options)),
)  # fmt: skip
def test_a_task_that_asks_for_more_takes_the_long_way(options: dict[str, Any]) -> None:
    @task(name=f"asks with {options}", **options)  # a key of its own: the task of the last test may be alive
    def asks(x: int) -> int:
        return x

    worker = Worker()
    assert not is_plain(asks)
    assert told(worker.run(delivery_of(asks, 1)))[0] == AckKind.COMPLETED
    assert not worker.plain_runs


def test_limits_and_retries_leave_a_task_plain_and_other_kinds_of_functions_do_not() -> None:
    @task
    def many(n: int) -> Iterator[int]:
        yield from range(n)

    @task
    async def soon() -> None:
        return None

    @task(tags=["a"], retries=3, queue="mail", priority="high", rate_limit="3/s", concurrency=2, result_ttl=5)
    def limited() -> None:
        return None

    class Shop:
        @task
        @classmethod
        def sell(cls, x: int) -> int:
            return x

    assert is_plain(limited)
    assert not is_plain(many)
    assert not is_plain(soon)
    assert not is_plain(Shop.sell)


def test_arguments_that_do_not_fit_are_told_by_the_long_way() -> None:
    worker = Worker()
    ack = worker.run(delivery_of(other, 1, 2, 3))
    assert ack.how == AckKind.FAILED
    assert "too many positional arguments" in str(read_outcome(ack.run_id, b"F", ack.outcome).data)
    assert not worker.plain_runs
    assert told(worker.run(delivery_of(other, x=4)))[-1] == "4"  # by name: looked at closely


def test_a_body_that_is_none_is_a_dead_letter() -> None:
    worker = Worker()
    for body in (b"", b"\x01", b"\x04\xc1", delivery_of(other, 1).body[:-1]):
        assert worker.run(delivery_of(other, 1)._replace(body=body)).how == AckKind.DEAD
    assert not worker.plain_runs


def test_a_task_that_is_defined_again_is_the_one_that_runs() -> None:
    worker = Worker()

    def make(answer: int) -> Any:
        def answers() -> int:
            return answer

        return task(answers)

    first = make(1)
    assert told(worker.run(delivery_of(first)))[-1] == "1"
    before = registry.generation
    registry.add(task(first.fn).with_options(name="again"))
    assert registry.generation > before
    assert told(worker.run(delivery_of(first)))[-1] == "1"


def test_a_hook_that_is_added_later_is_called() -> None:
    called: list[str] = []

    @task
    def hooked(x: int) -> int:
        return x

    worker = Worker()
    worker.run(delivery_of(hooked, 1))
    hooked.on_completion(lambda *_: called.append("hook"))
    worker.run(delivery_of(hooked, 2))
    assert called == ["hook"]
    assert len(worker.plain_runs) == 1


def test_an_option_that_cannot_be_compared_makes_a_task_not_plain() -> None:
    class Odd:
        def __eq__(self, other: object) -> bool:
            raise AttributeError("basepath")

        __hash__ = None  # type: ignore[assignment]

        def __call__(self, *_: Any) -> None:
            return None

    @task
    def odd() -> int:
        return 5

    odd.options = odd.options.using(cache_key_fn=Odd())
    worker = Worker()
    assert worker.codec.plain_attempt(delivery_of(odd)) is None


def test_a_frame_that_was_looked_up_while_its_task_was_defined_again_is_not_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    look_up = decoding.frame_of

    def look_up_late(delivery: Delivery) -> Any:
        frame = look_up(delivery)
        monkeypatch.setattr(registry, "generation", registry.generation + 1)  # as another thread does meanwhile
        return frame

    worker = Worker()
    monkeypatch.setattr(decoding, "frame_of", look_up_late)
    worker.run(delivery_of(other, 1))
    assert worker.codec._frames == {}


@pytest.mark.parametrize("value", [[0] * 50_000, (0,) * 50_000, "x" * 100_000], ids=["list", "tuple", "text"])
def test_what_is_too_large_goes_to_a_file_whatever_its_type(tmp_path: Path, value: Any) -> None:
    with inline(default_result_storage=str(tmp_path), max_payload_bytes=20_000, compress_above_bytes=10**9):

        @task
        def large() -> Any:
            return value

        worker = Worker()
        ack = worker.run(delivery_of(large))
        assert ack.how == AckKind.COMPLETED
        assert not worker.plain_runs
        assert list(tmp_path.iterdir())


def test_a_module_that_another_thread_is_importing_collects_no_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, TRACES, ModuleType(TRACES))
    assert not is_wanted()
    worker = Worker()
    assert worker.run(delivery_of(other, 1)).how == AckKind.COMPLETED


def test_listeners_are_told_of_start_and_end() -> None:
    seen: list[tuple[str, Any]] = []
    stops = [
        listen("run.started", lambda attempt, verdict, seconds: seen.append((attempt.run_id, None))),
        listen("run.ended", lambda attempt, verdict, seconds: seen.append((attempt.run_id, verdict.data))),
    ]
    worker, call = Worker(), delivery_of(other, 5)
    try:
        worker.run(call)
    finally:
        for stop in stops:
            stop()
    assert seen == [(call.run_id, None), (call.run_id, 5)]


def test_a_call_sees_nothing_of_the_one_before() -> None:
    found: list[object] = []

    @task
    def looks() -> None:
        found.append(current_attempt.get())

    worker = Worker()
    worker.run(delivery_of(looks))
    worker.run(delivery_of(looks))
    assert found[0] is not found[1]
    assert current_attempt.get() is None


def test_a_call_that_was_cancelled_before_it_began_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[int] = []

    @task
    def never() -> None:
        ran.append(1)

    worker, call = Worker(), delivery_of(never)
    begin = RunningCall.__init__

    def cancelled(self: RunningCall, *args: Any) -> None:
        begin(self, *args)
        self.cancelled = True

    monkeypatch.setattr(RunningCall, "__init__", cancelled)
    ack = worker.run(call)
    assert (ack.how, ran) == (AckKind.CANCELLED, [])
    assert read_outcome(ack.run_id, b"K", ack.outcome).name == Cancelled().name


@pytest.mark.parametrize("outcome", [b"", b"\0", b"\x97", b"\x90", b"\x97" + b"\xc0" * 7, b"no outcome"])
def test_a_result_of_a_map_that_cannot_be_read_says_so_as_its_state_does(outcome: bytes) -> None:
    ack = Worker().run(delivery_of(other, 8))
    good, damaged = PrefectFuture[int](ack.run_id), PrefectFuture[int](new_run_id())
    good.settle(b"C", ack.outcome)
    damaged.settle(b"C", outcome)
    assert PrefectFutureList([good]).result() == [8]
    with pytest.raises(RunCrashed, match="its outcome cannot be read here"):
        PrefectFutureList([good, damaged]).result()
