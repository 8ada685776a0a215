"""Lines of workers: whole, in order, together where they come fast, and none twice."""

from __future__ import annotations

import logging
import os

import pytest

from orchestrator import task
from orchestrator.execution.attempt import Attempt
from orchestrator.states import Completed
from task_workers import logs
from task_workers.logs import MOST_LINES, ONE_WRITE_BYTES, LineHandler, LineWriter, StateLines
from tests.support.waiting import wait_until


class StandardError:
    """What has been written to standard error."""

    def __init__(self, captured: pytest.CaptureFixture[str]) -> None:
        self._captured = captured
        self.written = ""

    def read(self) -> str:
        """What has been written since."""
        found = self._captured.readouterr().err
        self.written += found
        return found


@pytest.fixture
def stderr(capfd: pytest.CaptureFixture[str]) -> StandardError:
    return StandardError(capfd)


@task
def noop() -> None:
    return None


def test_the_first_line_is_written_at_once_and_those_that_follow_fast_together(stderr: StandardError) -> None:
    writer = LineWriter("0", False)
    writer.write_soon("the first")
    assert stderr.read() == "the first\n"
    numbers = [f"line {number}" for number in range(5)]
    for line in numbers:
        writer.write_soon(line)
    wait_until(lambda: (stderr.read(), stderr.written.endswith("line 4\n"))[1])
    assert stderr.written.splitlines() == ["the first", *numbers]


def test_another_line_comes_after_those_that_wait(stderr: StandardError) -> None:
    writer = LineWriter("0", False)
    writer.write_soon("1")
    writer.write_soon("2")
    logger = logging.Logger("shop")
    logger.addHandler(LineHandler(writer))
    logger.warning("3")
    assert [line[-1] for line in stderr.read().splitlines()] == ["1", "2", "3"]


def test_many_lines_do_not_wait_and_no_write_is_longer_than_a_pipe_takes_as_a_whole(
    stderr: StandardError, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[int] = []
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, blob: writes.append(len(blob)) or write(fd, blob))
    writer = LineWriter("0", False)
    lines = [f"{number} " + "x" * 300 for number in range(10 * MOST_LINES)]
    for line in lines:
        writer.write_soon(line)
        stderr.read()
    writer.flush()
    stderr.read()
    assert stderr.written.splitlines() == lines
    assert max(writes) <= ONE_WRITE_BYTES


def test_what_steers_a_terminal_is_escaped_in_lines_that_are_written_together(stderr: StandardError) -> None:
    writer = LineWriter("0", False)
    for line in ("plain", "\x1b]0;title\x07", "caf\udce9"):
        writer.write_soon(line)
    writer.flush()
    assert stderr.read().splitlines() == ["plain", "\\x1b]0;title\\x07", "caf\\udce9"]


def test_a_forked_process_does_not_write_what_its_parent_has_to(stderr: StandardError) -> None:
    writer = LineWriter("0", False)
    writer.write_soon("the first")
    writer.write_soon("the parent's")
    pid = os.fork()
    if pid == 0:
        writer.flush()
        writer.write("the child's")
        os._exit(0)
    os.waitpid(pid, 0)
    writer.flush()
    stderr.read()
    assert sorted(stderr.written.splitlines()) == ["the child's", "the first", "the parent's"]


def test_a_run_has_a_line_when_it_starts_and_one_when_it_ends(stderr: StandardError) -> None:
    writer = LineWriter("3", False)
    lines, attempt = StateLines(writer), Attempt(noop, "run-1", [], {})
    lines.started(attempt, None, 0.0)
    writer.flush()
    lines.ended(attempt, Completed(data=1), 0.25)
    writer.flush()
    stderr.read()
    begun, ended = stderr.written.splitlines()
    assert begun.endswith("[3] Running   noop run-1")
    assert ended.endswith("[3] Completed noop run-1 0.250 s")
    assert lines.unwritten == {}


def test_a_run_that_ends_before_its_start_is_written_has_one_line(
    stderr: StandardError, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "TOGETHER_SECONDS", 60.0)
    writer = LineWriter("3", False)
    lines = StateLines(writer)
    writer.write_soon("now")  # what follows at once is written together
    short, long = Attempt(noop, "short", [], {}), Attempt(noop, "long", [], {})
    lines.started(short, None, 0.0)
    lines.started(long, None, 0.0)
    lines.ended(short, Completed(data=1), 0.001)
    writer.flush()
    stderr.read()
    assert [line.split("] ")[-1] for line in stderr.written.splitlines()] == [
        "now",
        "Running   noop long",
        "Completed noop short 0.001 s",
    ]
    assert lines.unwritten == {}
