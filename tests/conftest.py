"""Fixtures for all suites. The servers are started once per test process; tests keep apart by their namespaces."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.rabbitmq import RabbitMQ, is_installed
from tests.support.servers import PROGRAMS, ServerProcess, find_program


def program_or_skip(name: str) -> Path:
    """The server program; without it the test is skipped on a laptop and fails on CI."""
    found = find_program(name)
    if found is None:
        reason = f"no server program {name!r} on this machine"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@pytest.fixture(scope="session", params=PROGRAMS)
def server_program(request: pytest.FixtureRequest) -> Path:
    """The program of each server that we support."""
    return program_or_skip(request.param)


def running(program: Path) -> Iterator[ServerProcess]:
    """For a suite with a ``server_program`` of its own: it needs a ``server`` of its own, too, or gets another's."""
    process = ServerProcess(program).start()
    yield process
    process.close()


@pytest.fixture(scope="session")
def server(server_program: Path) -> Iterator[ServerProcess]:
    """A running server, shared by the tests of this process: use a namespace of your own, and change no setting."""
    yield from running(server_program)


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[RabbitMQ]:
    """A RabbitMQ node, shared by the tests of this process: use a namespace of your own, and leave it running."""
    if not is_installed():
        reason = "no RabbitMQ on this machine (Debian: apt-get install rabbitmq-server)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    node = RabbitMQ().start()
    yield node
    node.close()


@pytest.fixture
def own_server(server_program: Path) -> Iterator[Callable[..., ServerProcess]]:
    """Start a server for this test alone, which it may kill, fill up or misconfigure; takes its options."""
    started: list[ServerProcess] = []

    def start(*options: str, tcp: bool = False) -> ServerProcess:
        started.append(ServerProcess(server_program, *options, tcp=tcp).start())
        return started[-1]

    yield start
    for process in started:
        process.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The figure of the cut sweep, added up over all test processes."""
    reports = [report for some in terminalreporter.stats.values() for report in some]
    calls = [report for report in reports if getattr(report, "when", "") == "call"]
    rows = [value for call in calls for name, value in call.user_properties if name == "cut sweep"]
    if rows:
        commands, tries, reached, violations = (sum(column) for column in zip(*rows, strict=True))
        terminalreporter.write_line(
            f"cut sweep: {len(rows)} scenarios (one per side) with {commands} commands x {tries // commands} faults "
            f"= {tries} runs, {reached} of them with the fault met, violations = {violations}"
        )


@pytest.fixture
def namespace() -> str:
    """A namespace that no other test uses."""
    return f"t-{secrets.token_hex(5)}"
