"""Threads that read the inbox while they wait, beside all else that comes to it: every one gets what is his."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest

from brokers.redis import inbox_turn
from brokers.redis.inbox import RedisInbox
from orchestrator.client.fleet import current_fleet
from orchestrator.futures import PrefectFuture
from tests.behaviour.test_forks import forked, wait_for
from tests.support import signals
from tests.support.apps import basics
from tests.support.waiting import wait_until

APP = "tests.support.apps.basics"
pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture(autouse=True)
def is_left_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn is left until somebody else needs it, on a slow machine as well."""
    monkeypatch.setattr(inbox_turn, "LEFT_SECONDS", 5.0)


def inbox() -> RedisInbox:
    found = current_fleet().open_futures._inbox
    assert isinstance(found, RedisInbox)
    return found


def is_read_by_a_waiter() -> bool:
    turn = inbox()._turn
    return turn._reader not in (None, turn) and inbox()._asked_at is not None


class Held:
    """A call that runs until it is let go, and a thread that waits for it and reads."""

    def __init__(self, folder: Path) -> None:
        self.go_on = str(folder / "go on")
        entered = str(folder / "entered")
        wait_until(lambda: basics.add.submit(1).result() == 2 and inbox()._turn._left_until, message="its turn is left")
        self.future = basics.hold.submit(entered, self.go_on)
        self.result: str | None = None
        self._thread = threading.Thread(target=self._wait, daemon=True)
        self._thread.start()
        signals.wait_for(entered)

    def _wait(self) -> None:
        self.result = self.future.result(20)

    def let_go(self) -> None:
        signals.give(self.go_on)
        self._thread.join(20)
        assert self.result == "went on"


@pytest.fixture
def held(tmp_path: Path) -> Held:
    return Held(tmp_path)


def test_one_call_after_the_other_is_read_by_the_thread_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    take = RedisInbox._read_until

    def noted(inbox: RedisInbox, *arguments: object) -> bool:
        read.append(threading.current_thread().name)
        return take(inbox, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(RedisInbox, "_read_until", noted)
    wait_until(lambda: [basics.add.submit(n).result(20) for n in range(10)] == list(range(1, 11)) and len(read) > 10)
    assert set(read) == {threading.current_thread().name}


def test_what_others_wait_for_comes_while_a_thread_reads(held: Held) -> None:
    async def both() -> list[int]:
        return list(await asyncio.gather(basics.add.submit(1), basics.add.submit(2)))

    called = threading.Event()
    basics.add.submit(3).add_done_callback(lambda future: called.set())
    assert called.wait(20)
    assert asyncio.run(both()) == [2, 3]
    assert basics.add.map([1, 2, 3]).result() == [2, 3, 4]
    assert [basics.add.submit(n).result(20) for n in range(20)] == list(range(1, 21))
    held.let_go()


def test_a_callback_that_blocks_holds_nobody_up_who_waits(held: Held) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def block(future: PrefectFuture[str]) -> None:
        begun.set()
        go_on.wait(30)

    held.future.add_done_callback(block)
    held.let_go()
    assert begun.wait(20)
    assert [basics.add.submit(n).result(20) for n in range(20)] == list(range(1, 21))
    go_on.set()


def test_many_threads_that_wait_at_once_all_get_their_results() -> None:
    wrong: list[tuple[int, int]] = []

    def work(first: int) -> None:
        for n in range(first, first + 40):
            result = basics.add.submit(n).result(30)
            if result != n + 1:
                wrong.append((n, result))

    threads = [threading.Thread(target=work, args=(1000 * k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert not wrong


def test_a_wait_whose_time_is_over_while_it_reads_goes_on_later(tmp_path: Path) -> None:
    entered, go_on = str(tmp_path / "in"), str(tmp_path / "on")
    assert [basics.add.submit(n).result(20) for n in range(5)] == [1, 2, 3, 4, 5]
    future = basics.hold.submit(entered, go_on)
    for seconds in (0.0, 0.001, 0.01, 0.1):
        with pytest.raises(TimeoutError, match="has not ended within"):
            future.result(seconds)
    assert basics.add.submit(1).result(20) == 2
    signals.give(go_on)
    assert future.result(20) == "went on"


@pytest.mark.parametrize("when", ["it waits", "it has read"])
def test_after_ctrl_c_the_same_handle_can_be_waited_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    main = threading.main_thread().ident
    assert main is not None

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    def send(condition: Callable[[], object]) -> None:
        wait_until(condition)
        signal.pthread_kill(main, signal.SIGUSR1)

    go_on = str(tmp_path / "on")
    wait_until(lambda: basics.add.submit(1).result() == 2 and inbox()._turn._left_until)
    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        if when == "it waits":
            future = basics.hold.submit(str(tmp_path / "in"), go_on)
            threading.Thread(target=send, args=(is_read_by_a_waiter,)).start()
            with pytest.raises(KeyboardInterrupt):
                future.result(60)
            signals.give(go_on)
            assert future.result(20) == "went on"
        else:
            other = basics.add.submit(1)
            monkeypatch.setattr(PrefectFuture, "_settle_only", _interrupted)
            with pytest.raises(KeyboardInterrupt):
                other.result(60)
            monkeypatch.undo()
            assert other.result(20) == 2
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert [basics.add.submit(n).result(20) for n in range(5)] == [1, 2, 3, 4, 5]


def _interrupted(future: PrefectFuture[int], *arguments: object) -> bool:
    raise KeyboardInterrupt


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_while_a_thread_reads_has_an_inbox_of_its_own(held: Held, tmp_path: Path) -> None:
    child = forked(tmp_path / "child", lambda: [basics.add.submit(n).result(20) for n in range(10)])
    wait_for(child)
    assert json.loads((tmp_path / "child").read_text()) == list(range(1, 11))
    assert basics.add.submit(1).result(20) == 2
    held.let_go()
