"""What a process that is about to be killed says of where it is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from task_workers.supervisor.last_stack import MAX_SHOWN_BYTES, StackFile, stacks_from
from tests.support.waiting import wait_until

PROGRAM = """
import itertools, os, signal, sys, threading
from task_workers.supervisor.last_stack import report_stacks

def stuck():
    print(threading.get_ident(), flush=True)
    any(itertools.repeat(0))

fd = int(sys.argv[1])
report_stacks(fd)
{more}
stuck()
"""
OURS = "/somewhere/orchestrator/"


class Stuck:
    """A process that says in which thread it is, and then holds its interpreter for ever."""

    def __init__(self, stacks: StackFile, more: str = "", *arguments: str) -> None:
        program = PROGRAM.format(more=more)
        command = [sys.executable, "-c", program, str(stacks.fd), *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, pass_fds=(stacks.fd,))

    def __enter__(self) -> Stuck:
        assert self.process.stdout is not None
        self.thread = int(self.process.stdout.readline())
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.process.kill()
        self.process.communicate()

    def tells(self, stacks: StackFile) -> dict[int, str]:
        return stacks.ask(self.process.pid, {self.thread}, lambda: self.process.poll() is not None)


def test_a_process_that_holds_its_interpreter_tells_where_it_is_as_often_as_it_is_asked() -> None:
    stacks = StackFile()
    with Stuck(stacks) as stuck:
        where = ', in <module>\n  File "<string>", line 7, in stuck'
        wait_until(lambda: stuck.tells(stacks).get(stuck.thread, "").endswith(where))  # it has printed, and is stuck
        for _ in range(3):
            told = stuck.tells(stacks)
            assert told.keys() == {stuck.thread}
            assert told[stuck.thread].endswith(where)
    stacks.close()
    assert stuck.tells(stacks) == {}


def test_a_process_that_cannot_answer_is_not_waited_for_long() -> None:
    stacks = StackFile()
    with Stuck(stacks) as stuck:
        os.kill(stuck.process.pid, signal.SIGSTOP)
        assert stuck.tells(stacks) == {}
    assert stuck.tells(stacks) == {}  # and one that is gone
    stacks.close()


def test_an_app_that_has_its_own_handler_keeps_it() -> None:
    stacks = StackFile()
    with Stuck(stacks, "signal.signal(signal.SIGUSR2, lambda *args: None)") as stuck:
        assert stuck.tells(stacks) == {}
        assert stuck.process.poll() is None
    stacks.close()


def test_a_file_that_a_task_has_opened_under_the_same_number_is_not_written_to(tmp_path: Path) -> None:
    stacks, file = StackFile(), tmp_path / "file"
    more = "os.dup2(os.open(sys.argv[2], os.O_CREAT | os.O_RDWR), fd)"
    with Stuck(stacks, more, str(file)) as stuck:
        assert stuck.tells(stacks) == {}
        assert file.stat().st_size == 0
        os.kill(stuck.process.pid, signal.SIGUSR2)  # without looking
        wait_until(lambda: file.stat().st_size)
    stacks.close()


def dump(*frames: str, thread: str = "Thread 0x000000000000002a") -> str:
    return f"{thread} (most recent call first):\n" + "\n".join(f"  File {frame}" for frame in frames) + "\n"


def test_what_is_ours_around_the_task_is_left_out() -> None:
    (told,) = stacks_from(
        dump(
            '"/usr/lib/threading.py", line 5 in wait',
            f'"{OURS}execution/drivers.py", line 4 in _call',  # the task has called another task
            '"/app/tasks.py", line 3 in report',
            f'"{OURS}execution/task_steps.py", line 2 in <lambda>',
            f'"{OURS}execution/drivers.py", line 2 in _call',
            f'"{OURS}execution/drivers.py", line 1 in _do',
            '"/usr/lib/runpy.py", line 1 in run',
        )
    ).values()
    assert told.splitlines()[1:] == [
        '  File "/app/tasks.py", line 3, in report',
        f'  File "{OURS}execution/drivers.py", line 4, in _call',
        '  File "/usr/lib/threading.py", line 5, in wait',
    ]


def test_a_stack_that_never_reached_the_task_is_told_whole() -> None:
    (told,) = stacks_from(dump('"a.py", line 2 in pack', f'"{OURS}slots/delivered.py", line ??? in _body')).values()
    assert told.splitlines()[1:] == [
        f'  File "{OURS}slots/delivered.py", line ???, in _body',
        '  File "a.py", line 2, in pack',
    ]


def test_threads_are_kept_apart_and_what_is_no_frame_is_left_out() -> None:
    both = dump('"a.py", line 1 in f', "  <truncated", thread="Thread 0x01") + "\n" + dump(thread="Thread 0x03")
    told = stacks_from("garbage\n" + both + "\n" + dump('"b.py", line 2 in g', thread="Current thread 0x02 [main]"))
    assert {thread: text.splitlines()[1:] for thread, text in told.items()} == {
        1: ['  File "a.py", line 1, in f'],
        2: ['  File "b.py", line 2, in g'],
    }


def test_of_a_long_stack_the_innermost_frames_are_kept() -> None:
    frames = [f'"/app/{"deep" * 50}.py", line {depth} in recurse' for depth in range(100)]
    (told,) = stacks_from(dump(*frames)).values()
    assert MAX_SHOWN_BYTES - 300 < len(told.encode()) <= MAX_SHOWN_BYTES
    assert told.splitlines()[1] == "  ..."
    assert told.endswith(", line 0, in recurse")
