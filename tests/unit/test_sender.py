"""Who sends together, who waits for whom and for how long, and what is told of calls that could not all be sent."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from brokers.errors import BrokerError, BrokerUnavailable, QueueFull
from brokers.messages import Envelope
from brokers.sender import LARGE_CALLS, Sender
from tests.support.waiting import wait_until


def calls(count: int, queue: str = "default", name: str = "run") -> list[Envelope]:
    return [Envelope(f"{name} {number}", "task", f"{queue}:ds", b"") for number in range(count)]


class Store:
    """Takes what comes, unless a gate is shut or a queue is full."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.full: set[str] = set()
        self.stored: list[str] = []
        self.trips = 0

    def submit(self, envelopes: Sequence[Envelope]) -> list[str]:
        self.trips += 1
        assert self.gate.wait(20)
        for envelope in envelopes:
            if envelope.route[:-3] in self.full:
                raise QueueFull(f"the queue {envelope.route[:-3]} is full")
        run_ids = [envelope.run_id for envelope in envelopes]
        self.stored += run_ids
        return run_ids


@pytest.fixture
def store() -> Store:
    return Store()


def send(sender: Sender, envelopes: Sequence[Envelope]) -> list[str] | BrokerError:
    try:
        return sender.send(envelopes)
    except BrokerError as error:
        return error


def asend(sender: Sender, envelopes: Sequence[Envelope]) -> list[str] | BrokerError:
    async def main() -> list[str]:
        return await sender.asend(envelopes)

    try:
        return asyncio.run(main())
    except BrokerError as error:
        return error


@pytest.mark.parametrize("way", [send, asend])
def test_nobody_waits_for_others_that_send_longer_than_a_call_may_take(store: Store, way: Callable[..., Any]) -> None:
    sender = Sender(store.submit, seconds=0.1)
    store.gate.clear()
    with ThreadPoolExecutor(1) as other:
        stuck = other.submit(send, sender, calls(1, name="stuck"))
        wait_until(lambda: store.trips == 1)
        error = way(sender, calls(1))
        assert isinstance(error, BrokerUnavailable)
        assert "Nothing was sent" in str(error)
        assert not error.doubtful_run_ids
        store.gate.set()
        assert stuck.result() == ["stuck 0"]
    sender.flush()
    assert store.stored == ["stuck 0"]  # and what was given up is not sent later


def test_a_coroutine_whose_call_is_on_its_way_is_told_that_it_may_have_been_sent(store: Store) -> None:
    sender = Sender(store.submit, seconds=0.1)
    store.gate.clear()
    error = asend(sender, calls(1))
    assert isinstance(error, BrokerUnavailable)
    assert error.doubtful_run_ids == ("run 0",)
    assert "may have been sent" in str(error)
    store.gate.set()


@pytest.mark.parametrize("way", [send, asend])
def test_a_full_queue_holds_up_no_other_queue(store: Store, way: Callable[..., Any]) -> None:
    sender = Sender(store.submit, wait_for_room_seconds=60)
    store.full.add("full")
    told = threading.Event()
    sender.send_buffered(calls(1, "full", "soon"), lambda parcel: told.set())
    with ThreadPoolExecutor(6) as others:
        waiting = [others.submit(way, sender, calls(1, "full", f"waits{number}")) for number in range(6)]
        wait_until(lambda: store.trips > 7)
        assert send(sender, calls(1, "other")) == ["run 0"]
        assert asend(sender, calls(1, "other")) == ["run 0"]
        assert not told.is_set()
        assert not any(one.done() for one in waiting)
        store.full.clear()
        assert sorted(one.result() for one in waiting) == [[f"waits{number} 0"] for number in range(6)]
    assert told.wait(20)
    assert store.stored.count("soon 0") == 1


def test_the_patience_with_a_full_queue_is_that_of_each_call(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    sender = Sender(store.submit, wait_for_room_seconds=0.2)
    store.full.add("full")
    errors: list[Any] = []
    sender.send_buffered(calls(1, "full"), lambda parcel: errors.append(parcel.error))
    sender.flush(wait_for_room=True)
    assert isinstance(errors[0], QueueFull)
    assert isinstance(send(sender, calls(1, "full")), QueueFull)
    assert isinstance(asend(sender, calls(1, "full")), QueueFull)


@pytest.mark.parametrize("soon", [False, True])
def test_a_large_map_is_sent_beside_others(store: Store, soon: bool) -> None:
    large_gate = threading.Event()

    def submit(envelopes: Sequence[Envelope]) -> list[str]:
        if len(envelopes) > LARGE_CALLS:
            assert large_gate.wait(20)
        return store.submit(envelopes)

    sender = Sender(submit, seconds=20)
    large = calls(LARGE_CALLS + 1, name="large")
    sent = threading.Event()
    if soon:
        sender.send_buffered(large, lambda parcel: sent.set())
        thread = threading.Thread(target=sender.flush)
    else:
        thread = threading.Thread(target=lambda: (sender.send(large), sent.set()))
    thread.start()
    assert send(sender, calls(1)) == ["run 0"]
    assert not sent.is_set()
    large_gate.set()
    assert sent.wait(20)
    thread.join(20)


def test_calls_that_share_a_trip_get_their_own_run_ids_of_its_error() -> None:
    gate = threading.Event()
    trips: list[int] = []

    def submit(envelopes: Sequence[Envelope]) -> list[str]:
        trips.append(len(envelopes))
        if len(trips) == 1:
            assert gate.wait(20)
            return [envelope.run_id for envelope in envelopes]
        error = BrokerUnavailable("gone")
        error.reply_lost = True
        error.queued_run_ids = (envelopes[0].run_id,)
        error.doubtful_run_ids = tuple(envelope.run_id for envelope in envelopes[1:])
        raise error

    sender = Sender(submit)
    with ThreadPoolExecutor(3) as pool:
        pool.submit(send, sender, calls(1, name="first"))
        wait_until(lambda: len(trips) == 1)
        pair = [pool.submit(send, sender, calls(1, name=name)) for name in ("a", "b")]
        wait_until(lambda: len(sender._waiting) == 2)
        gate.set()
        errors: list[Any] = [one.result() for one in pair]
    assert trips == [1, 2]
    assert errors[0] is not errors[1]
    told = sorted((*error.queued_run_ids, *error.doubtful_run_ids) for error in errors)
    assert told == [("a 0",), ("b 0",)]


def test_time_passes_once_for_all_that_a_call_waits_for() -> None:
    """The thread's deadline reaches the submit of whoever has waited for the turn."""
    from brokers.deadline import within

    left: list[float] = []
    gate = threading.Event()

    def submit(envelopes: Sequence[Envelope]) -> list[str]:
        left.append(within(1000) - time.monotonic())
        if len(left) == 1:
            assert gate.wait(20)
        return [envelope.run_id for envelope in envelopes]

    sender = Sender(submit, seconds=60)
    with ThreadPoolExecutor(2) as pool:
        pool.submit(send, sender, calls(1, name="first"))
        wait_until(lambda: len(left) == 1)
        second = pool.submit(send, sender, calls(1))
        wait_until(lambda: len(sender._waiting) == 1)
        gate.set()
        assert second.result() == ["run 0"]
    assert left[1] < 60


@pytest.mark.parametrize("interruption", [KeyboardInterrupt(), TimeoutError("the time of the task is over")])
def test_what_a_thread_sends_that_is_interrupted_is_sent_by_another(store: Store, interruption: BaseException) -> None:
    interruptions = [interruption]

    def submit(envelopes: Sequence[Envelope]) -> list[str]:
        if interruptions:
            raise interruptions.pop()
        return store.submit(envelopes)

    sender = Sender(submit)
    with pytest.raises(type(interruption)):
        sender.send(calls(1))
    wait_until(lambda: store.stored == ["run 0"])
    assert send(sender, calls(1, name="next")) == ["next 0"]


def test_an_error_that_nobody_has_thought_of_is_raised_and_nothing_is_sent_again(store: Store) -> None:
    def submit(envelopes: Sequence[Envelope]) -> list[str]:
        store.trips += 1
        raise ZeroDivisionError

    sender = Sender(submit)
    with pytest.raises(ZeroDivisionError):
        sender.send(calls(1))
    sender.flush()
    assert store.trips == 1


def test_those_who_send_while_one_is_under_way_share_the_next_trip(store: Store) -> None:
    sender = Sender(store.submit)
    store.gate.clear()
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(send, sender, calls(1, name="first"))
        wait_until(lambda: store.trips == 1)
        others = [pool.submit(send, sender, calls(1, name=f"other{number}")) for number in range(7)]
        wait_until(lambda: len(sender._waiting) == 7)
        store.gate.set()
        assert first.result() == ["first 0"]
        assert [one.result() for one in others] == [[f"other{number} 0"] for number in range(7)]
    assert store.trips == 2


@pytest.mark.parametrize("way", ["buffered", "at once", "from a loop"])
def test_a_call_that_waits_for_calls_of_a_large_map_does_not_overtake_it(store: Store, way: str) -> None:
    """The store would know none of its upstreams, and start it."""
    sender = Sender(store.submit)
    large = calls(LARGE_CALLS + 1)
    after = [Envelope("after", "task", "default:ds", b"", extras={"r": [(large[-1].run_id, True)]})]
    store.gate.clear()
    sender.send_buffered(large, lambda parcel: None)
    wait_until(lambda: store.trips == 1, 10, "the large map is on its way")
    if way == "buffered":
        sender.send_buffered(after, lambda parcel: None)
        threading.Thread(target=sender.flush, daemon=True).start()
    else:
        threading.Thread(target=send if way == "at once" else asend, args=(sender, after), daemon=True).start()
    store.gate.set()
    wait_until(lambda: "after" in store.stored, 10, "it is sent")
    assert store.stored.index("after") > store.stored.index(large[-1].run_id)


def test_the_thread_that_sends_for_others_ends_with_the_sender_and_what_comes_later_is_sent(store: Store) -> None:
    sender = Sender(store.submit)
    before = set(threading.enumerate())
    assert asend(sender, calls(1, name="first")) == ["first 0"]
    (thread,) = (thread for thread in set(threading.enumerate()) - before if thread.name == "sender")
    sender.close()
    thread.join(20)
    assert not thread.is_alive()
    assert asend(sender, calls(1, name="later")) == ["later 0"]
    sender.close()


def test_nothing_is_left_behind_that_is_sent_while_the_sender_is_closed(store: Store) -> None:
    sender = Sender(store.submit)
    sent: list[str] = []
    for number in range(300):
        sender.send_buffered(calls(1, name=str(number)), lambda parcel: sent.extend(parcel.run_ids))
        sender.close()
    wait_until(lambda: len(sent) == 300)
