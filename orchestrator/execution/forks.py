"""A task may fork: the copy of the worker that comes of it runs the task's code to its end, and nothing of ours.

The copy has the worker's sockets, its event loop and its claims, but none of its threads. When the task's function
ends in it, by whatever way, the process ends: it stores no outcome and takes no further call. Calls that are made here
and now (``my_task(x)``), and forks outside of any call, are left alone, as in any Python program.
"""

from __future__ import annotations

import asyncio
import os
import sys
import traceback
from contextlib import suppress
from typing import NoReturn

from orchestrator.client.slot_lending import place_here, this_thread

split_off = False
"""Whether this process was forked by a call that a worker runs."""


def _after_fork() -> None:
    global split_off
    place = place_here()
    if place is None:
        return
    split_off = place.over = True  # its lane has no threads here
    if this_thread.shared_loop is not None:
        _end_when_it_yields(this_thread.shared_loop)


def _end_when_it_yields(loop: asyncio.AbstractEventLoop) -> None:
    """The loop of the worker has other calls to go on with, which the worker goes on with as well."""
    ready = getattr(loop, "_ready", None)  # asyncio's own loop; with another one they have a moment before we end
    if ready is not None:
        ready.clear()
    loop.call_soon(_cannot_await)


def _cannot_await() -> None:
    _write("orchestrator: a process that was forked in an async task cannot await anything; it ends\n")
    _leave(1)


def end(error: BaseException | None) -> NoReturn:
    """End this process as a program does whose main function has returned, or raised ``error``."""
    if error is None:
        _leave(0)
    if isinstance(error, SystemExit):
        if error.code is None or isinstance(error.code, int):
            _leave(error.code or 0)
        _write(f"{error.code}\n")
        _leave(1)
    _write("".join(traceback.format_exception(error)))
    _leave(1)


def _write(text: str) -> None:
    with suppress(Exception):  # tasks may have put anything in its place, None for instance
        sys.stderr.write(text)


def _leave(code: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(code & 0xFF)  # not the handlers of the worker, which would close what is the worker's


os.register_at_fork(after_in_child=_after_fork)
