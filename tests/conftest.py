"""Fixtures for all suites. The servers are started once per test process; tests keep apart by their namespaces."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NoReturn

import pytest

from tests.support.celery_engine import collect_retired
from tests.support.forked import end_templates
from tests.support.rabbitmq import RabbitMQ, is_installed
from tests.support.rows import split
from tests.support.servers import PROGRAMS, ServerProcess, find_program
from tests.support.stalls import Watch

LONGEST = "test_cut_sweep.py"  # else one process might have one of its tests left when the others have nothing more
NO_RABBITMQ = "no RabbitMQ on this machine (Debian: apt-get install rabbitmq-server)"
os.environ["ORCHESTRATOR_PROFILES_PATH"] = os.devnull  # no test depends on a profile of whoever runs it


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--every-row``: nothing is left to ``make test-all``."""
    parser.addoption("--every-row", action="store_true", help="run every suite on every server and engine")


def pytest_configure(config: pytest.Config) -> None:
    """See tests/support/stalls.py."""
    config.pluginmanager.register(Watch(config))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with what takes longest, and leave out what another row proves, see tests/support/rows.py."""
    items.sort(key=lambda item: item.path.name != LONGEST)
    if config.getoption("--every-row"):
        return
    kept, left_out = split(items)
    items[:] = kept
    config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="session")
def thorough(request: pytest.FixtureRequest) -> bool:
    """Whether nothing is left to `make test-all`."""
    return bool(request.config.getoption("--every-row"))


def skip_without(reason: str) -> NoReturn:
    """A program is not here: the test is skipped on a laptop and fails on CI."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def program_or_skip(name: str) -> Path:
    """The server program."""
    found = find_program(name)
    if found is None:
        skip_without(f"no server program {name!r} on this machine")
    return found


@pytest.fixture(scope="session", params=PROGRAMS)
def server_program(request: pytest.FixtureRequest) -> Path:
    """The program of each server that we support."""
    return program_or_skip(request.param)


@pytest.fixture(scope="session")
def servers() -> Iterator[Callable[[Path], ServerProcess]]:
    """The running server of a program, started when the first test of this process asks for it."""
    started: dict[Path, ServerProcess] = {}
    with ExitStack() as ends:  # all of them, though one fails

        def running(program: Path) -> ServerProcess:
            if program not in started:
                started[program] = process = ServerProcess(program)
                ends.callback(process.close)
                process.start()
            return started[program]

        yield running
        ends.callback(end_templates)
        ends.callback(collect_retired)


@pytest.fixture(scope="module")
def server(server_program: Path, servers: Callable[[Path], ServerProcess]) -> ServerProcess:
    """A running server of the suite's ``server_program``, shared by the tests of this process.

    Use a namespace of your own, and change no setting.
    """
    return servers(server_program)


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[RabbitMQ]:
    """A RabbitMQ node, shared by the tests of this process: use a namespace of your own, and leave it running."""
    if not is_installed():
        skip_without(NO_RABBITMQ)
    node = RabbitMQ()
    with closing(node):
        node.start()
        yield node
        collect_retired()


@pytest.fixture
def own_server(server_program: Path) -> Iterator[Callable[..., ServerProcess]]:
    """Start a server for this test alone, which it may kill, fill up or misconfigure; takes its options."""
    with ExitStack() as ends:

        def start(*options: str, tcp: bool = False) -> ServerProcess:
            process = ServerProcess(server_program, *options, tcp=tcp)
            ends.callback(process.close)
            return process.start()

        yield start


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The figure of the cut sweep, added up over all test processes."""
    reports = [report for some in terminalreporter.stats.values() for report in some]
    calls = [report for report in reports if getattr(report, "when", "") == "call"]
    rows = [value for call in calls for name, value in call.user_properties if name == "cut sweep"]
    if rows:
        commands, tries, left_out, reached, violations = (sum(column) for column in zip(*rows, strict=True))
        terminalreporter.write_line(
            f"cut sweep: {len(rows)} scenarios (one per side), {commands} commands broken in {tries} runs, {reached} "
            f"with the fault met, violations = {violations}; left out: {left_out} runs, see tests/support/sweep.py"
        )


@pytest.fixture
def namespace() -> str:
    """A namespace that no other test uses."""
    return f"t-{secrets.token_hex(5)}"
