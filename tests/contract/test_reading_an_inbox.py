"""A thread that waits reads the inbox by itself: it gets its end, everybody else gets theirs, and nothing is lost."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

from brokers.messages import RunEnd, Status
from brokers.redis import inbox as inbox_module
from brokers.redis import inbox_turn
from brokers.redis.broker import RedisBroker
from brokers.redis.inbox import RedisInbox
from tests.support.carriage import Calls
from tests.support.waiting import wait_until

FAR = 3600.0
LONG = 30.0


class Post:
    """What the inbox's own thread has got."""

    def __init__(self) -> None:
        self.ends: list[RunEnd] = []
        self.orders: list[tuple[str, str]] = []
        self.gaps = 0

    def gap(self) -> None:
        self.gaps += 1


class WaitFor:
    """The wait of a thread for one run."""

    interrupt: Callable[[], None] | None = None

    def __init__(self, run_id: str) -> None:
        self.run_id, self.is_over = run_id, False
        self.taken: list[tuple[RunEnd, str]] = []

    def take(self, end: RunEnd) -> bool:
        if end[0] != self.run_id:
            return False
        self.taken.append((end, threading.current_thread().name))
        self.is_over = True
        return True


class Reader:
    """A thread that waits for a run, and reads meanwhile."""

    def __init__(self, inbox: RedisInbox, wait: WaitFor, seconds: float = LONG) -> None:
        self._inbox, self._wait, self._until = inbox, wait, time.monotonic() + seconds
        self._thread = threading.Thread(target=self._run, name="waits", daemon=True)
        self._thread.start()
        wait_until(lambda: wait.interrupt is not None or not self._thread.is_alive(), message="it reads")

    def _run(self) -> None:
        self._inbox.read_here(self._wait, self._until)

    def has_done(self) -> bool:
        self._thread.join(10)
        return not self._thread.is_alive()


@pytest.fixture
def post() -> Post:
    return Post()


@pytest.fixture
def inbox(broker: RedisBroker, post: Post, monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisInbox]:
    """An inbox whose thread has left the turn to whoever waits, for an hour."""
    monkeypatch.setattr(inbox_turn, "LEFT_SECONDS", FAR)
    inbox = broker.inboxes.inbox(
        "me", on_settled=post.ends.extend, on_orders=post.orders.extend, on_gap=post.gap, is_quiet=lambda: True
    )
    inbox.start()
    leave(inbox, broker, post)
    yield inbox
    inbox.stop()


def leave(inbox: RedisInbox, broker: RedisBroker, post: Post) -> None:
    """Have the thread read once while somebody has asked for its turn."""
    wait_until(lambda: inbox._turn._reader is inbox._turn)
    inbox.read_here(WaitFor("nothing"), time.monotonic() + LONG)
    broker.inboxes.send_order("leave", ["me"])
    wait_until(lambda: post.orders and inbox._turn._reader is None)
    post.orders.clear()


def test_its_end_comes_to_the_thread_that_waits(calls: Calls, inbox: RedisInbox, post: Post) -> None:
    for _ in range(20):  # more than one lies there before the inbox is trimmed
        wait = WaitFor(calls.submit(reply_to="me"))
        reader = Reader(inbox, wait)
        calls.run_all()
        assert reader.has_done()
        assert wait.taken == [((wait.run_id, Status.COMPLETED, b"result"), "waits")]
        assert wait.interrupt is None
    assert not post.ends
    assert not post.gaps


def test_what_is_for_others_is_read_again_by_the_inboxs_thread(calls: Calls, inbox: RedisInbox, post: Post) -> None:
    wait, other = WaitFor(calls.submit(reply_to="me")), calls.submit(reply_to="me")
    reader = Reader(inbox, wait)
    one, two = calls.take()
    calls.end(two)
    assert reader.has_done()
    wait_until(lambda: post.ends)
    calls.end(one)
    wait_until(lambda: len(post.ends) == 2)
    assert [run_id for run_id, _, _ in post.ends] == [other, wait.run_id]
    assert not wait.taken
    assert not post.gaps


def test_ends_that_come_together_are_all_left_to_the_inboxs_thread(
    calls: Calls, broker: RedisBroker, inbox: RedisInbox, post: Post
) -> None:
    wait, other = WaitFor(calls.submit(reply_to="me")), calls.submit(reply_to="me")
    reader = Reader(inbox, wait)
    broker.deliveries.complete("worker", [calls.ack(one) for one in calls.take()])
    assert reader.has_done()
    wait_until(lambda: {run_id for run_id, _, _ in post.ends} == {wait.run_id, other})


def test_orders_are_handled_by_the_inboxs_thread(
    calls: Calls, broker: RedisBroker, inbox: RedisInbox, post: Post
) -> None:
    reader = Reader(inbox, WaitFor(calls.submit(reply_to="me")))
    broker.inboxes.send_order("cancel", ["me"])
    assert reader.has_done()
    wait_until(lambda: post.orders == [("cancel", "")])


def test_a_message_that_somebody_damaged_is_the_inboxs_threads(
    calls: Calls, broker: RedisBroker, inbox: RedisInbox, post: Post
) -> None:
    reader = Reader(inbox, WaitFor(calls.submit(reply_to="me")))
    calls.command("XADD", broker.keys.inbox("me"), "*", "o", "\xc1")
    assert reader.has_done()
    wait_until(lambda: post.gaps)


def test_when_the_time_is_over_the_inboxs_thread_goes_on_with_the_same_read(
    calls: Calls, inbox: RedisInbox, post: Post
) -> None:
    wait = WaitFor(calls.submit(reply_to="me"))
    for seconds in (0.0, 0.001, 0.05):
        assert Reader(inbox, wait, seconds).has_done()
    calls.run_all()
    wait_until(lambda: post.ends)
    assert not wait.taken
    assert not post.gaps, "its connection was not lost"


def test_a_connection_that_is_lost_is_mended_by_the_inboxs_thread(calls: Calls, inbox: RedisInbox, post: Post) -> None:
    reader = Reader(inbox, WaitFor(calls.submit(reply_to="me")))
    calls.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    assert reader.has_done()
    wait_until(lambda: post.gaps)
    calls.run_all()
    wait_until(lambda: post.ends)


def test_an_inbox_that_is_gone_is_made_again_by_the_inboxs_thread(
    calls: Calls, broker: RedisBroker, inbox: RedisInbox, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox_module, "BLOCK_SECONDS", 0.1)
    monkeypatch.setattr(inbox_module, "UPKEEP_SECONDS", 0.0)
    calls.command("DEL", broker.keys.inbox("me"))
    assert Reader(inbox, WaitFor(calls.submit(reply_to="me"))).has_done()
    wait_until(lambda: post.gaps and calls.command("EXISTS", broker.keys.inbox("me")))
    calls.submit(reply_to="me")
    calls.run_all()
    wait_until(lambda: post.ends)


def test_a_wait_that_ends_otherwise_is_interrupted(calls: Calls, inbox: RedisInbox, post: Post) -> None:
    wait = WaitFor(calls.submit(reply_to="me"))
    reader = Reader(inbox, wait)
    interrupt, wait.is_over = wait.interrupt, True
    assert interrupt is not None
    interrupt()
    assert reader.has_done()
    interrupt()  # it does nothing to those who read afterwards
    wait_until(lambda: post.gaps)
    calls.run_all()
    wait_until(lambda: post.ends)


def test_an_inbox_that_is_stopped_lets_whoever_reads_go(calls: Calls, inbox: RedisInbox) -> None:
    reader = Reader(inbox, WaitFor(calls.submit(reply_to="me")))
    inbox.stop()
    assert reader.has_done()


def test_nobody_reads_beside_another(calls: Calls, inbox: RedisInbox) -> None:
    wait = WaitFor(calls.submit(reply_to="me"))
    reader = Reader(inbox, wait)
    second = WaitFor(calls.submit(reply_to="me"))
    inbox.read_here(second, time.monotonic() + LONG)  # at once
    assert second.interrupt is None
    calls.end(calls.take()[0])
    assert reader.has_done()
    assert wait.taken


@pytest.mark.parametrize("moment", ["while it waits", "while it takes its end"])
def test_ctrl_c_in_a_thread_that_reads_loses_nothing(calls: Calls, inbox: RedisInbox, post: Post, moment: str) -> None:
    wait = WaitFor(calls.submit(reply_to="me"))

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        if moment == "while it waits":
            main = threading.main_thread().ident
            assert main is not None
            threading.Thread(
                target=lambda: _when_read(inbox, lambda: signal.pthread_kill(main, signal.SIGUSR1))
            ).start()
        else:
            calls.run_all()
            wait.take = _raises  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt):
            inbox.read_here(wait, time.monotonic() + LONG)
    finally:
        signal.signal(signal.SIGUSR1, before)
    wait_until(lambda: post.gaps, message="what may have been lost is asked for")
    calls.run_all()
    wait_until(lambda: [run_id for run_id, _, _ in post.ends] == [wait.run_id], message="it is read once more")


def _when_read(inbox: RedisInbox, then: Callable[[], None]) -> None:
    wait_until(lambda: inbox._asked_at is not None)
    then()


def _raises(end: Any) -> bool:
    raise KeyboardInterrupt
