"""The cut sweep: every command of every scenario is broken in every way, and each time the oracle judges what is left.

A scenario is run once without faults, which tells the commands that its client and its worker send. Then it is run
again for each of them and each fault, in a fresh namespace. ``ORCHESTRATOR_SWEEP=full`` also sweeps Debian's server and
the handshakes of every scenario (the handshake is the same everywhere: otherwise only the first scenario's is swept).
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from brokers.contract import Status
from orchestrator.errors import BrokerError, RunCancelled
from orchestrator.futures import PrefectFuture
from orchestrator.tasks import Task
from tests.conftest import program_or_skip
from tests.support import tracing
from tests.support.fault_proxy import (
    CUT_AFTER,
    CUT_BEFORE,
    LOADING,
    NOSCRIPT,
    OOM,
    READONLY,
    Fault,
    FaultProxy,
    Point,
    delayed,
    held,
)
from tests.support.fault_rig import LATE_SECONDS, Rig
from tests.support.oracle import Model
from tests.support.servers import ServerProcess

pytestmark = [pytest.mark.slow, pytest.mark.needs_server, pytest.mark.usefixtures("fleets_by_thread")]

FULL: Final = os.environ.get("ORCHESTRATOR_SWEEP") == "full"
FAULTS: Final = (
    CUT_BEFORE, CUT_AFTER, held(LATE_SECONDS), delayed(LATE_SECONDS), OOM, READONLY, NOSCRIPT, LOADING,
)  # fmt: skip
AT_ONCE: Final = 6
WAIT_SECONDS: Final = 12.0  # after one fault everything is to be right again long before


# -- scenarios: what the client does; the rig is set up and the worker is running ------------------------------------


def call(rig: Rig, task: Task[..., object], *args: object, model: Model, **options: object) -> PrefectFuture[object]:
    """Send a call until it is accepted. Repeating is safe because of the key."""
    key = secrets.token_hex(8)
    future = rig.oracle.within(
        WAIT_SECONDS,
        lambda: task.apply_async((str(rig.trace), *args), idempotency_key=key, **options),
        "sending",
    )
    rig.oracle.expect(future.run_id, model)
    return future


def result(rig: Rig, future: PrefectFuture[object]) -> object:
    return rig.oracle.within(WAIT_SECONDS, lambda: future.result(timeout=WAIT_SECONDS), "result()")


def one_call(rig: Rig) -> None:
    assert result(rig, call(rig, tracing.add, 1, 2, model=Model(value=3))) == 3


def with_a_dependency(rig: Rig) -> None:
    first = call(rig, tracing.add, 1, 2, model=Model(value=3))
    second = call(rig, tracing.add, first, 10, model=Model(value=13))
    third = call(rig, tracing.add, 1, 1, model=Model(value=2), wait_for=[second])
    assert result(rig, third) == 2
    assert result(rig, second) == 13


def with_retries(rig: Rig) -> None:
    future = call(rig, tracing.fail_twice, model=Model(value="the third time", retries=2, starts=3))
    assert result(rig, future) == "the third time"


def cancelled(rig: Rig) -> None:
    nobody_reads = secrets.token_hex(4)
    future = call(rig, tracing.add, 1, 2, model=Model(Status.CANCELLED, starts=0), queue=nobody_reads)
    behind = call(rig, tracing.add, future, 2, model=Model(Status.NOT_READY, starts=0))
    rig.oracle.within(WAIT_SECONDS, future.cancel, "cancel()")
    with pytest.raises(RunCancelled):
        result(rig, future)
    state = rig.oracle.within(WAIT_SECONDS, lambda: (behind.wait(WAIT_SECONDS), behind.state)[1], "wait()")
    assert state.name == "NotReady"


def delayed_call(rig: Rig) -> None:
    future = call(rig, tracing.add, 1, 2, model=Model(value=3), countdown=0.3)
    assert result(rig, future) == 3


def map_with_logs(rig: Rig) -> None:
    """Ends come to the inbox named by the calls. A map has no key to repeat it by: a refused one is left alone."""
    texts = ["a", "b", "c"]
    try:
        futures = tracing.say.map([str(rig.trace)] * 3, texts)
    except BrokerError:  # accepted or not: the runs that the server has must end all the same
        return
    for future, text in zip(futures, texts, strict=True):
        rig.oracle.expect(future.run_id, Model(value=text.upper()))
    assert rig.oracle.within(WAIT_SECONDS, lambda: futures.result(timeout=WAIT_SECONDS), "result()") == ["A", "B", "C"]


SCENARIOS: Final[dict[str, Callable[[Rig], None]]] = {
    "one call": one_call,
    "dependency": with_a_dependency,
    "retries": with_retries,
    "cancel": cancelled,
    "delayed": delayed_call,
    "map with logs": map_with_logs,
}
SIDES: Final = ("client", "worker")


# -- running them ----------------------------------------------------------------------------------------------------


def run(server: ServerProcess, folder: Path, scenario: str, side: str, point: Point | None, fault: Fault) -> Outcome:
    """One run of a scenario with one fault, or none."""
    with Rig(server, folder) as rig:
        proxy: FaultProxy = getattr(rig, f"{side}_proxy")
        if point is not None:
            proxy.break_at(point, fault)
        try:
            with rig.working():
                SCENARIOS[scenario](rig)
                if proxy.hit.is_set():
                    proxy.over.wait(10)  # a call that arrives late is a call all the same
                rig.oracle.wait_until_settled(WAIT_SECONDS)
        except Exception as error:
            rig.oracle.blame("I5", f"the client got {type(error).__name__}: {error}")
        rig.fleet.close()
        faults = 0 if point is None else 1
        violations = rig.oracle.judge(faults=faults, nothing_left=not _at_the_end(point))
        return Outcome(proxy.seen, proxy.hit.is_set(), violations)


class Outcome:
    """What a run showed."""

    def __init__(self, seen: list[Point], hit: bool, violations: list[str]) -> None:
        self.seen, self.hit, self.violations = seen, hit, violations


def _at_the_end(point: Point | None) -> bool:
    return point is not None and point.name == "take_over"


@pytest.fixture(scope="module", params=["embedded", *(["redis-server"] if FULL else [])])
def swept_server(request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    process = ServerProcess(program_or_skip(request.param)).start()
    yield process
    process.close()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_whatever_command_is_broken(
    swept_server: ServerProcess,
    tmp_path: Path,
    scenario: str,
    side: str,
    record_property: Callable[[str, object], None],
) -> None:
    run(swept_server, tmp_path, scenario, side, None, CUT_BEFORE)  # the server learns the scripts
    whole = run(swept_server, tmp_path, scenario, side, None, CUT_BEFORE)
    assert not whole.violations
    points = [point for point in dict.fromkeys(whole.seen) if FULL or _worth_it(scenario, point)]

    def broken(point: Point, fault: Fault) -> Outcome:
        return run(swept_server, tmp_path, scenario, side, point, fault)

    tries = [(point, fault) for point in points for fault in FAULTS]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = list(pool.map(lambda case: broken(*case), tries))
    bad = [
        f"{scenario}, {side}: {fault.name} at {point}: {violation}"
        for (point, fault), outcome in zip(tries, outcomes, strict=True)
        for violation in outcome.violations
    ]
    reached = sum(outcome.hit for outcome in outcomes)
    record_property("cut sweep", [len(points), len(tries), reached, len(bad)])
    print(f"{scenario}, {side}: {len(points)} commands x {len(FAULTS)} faults = {len(tries)}, {reached} reached")
    assert not bad, "\n".join(bad)
    assert reached > len(tries) * 0.8, "too few: chores come when they like, but the rest must be met"


def _worth_it(scenario: str, point: Point) -> bool:
    return scenario == "one call" or not point.name.startswith("CLIENT")
