"""A test run that stands still ends, and says where; a failure is told when it happens.

`pytest-timeout` ends a test by a signal, which Python hands to the main thread between two of its instructions. That
thread may wait in C, or in an `except` that takes everything; or what it was interrupted in has a `finally` that waits
as well, as a pool of threads has at its end, and Hypothesis runs what failed once more. So the signal comes again and
again, also while fixtures end. A second clock, which needs no Python, writes where each thread stands and ends the
process: pytest-xdist then calls that test failed and goes on in a new one. It learns of the end by the pipe between
them, which a process that a test has forked would keep open: that one gives it back.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, Final

import pytest
from _pytest.outcomes import OutcomeException

GRACE_SECONDS: Final = 60.0
"""For what pytest-timeout does at first: it is the better way, as the process goes on."""
AGAIN_SECONDS: Final = 15.0
"""Between its signals, from the second on: each ends one wait."""
DIE_WITH_PARENT: Final = 1  # PR_SET_PDEATHSIG


class TooLong(OutcomeException):
    """A test or its fixtures took too long. Not ``pytest.fail``: Hypothesis takes that for a find, and tries again."""


class Watch:
    """Of one process: a test process, the one that hands tests out, or both in one (``-n 0``)."""

    def __init__(self, config: pytest.Config) -> None:
        self._began = time.monotonic()
        self._is_alone = not config.getoption("numprocesses", None) and not hasattr(config, "workerinput")
        self._hands_out = not self._is_alone and not hasattr(config, "workerinput")
        self._running: dict[str, float] = {}
        self._plugins = config.pluginmanager
        self._seconds = 0.0
        self._usual_seconds = float(config.getini("timeout"))
        self._settings: Any = None
        with config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():  # type: ignore[union-attr]
            self._stderr = os.dup(2)
        _give_back_in_forks(_pipes_to_xdist(config))

    # -- where tests run ---------------------------------------------------------------------------------------------

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        marker = item.get_closest_marker("timeout")
        seconds = float(marker.args[0] if marker and marker.args else item.config.getini("timeout"))
        self._seconds = 0.0 if self._is_alone else seconds + GRACE_SECONDS  # alone there may be a debugger
        self._set()
        try:
            return (yield)
        finally:
            faulthandler.cancel_dump_traceback_later()

    @pytest.hookimpl(wrapper=True, optionalhook=True)
    def pytest_timeout_set_timer(self, settings: Any) -> Iterator[Any]:
        is_set = yield
        self._settings = settings
        if settings.method == "signal" and threading.current_thread() is threading.main_thread():
            say_where: Any = signal.getsignal(signal.SIGALRM)

            def interrupt(number: int, frame: object) -> None:
                try:
                    say_where(number, frame)
                except pytest.fail.Exception as error:
                    raise TooLong(str(error)) from None

            signal.signal(signal.SIGALRM, interrupt)
            signal.setitimer(signal.ITIMER_REAL, settings.timeout, AGAIN_SECONDS)
        return is_set

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, call: pytest.CallInfo[None]) -> None:
        if call.excinfo is not None and self._settings is not None and self._settings.method == "signal":
            signal.setitimer(signal.ITIMER_REAL, 0)  # between a test and its fixtures a signal would end pytest

    @pytest.hookimpl(trylast=True)
    def pytest_exception_interact(self, node: object) -> None:
        """Pytest stops its clocks here, and the test's fixtures have yet to end."""
        if isinstance(node, pytest.Item) and self._settings is not None:
            seconds = min(self._settings.timeout, self._usual_seconds)
            node.ihook.pytest_timeout_set_timer(item=node, settings=self._settings._replace(timeout=seconds))
            self._seconds = min(self._seconds, seconds + GRACE_SECONDS)
        self._set()

    def _set(self) -> None:
        if self._seconds:
            faulthandler.dump_traceback_later(self._seconds, file=self._stderr, exit=True)

    # -- where they are handed out -----------------------------------------------------------------------------------

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._running[nodeid] = time.monotonic()

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._running.pop(nodeid, None)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if self._hands_out and report.failed:
            self._running.pop(report.nodeid, None)
            passed = time.monotonic() - self._began
            last = (report.longreprtext.strip() or "no words").splitlines()[-1]
            terminal: Any = self._plugins.getplugin("terminalreporter")
            terminal.write_line(f"\nat {passed:.0f} s: {report.nodeid} failed in its {report.when}: {last}")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for nodeid, began in self._running.items():
            terminalreporter.write_line(f"did not end, {time.monotonic() - began:.0f} s: {nodeid}")


def _pipes_to_xdist(config: pytest.Config) -> list[int]:
    """The descriptors by which a test process talks to the one that hands tests out; none where that is one process."""
    channels = (getattr(plugin, "channel", None) for plugin in config.pluginmanager.get_plugins())
    ends = [channel.gateway._io for channel in channels if hasattr(channel, "gateway")]
    return [file.fileno() for end in ends for file in (end.infile, end.outfile)]


def _give_back_in_forks(pipes: list[int]) -> None:
    """A process that a test forks has no part in them, and ends with this one (Linux, if the main thread forked it)."""
    if not pipes:
        return
    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None
    main_thread = threading.get_ident()  # the kernel means the end of the thread that forked

    def after_fork() -> None:
        nothing = os.open(os.devnull, os.O_RDWR)
        for pipe in pipes:
            os.dup2(nothing, pipe, inheritable=False)
        os.close(nothing)
        if prctl is not None and threading.get_ident() == main_thread:
            prctl(DIE_WITH_PARENT, signal.SIGKILL)

    os.register_at_fork(after_in_child=after_fork)
