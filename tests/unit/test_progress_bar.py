"""Progress of a wait: lines elsewhere than on a terminal, a bar there."""

from __future__ import annotations

import os
import pty
import select
import sys
import threading
import uuid
from typing import Any

import pytest

from orchestrator.client import progress_bar
from orchestrator.futures import PrefectFuture, wait
from orchestrator.states import Completed, Failed, State


class Nowhere:
    """A source of futures that are settled by hand."""

    def attach(self, futures: list[PrefectFuture[Any]]) -> None:
        return None

    def latest_state(self, run_id: str) -> State[Any]:
        raise NotImplementedError

    def cancel(self, run_ids: list[str]) -> list[bool]:
        return [False] * len(run_ids)

    def look_for_standstill(self, futures: list[PrefectFuture[Any]], any_of: bool) -> bool:
        return False

    def still_waiting(self, futures: list[PrefectFuture[Any]]) -> None:
        return None

    def stop_watching(self, futures: list[PrefectFuture[Any]]) -> None:
        return None


def futures(count: int) -> list[PrefectFuture[Any]]:
    return [PrefectFuture(str(uuid.uuid4()), source=Nowhere()) for _ in range(count)]


def test_elsewhere_than_on_a_terminal_a_last_line_counts_the_states(capsys: pytest.CaptureFixture[str]) -> None:
    some = futures(5)
    for future in some[:3]:
        future.settle_state(Completed(data=1))
    some[3].settle(b"F", b"\0broken")
    threading.Timer(0.05, lambda: some[4].settle(b"C", b"")).start()
    done, not_done = wait(some, timeout=10, progress=True)
    assert (len(done), len(not_done)) == (5, 0)
    told = capsys.readouterr()
    assert told.out == ""
    (line,) = told.err.splitlines()
    assert line.startswith("5/5 ended in ")
    assert line.endswith("Completed 4  Failed 1")


def test_lines_come_now_and_then(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_bar, "LINE_SECONDS", 0.02)
    wait(futures(1), timeout=0.2, progress=True)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) > 2
    assert all(line.startswith("0/1 ended in ") for line in lines)


def everything_from(terminal: int) -> str:
    """What was written to it so far; it comes in pieces."""
    pieces = []
    while select.select([terminal], [], [], 0.2)[0]:
        pieces.append(os.read(terminal, 65536))
    return b"".join(pieces).decode()


def test_on_a_terminal_a_bar_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    master, slave = pty.openpty()
    some = futures(2)
    for future, state in zip(some, (Completed(data=1), Failed(message="no")), strict=True):
        future.settle_state(state)
    with open(slave, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setenv("TERM", "xterm")
        wait(some, progress=True)
        terminal.flush()
        drawn = everything_from(master)
    os.close(master)
    assert "2/2" in drawn
    assert "Completed 1" in drawn
    assert "Failed 1" in drawn


def test_nothing_is_written_unless_asked(capsys: pytest.CaptureFixture[str]) -> None:
    wait(futures(1), timeout=0.01)
    assert capsys.readouterr() == ("", "")
