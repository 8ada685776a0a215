"""Handles without any server: settled once, told to everyone, waited for by whoever likes."""

from __future__ import annotations

import asyncio
import pickle
import sys
import threading
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from orchestrator.client import completion, waiting
from orchestrator.client.callbacks import MAX_THREADS
from orchestrator.client.handles import Handle
from orchestrator.client.waiting import wait_async
from orchestrator.errors import RunCancelled, UpstreamTaskError
from orchestrator.futures import (
    PrefectFuture,
    PrefectFutureList,
    as_completed,
    resolve_futures_to_results,
    resolve_futures_to_states,
    wait,
)
from orchestrator.runs.run_ids import new_run_id
from orchestrator.states import Cancelled, Completed, Failed, NotReady, Pending, State
from tests.support.waiting import wait_until


class Source:
    """Ends come from the test."""

    def __init__(self) -> None:
        self.attached: list[PrefectFuture[Any]] = []
        self.cancelled: list[str] = []
        self.reminded = threading.Event()
        self.given_up: list[PrefectFuture[Any]] = []

    def attach(self, futures: Sequence[Handle]) -> None:
        self.attached += futures

    def latest_state(self, run_id: str) -> State[Any]:
        return Pending(task_run_id=run_id)

    def cancel(self, run_ids: list[str]) -> list[bool]:
        self.cancelled += run_ids
        return [True] * len(run_ids)

    def look_for_standstill(self, futures: Sequence[Handle], any_of: bool) -> bool:
        return False

    def still_waiting(self, futures: Sequence[Handle]) -> None:
        self.reminded.set()

    def stop_watching(self, futures: Sequence[Handle]) -> None:
        self.given_up += futures


@pytest.fixture
def source() -> Source:
    return Source()


def made(source: Source, count: int = 1) -> list[PrefectFuture[Any]]:
    return [PrefectFuture(new_run_id(), source=source) for _ in range(count)]


def test_a_future_is_settled_once(source: Source) -> None:
    (future,) = made(source)
    assert (future.settled, future.state.name) == (False, "Pending")
    future.settle_state(Completed(data=1))
    future.settle_state(Failed())
    future.settle(b"F", b"\0too late")
    assert (future.settled, future.result()) == (True, 1)


def test_an_end_from_the_store_is_read_when_somebody_asks(source: Source) -> None:
    (future,) = made(source)
    future.settle(b"K", b"\0expired before it started")
    assert (future.state.name, future.state.is_cancelled()) == ("Expired", True)
    with pytest.raises(RunCancelled, match="expired"):
        future.result()


def test_who_waits_is_woken_by_the_last_end(source: Source) -> None:
    futures = made(source, 3)
    woken = threading.Event()
    waiter = threading.Thread(target=lambda: (wait(futures), woken.set()))
    waiter.start()
    for future in futures[:2]:
        future.settle_state(Completed())
    assert not woken.wait(0.02)
    futures[2].settle_state(Failed())
    assert woken.wait(10)
    waiter.join()
    assert sorted(future.run_id for future in source.attached) == sorted(future.run_id for future in futures)


def test_nothing_is_asked_for_what_has_ended(source: Source) -> None:
    futures = made(source, 3)
    for future in futures:
        future.settle_state(Completed(data=1))
    assert PrefectFutureList(futures).result() == [1, 1, 1]
    assert len(list(as_completed(futures))) == 3
    assert wait(futures).not_done == set()
    assert source.attached == []


def test_a_wait_that_is_over_leaves_nothing_behind(source: Source) -> None:
    (future,) = made(source)
    for _ in range(5):
        future.wait(0.001)
        assert wait([future], timeout=0).not_done == {future}
    with pytest.raises(TimeoutError):
        future.result(timeout=0)
    assert not future._callbacks


def test_an_awaiting_that_is_over_leaves_nothing_behind(source: Source) -> None:
    (future,) = made(source)

    async def gives_up() -> None:
        await wait_async([future], timeout=0.01)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(future, 0.01)

    asyncio.run(gives_up())
    assert not future._callbacks


def test_awaiting_what_ends_in_another_thread(source: Source) -> None:
    (future,) = made(source)

    async def main() -> Any:
        threading.Timer(0.01, future.settle_state, [Completed(data="x")]).start()
        return await future

    assert asyncio.run(main()) == "x"


def test_callbacks_get_the_future_even_when_one_breaks(source: Source) -> None:
    (future,) = made(source)
    told: list[Any] = []
    future.add_done_callback(lambda settled: 1 / 0)
    future.add_done_callback(told.append)
    future.settle_state(Completed())
    future.add_done_callback(told.append)
    wait_until(lambda: told == [future, future])


def test_a_callback_that_waits_submits_or_exits_holds_up_no_other_run(source: Source) -> None:
    first, second, third = made(source, 3)
    told: list[Any] = []
    first.add_done_callback(lambda settled: told.append(second.result(timeout=60)))
    first.add_done_callback(lambda settled: told.append("after"))
    third.add_done_callback(lambda settled: sys.exit(3))
    third.add_done_callback(lambda settled: told.append("third"))
    first.settle_state(Completed())  # as the inbox does: it must come back from here at once
    third.settle_state(Completed())
    wait_until(lambda: told == ["third"])
    second.settle_state(Completed(data=2))
    wait_until(lambda: told == ["third", 2, "after"])


def test_callbacks_that_wait_for_each_other_however_many(source: Source) -> None:
    chain = made(source, 3 * MAX_THREADS)
    told: list[int] = []

    def waits(number: int) -> Callable[[PrefectFuture[Any]], None]:
        def callback(settled: PrefectFuture[Any]) -> None:
            chain[-1].wait(20)
            told.append(number)

        return callback

    for number, future in enumerate(chain[:-1]):
        future.add_done_callback(waits(number))
    for future in chain[:-1]:
        future.settle_state(Completed())
    chain[-1].settle_state(Completed())
    wait_until(lambda: sorted(told) == list(range(len(chain) - 1)))


def test_polling_in_any_way_leaves_nothing_behind(source: Source) -> None:
    failed, late = made(source, 2)
    failed.settle_state(Failed(data=ValueError("no")))
    for _ in range(3):
        with pytest.raises(TimeoutError):
            PrefectFutureList([late]).result(timeout=0.001)
        with pytest.raises(TimeoutError):
            list(as_completed([late], timeout=0.001))
        with pytest.raises(ValueError, match="no"):  # it does not wait for the others
            PrefectFutureList([late, failed]).result(timeout=60)
        next(iter(as_completed([late, failed])))
    assert not late._callbacks
    assert late in source.given_up


def test_gathered_awaits_that_are_cancelled_leave_nothing_behind(source: Source) -> None:
    futures = made(source, 3)

    async def main() -> None:
        gathered = asyncio.gather(*futures)
        while len(source.attached) < 3:
            await asyncio.sleep(0.01)
        gathered.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gathered

    asyncio.run(main())
    assert not any(future._callbacks for future in futures)


@pytest.mark.parametrize("way", ["await", "as_completed", "wait", "list", "callback"])
def test_whoever_waits_long_is_reminded(source: Source, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (waiting, completion):
        monkeypatch.setattr(module, "SAY_WHY_AFTER_SECONDS", 0.01)
    (future,) = made(source)

    async def awaits() -> Any:
        return await future

    if way == "callback":
        future.add_done_callback(lambda settled: None)
    else:
        ways: dict[str, Callable[[], Any]] = {
            "await": lambda: asyncio.run(awaits()),
            "as_completed": lambda: next(as_completed([future])),
            "wait": lambda: wait([future]),
            "list": lambda: PrefectFutureList([future]).result(),
        }
        threading.Thread(target=ways[way], daemon=True).start()
    assert source.reminded.wait(20)
    future.settle_state(Completed())


@pytest.mark.parametrize("timeout", [1e300, float("inf")])
@pytest.mark.parametrize("way", ["result", "as_completed"])
def test_a_timeout_longer_than_a_clock_can_count_waits_for_ever(
    source: Source, way: str, timeout: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (waiting, completion):
        monkeypatch.setattr(module, "SAY_WHY_AFTER_SECONDS", 0.01)
    (future,) = made(source)

    def end_when_reminded() -> None:
        assert source.reminded.wait(20)
        future.settle_state(Completed(data=1))

    threading.Thread(target=end_when_reminded, daemon=True).start()
    if way == "result":
        assert future.result(timeout=timeout) == 1
    else:
        assert list(as_completed([future], timeout=timeout)) == [future]


def test_as_completed_gives_the_order_of_the_ends(source: Source) -> None:
    futures = made(source, 4)
    futures[2].settle_state(Completed())
    iterator = as_completed([*futures, futures[0]])
    assert next(iterator) is futures[2]
    for index in (3, 0, 1):
        futures[index].settle_state(Failed())
    assert list(iterator) == [futures[3], futures[0], futures[1]]


def test_as_completed_counts_what_is_left(source: Source) -> None:
    futures = made(source, 3)
    futures[0].settle_state(Completed())
    with pytest.raises(TimeoutError, match="2 of 3"):
        list(as_completed(futures, timeout=0.01))


def test_a_list_fails_with_the_first_failure(source: Source) -> None:
    futures = PrefectFutureList(made(source, 3))
    futures[1].settle_state(Failed(data=ValueError("first")))
    with pytest.raises(ValueError, match="first"):
        futures.result(timeout=60)
    with pytest.raises(TimeoutError, match="2 of 3"):
        futures.result(timeout=0.01, raise_on_failure=False)
    for future in futures:
        future.settle_state(Completed(data=1))
    first, error, last = futures.result(raise_on_failure=False)
    assert (first, str(error), last) == (1, "first", 1)
    assert [state.name for state in futures.states] == ["Completed", "Failed", "Completed"]


def test_a_list_fails_with_a_run_that_is_not_ready(source: Source) -> None:
    futures = PrefectFutureList(made(source, 2))
    futures[1].settle_state(NotReady(data="upstream"))
    with pytest.raises(UpstreamTaskError):
        futures.result(timeout=60)


def test_cancelling_asks_the_source_unless_it_has_ended(source: Source) -> None:
    (future,) = made(source)
    assert future.cancel()
    future.settle_state(Cancelled())
    assert not future.cancel()
    assert source.cancelled == [future.run_id]


def test_a_handle_is_its_id() -> None:
    run_id = new_run_id()
    one, other = PrefectFuture(run_id), PrefectFuture(uuid.UUID(run_id))
    assert one == other == pickle.loads(pickle.dumps(one))
    assert len({one, other}) == 1
    assert one != run_id
    assert str(one.task_run_id) == run_id
    for wrong in ("", "x", None, 7):
        with pytest.raises(ValueError, match="UUID"):
            PrefectFuture(wrong)  # type: ignore[arg-type]


def test_handles_inside_values_are_resolved(source: Source) -> None:
    good, bad = made(source, 2)
    good.settle_state(Completed(data=1))
    bad.settle_state(Failed(data=KeyError("x")))
    value = {"a": [good, (good, 2)], "b": {"c": bad}}
    states = resolve_futures_to_states(value)
    assert (states["a"][1][0].name, states["b"]["c"].name) == ("Completed", "Failed")
    assert resolve_futures_to_results([good, {"x": (good,)}]) == [1, {"x": (1,)}]
    with pytest.raises(KeyError):
        resolve_futures_to_results(value)


def test_a_negative_timeout(source: Source) -> None:
    with pytest.raises(ValueError, match="is no time to wait"):
        wait(made(source), timeout=-0.1)


def test_many_threads_settle_and_wait(source: Source) -> None:
    futures = made(source, 400)
    waiters = [threading.Thread(target=wait, args=(futures,), daemon=True) for _ in range(8)]
    settlers = [
        threading.Thread(target=lambda n=n: [future.settle_state(Completed(data=n)) for future in futures])
        for n in range(4)
    ]
    for thread in (*waiters, *settlers):
        thread.start()
    for thread in (*waiters, *settlers):
        thread.join(20)
        assert not thread.is_alive()
    assert all(future.settled for future in futures)
