"""A test run that stands still ends, and says where; a failure is told when it happens.

`pytest-timeout` ends a test by a signal, which Python hands to the main thread between two of its instructions. That
thread may wait in C, or in an `except` that takes everything. So a second clock, which needs neither, writes where each
thread stands and ends the process: pytest-xdist then calls that test failed and goes on in a new one.
"""

from __future__ import annotations

import faulthandler
import os
import time
from collections.abc import Iterator
from typing import Any, Final

import pytest

GRACE_SECONDS: Final = 60.0
"""For what pytest-timeout does at first: it is the better way, as the process goes on."""


class Watch:
    """Of one process: a test process, the one that hands tests out, or both in one (``-n 0``)."""

    def __init__(self, config: pytest.Config) -> None:
        self._began = time.monotonic()
        self._is_alone = not config.getoption("numprocesses", None) and not hasattr(config, "workerinput")
        self._hands_out = not self._is_alone and not hasattr(config, "workerinput")
        self._running: dict[str, float] = {}
        self._plugins = config.pluginmanager
        self._seconds = 0.0
        with config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():  # type: ignore[union-attr]
            self._stderr = os.dup(2)

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

    @pytest.hookimpl(trylast=True)
    def pytest_exception_interact(self) -> None:
        self._set()  # pytest stops its own clocks here, and the test's fixtures have yet to end

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
