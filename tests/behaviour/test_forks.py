"""Processes that split after the first use, as preloading web servers and pools do: both sides go on by themselves."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.futures import PrefectFuture
from tests.support.apps import basics
from tests.support.waiting import wait_until

APP = "tests.support.apps.basics"
pytestmark = [
    pytest.mark.usefixtures("worker"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),  # Python 3.12 and later: that is what is tested
]
CHILD_SECONDS = 60


def forked(answer: Path, work: Callable[[], object]) -> int:
    """A forked child that does some work and writes down what came of it, as JSON."""
    child = os.fork()
    if child:
        return child
    try:
        signal.alarm(CHILD_SECONDS)
        answer.write_text(json.dumps(work()))
    except BaseException as error:
        answer.write_text(json.dumps(repr(error)))
    finally:
        os._exit(0)


def wait_for(*children: int) -> None:
    for child in children:
        wait_until(lambda child=child: os.waitpid(child, os.WNOHANG)[0] == child, CHILD_SECONDS + 20, "a child ends")  # type: ignore[misc]


def serve(number: int) -> list[object]:
    """What a web worker does: fire and forget, wait for one, map."""
    sent = basics.add.delay(number)
    waited = basics.add.submit(number, 10).result(timeout=60)
    return [sent.result(timeout=60), waited, basics.add.map(range(20), number).result(timeout=60)]


def served(number: int) -> list[object]:
    return [number + 1, number + 10, [n + number for n in range(20)]]


def test_a_server_that_was_used_before_it_forks_its_workers(tmp_path: Path) -> None:
    """As gunicorn with preload_app, and again for a worker that comes later."""
    assert serve(1) == served(1)
    children = [forked(tmp_path / f"{n}", lambda n=n: serve(n)) for n in range(4)]  # type: ignore[misc]
    assert serve(50) == served(50)
    children.append(forked(tmp_path / "4", lambda: serve(4)))
    wait_for(*children)
    assert [json.loads((tmp_path / f"{n}").read_text()) for n in range(5)] == [served(n) for n in range(5)]
    assert serve(2) == served(2)


def test_a_fork_while_other_threads_send_and_wait(tmp_path: Path) -> None:
    over = threading.Event()
    sent: list[PrefectFuture[int]] = []
    failed: list[BaseException] = []

    def go_on(work: Callable[[], object]) -> None:
        try:
            while not over.is_set():
                work()
        except BaseException as error:
            failed.append(error)

    def send_on() -> None:
        sent.append(basics.add.delay(1))
        if len(sent) > 20:  # no more than a slow engine can do meanwhile
            sent[-20].wait(30)

    works: list[Callable[[], object]] = [
        send_on,
        lambda: basics.add.submit(2).result(timeout=60),
        lambda: basics.add.map(range(10)).result(timeout=60),
    ]
    threads = [threading.Thread(target=go_on, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: len(sent) > 5, 30, "calls are being sent")
        for n in range(6):
            wait_for(forked(tmp_path / f"{n}", lambda n=n: serve(n)))  # type: ignore[misc]
    finally:
        over.set()
        for thread in threads:
            thread.join(40)
    assert [json.loads((tmp_path / f"{n}").read_text()) for n in range(6)] == [served(n) for n in range(6)]
    assert not failed
    assert {future.result(timeout=60) for future in sent} == {2}


def test_a_pool_of_forked_processes() -> None:
    assert serve(1) == served(1)
    with multiprocessing.get_context("fork").Pool(3) as pool:
        answers = pool.map_async(serve, range(12)).get(timeout=100)
    assert answers == [served(n) for n in range(12)]
    assert serve(2) == served(2)


def test_a_handle_that_was_made_before_the_fork_is_good_on_both_sides(tmp_path: Path) -> None:
    futures = basics.add.map(range(30))
    waiting = [threading.Thread(target=future.result, args=(30,)) for future in futures[:5]]
    for thread in waiting:
        thread.start()
    child = forked(tmp_path / "answer", lambda: [futures.result(timeout=60), futures[3].cancel()])
    assert futures.result(timeout=60) == list(range(1, 31))
    wait_for(child)
    for thread in waiting:
        thread.join(30)
    assert json.loads((tmp_path / "answer").read_text()) == [list(range(1, 31)), False]
