"""The cut sweep: every command of every scenario is broken in every way, and each time the oracle judges what is left.

A scenario is run once without faults, which tells the commands that its client and its worker send. Then it is run
again for each of them and each fault, in a fresh namespace. What is left out, since it cannot turn out otherwise or is
for `make test-all`, is said in ``tests/support/sweep.py``; ``ORCHESTRATOR_SWEEP=full`` leaves out nothing, and sweeps
Debian's server, too.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final
from uuid import uuid4

import pytest

import orchestrator.automations.action_call  # noqa: F401  # makes the calls of actions known
from brokers.facets.events import StoredEvent
from brokers.messages import Status
from orchestrator.automations.deliveries import firings_of
from orchestrator.automations.editing import create_automation
from orchestrator.errors import BrokerConflict, BrokerError, RunCancelled
from orchestrator.events.actions import DoNothing
from orchestrator.events.schemas.automations import AutomationCore, EventTrigger
from orchestrator.futures import PrefectFuture
from orchestrator.maintenance.reactor import Reactor
from orchestrator.maintenance.ticker import Ticker
from orchestrator.runs.run_ids import tick_run_id
from orchestrator.schedules import Interval
from orchestrator.schedules.spec import schedule_id
from orchestrator.scheduling import edit
from orchestrator.scheduling.calls import task_template
from orchestrator.submission.call_options import NO_OPTIONS
from orchestrator.submission.send import send_calls
from orchestrator.tasks import Task
from tests.conftest import program_or_skip
from tests.support import tracing
from tests.support.fault_proxy import CUT_BEFORE, Fault, FaultProxy, Point
from tests.support.fault_rig import Rig
from tests.support.oracle import Model
from tests.support.servers import ServerProcess
from tests.support.sweep import FULL, Try, flags_of, select
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.needs_server, pytest.mark.usefixtures("fleets_by_thread")]

AT_ONCE: Final = 10  # a run waits for most of its time
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


def plain_calls(rig: Rig) -> None:
    """One after another, by the short scripts; the end of one travels with the claim of the next."""
    for number in range(3):
        try:
            future = tracing.add.submit(str(rig.trace), number, 1)
        except BrokerError:  # it has no key to repeat it by; if it was accepted it must end all the same
            continue
        rig.oracle.expect(future.run_id, Model(value=number + 1))
        assert result(rig, future) == number + 1


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


def block(rig: Rig) -> None:
    """Calls that are kept together, one of which somebody waits for, and all of which a later one needs."""
    try:
        futures = tracing.add.map([str(rig.trace)] * 6, range(6), 1)
    except BrokerError:
        return
    for number, future in enumerate(futures):
        rig.oracle.expect(future.run_id, Model(value=number + 1))
    behind = call(rig, tracing.add, futures[3], futures[4], model=Model(value=9))
    last = call(rig, tracing.add, 1, 1, model=Model(value=2), wait_for=list(futures))
    assert result(rig, behind) == 9
    assert result(rig, last) == 2
    assert rig.oracle.within(WAIT_SECONDS, lambda: futures.result(timeout=WAIT_SECONDS), "result()") == list(
        range(1, 7)
    )


def block_with_retries(rig: Rig) -> None:
    """Every one of them is moved out."""
    try:
        futures = tracing.fail_twice.map([str(rig.trace)] * 4)
    except BrokerError:
        return
    for future in futures:
        rig.oracle.expect(future.run_id, Model(value="the third time", retries=2, starts=3))
    assert set(rig.oracle.within(WAIT_SECONDS, lambda: futures.result(timeout=WAIT_SECONDS), "result()")) == {
        "the third time"
    }


def block_behind_block(rig: Rig) -> None:
    """Calls that are kept together behind others that are: released range by range, and needed by a later one."""
    traces = [str(rig.trace)] * 6
    try:
        first = tracing.add.map(traces, range(6), 1)
        for number, future in enumerate(first):
            rig.oracle.expect(future.run_id, Model(value=number + 1))
        second = tracing.add.map(traces, first, 10)
    except BrokerError:
        return
    for number, future in enumerate(second):
        rig.oracle.expect(future.run_id, Model(value=number + 11))
    last = call(rig, tracing.add, second[5], 1, model=Model(value=17), wait_for=list(first))
    assert result(rig, last) == 17
    values = rig.oracle.within(WAIT_SECONDS, lambda: second.result(timeout=WAIT_SECONDS), "result()")
    assert values == list(range(11, 17))


def block_behind_retries(rig: Rig) -> None:
    """Every one of those that it waits for is moved out."""
    traces = [str(rig.trace)] * 4
    try:
        first = tracing.fail_twice.map(traces)
        for future in first:
            rig.oracle.expect(future.run_id, Model(value="the third time", retries=2, starts=3))
        second = tracing.say.map(traces, first)
    except BrokerError:
        return
    for future in second:
        rig.oracle.expect(future.run_id, Model(value="THE THIRD TIME"))
    values = rig.oracle.within(WAIT_SECONDS, lambda: second.result(timeout=WAIT_SECONDS), "result()")
    assert values == ["THE THIRD TIME"] * 4


def block_handed_back(rig: Rig) -> None:
    """The first of them runs so long that the others go back together."""
    try:
        futures = tracing.sleep.map([str(rig.trace)] * 6, [0.3, 0, 0, 0, 0, 0])
    except BrokerError:
        return
    for future, seconds in zip(futures, [0.3, 0, 0, 0, 0, 0], strict=True):
        rig.oracle.expect(future.run_id, Model(value=seconds))
    assert rig.oracle.within(WAIT_SECONDS, lambda: futures.result(timeout=WAIT_SECONDS), "result()")[0] == 0.3


def block_cancelled(rig: Rig) -> None:
    """One after another, with a call behind one of them."""
    nowhere = tracing.add.with_options(queue=secrets.token_hex(4))
    try:
        futures = nowhere.map([str(rig.trace)] * 4, range(4), 1)
    except BrokerError as error:  # those that may arrive all the same would wait for ever
        if rig.client_proxy.hit.is_set():
            rig.client_proxy.over.wait(10)
        run_ids = error.queued_run_ids + error.doubtful_run_ids
        rig.oracle.within(WAIT_SECONDS, lambda: rig.fleet.broker.runs.cancel(run_ids), "cancelling what may be queued")
        return
    for future in futures:
        rig.oracle.expect(future.run_id, Model(Status.CANCELLED, starts=0))
    behind = call(rig, tracing.add, futures[1], 2, model=Model(Status.NOT_READY, starts=0))
    for future in futures:
        rig.oracle.within(WAIT_SECONDS, future.cancel, "cancel()")
        with pytest.raises(RunCancelled):
            result(rig, future)
    state = rig.oracle.within(WAIT_SECONDS, lambda: (behind.wait(WAIT_SECONDS), behind.state)[1], "wait()")
    assert state.name == "NotReady"


def sent_together(rig: Rig) -> None:
    """Single calls that coroutines send at the same moment: a block, in which each is its sender's own."""

    async def send() -> list[PrefectFuture[object] | BaseException]:
        calls = (tracing.add.adelay(str(rig.trace), number, 1) for number in range(6))
        return await asyncio.gather(*calls, return_exceptions=True)

    assert result(rig, call(rig, tracing.add, 1, 2, model=Model(value=3))) == 3  # the fleet is ready
    for number, sent in enumerate(asyncio.run(send())):
        if not isinstance(sent, BrokerError):  # accepted or not: the runs that the server has must end all the same
            assert isinstance(sent, PrefectFuture)
            rig.oracle.expect(sent.run_id, Model(value=number + 1))
            assert result(rig, sent) == number + 1


def loop(rig: Rig) -> None:
    """Calls that are sent one after another without waiting, as a flow does: a block, but for those that come late."""
    rig.oracle.within(WAIT_SECONDS, rig.fleet.open_inbox, "opening the inbox")
    rows = [[((str(rig.trace), number, 1), {})] for number in range(8)]
    futures = [send_calls(tracing.add, row, None, soon=True)[0] for row in rows]
    for number, future in enumerate(futures):
        state = rig.oracle.within(WAIT_SECONDS, lambda one=future: (one.wait(WAIT_SECONDS), one.state)[1], "wait()")  # type: ignore[misc]
        if state.is_completed():
            rig.oracle.expect(future.run_id, Model(value=number + 1))
            assert state.result() == number + 1
        else:
            assert state.name in ("NotSent", "Lost")


def definition(rig: Rig) -> None:
    """People write a definition: once each, or they are told that it has changed, which they look at then."""
    documents = rig.fleet.broker.documents
    for generation, value in enumerate((b"first", b"second")):

        def write(generation: int = generation, value: bytes = value) -> None:
            with suppress(BrokerConflict):  # an earlier try of this write, whose reply was lost
                documents.write("flow", "nightly", {"x": value}, name="nightly", expected=generation)

        rig.oracle.within(WAIT_SECONDS, write, "writing")
        (document,) = rig.oracle.within(WAIT_SECONDS, lambda: documents.read("flow", ["nightly"]), "reading")
        assert document is not None
        assert (document.generation, document.fields) == (generation + 1, {"x": value})
    lines = rig.oracle.within(WAIT_SECONDS, documents.audit, "reading")
    assert [line.what for line in lines] == ["changed", "created"]


def tick(rig: Rig) -> None:
    """A schedule is written and is due; client and worker both look, and whoever comes first fires it, once."""
    schedule = Interval(3600)
    the_id = schedule_id("t:sweep", schedule)
    template, route = task_template(rig.fleet, tracing.add, the_id, (str(rig.trace), 1, 2), {}, NO_OPTIONS)
    store = rig.fleet.broker
    rig.oracle.within(
        WAIT_SECONDS, lambda: edit.apply(rig.fleet, "t:sweep", schedule, template, route), "writing a schedule"
    )
    due_ms = rig.oracle.within(WAIT_SECONDS, store.ticks.now_ms, "the time") // 1000 * 1000
    run_id = tick_run_id(the_id, due_ms)
    rig.oracle.expect(run_id, Model(value=3))
    rig.oracle.within(WAIT_SECONDS, lambda: store.schedules.write(the_id, {}, due_ms=due_ms), "making it due")
    ticker = Ticker(rig.fleet)

    def fired() -> bool:
        with suppress(BrokerError):
            ticker.run_once()
            return store.records.read([run_id])[0].status != Status.UNKNOWN
        return False

    wait_until(fired, timeout=WAIT_SECONDS, message="the tick has its run")
    assert result(rig, PrefectFuture(run_id, source=rig.fleet)) == 3


def automation(rig: Rig) -> None:
    """An event comes; client and worker both look at it, and whoever comes first makes the call of its action, once."""
    store = rig.fleet.broker
    trigger = EventTrigger(expect={"shop.*"})
    core = AutomationCore(name="sweep", trigger=trigger, actions=[DoNothing()])
    made = rig.oracle.within(WAIT_SECONDS, lambda: create_automation(rig.fleet, core), "making an automation")
    # Its id has the store pass over an earlier try that arrives late, as that of any event that a program reports.
    sold = StoredEvent("shop.sold", {"prefect.resource.id": "shop.1"}, id=str(uuid4()))
    rig.oracle.within(WAIT_SECONDS, lambda: store.events.append([sold]), "an event")
    reactor = Reactor(rig.fleet)

    def fired() -> bool:
        with suppress(BrokerError):
            reactor.run_once()
            return store.reactions.firings(made.id)[0] >= 1
        return False

    wait_until(fired, timeout=WAIT_SECONDS, message="it fires")
    total, (firing, *_) = rig.oracle.within(WAIT_SECONDS, lambda: firings_of(rig.fleet, made.id), "its firings")
    assert total == 1
    (delivery,) = firing.deliveries
    rig.oracle.within(WAIT_SECONDS, lambda: store.runs.cancel([delivery.id]), "cancelling its action")


SCENARIOS: Final[dict[str, Callable[[Rig], None]]] = {
    "one call": one_call,
    "plain calls": plain_calls,
    "dependency": with_a_dependency,
    "retries": with_retries,
    "cancel": cancelled,
    "delayed": delayed_call,
    "map with logs": map_with_logs,
    "block": block,
    "block with retries": block_with_retries,
    "block handed back": block_handed_back,
    "block cancelled": block_cancelled,
    "sent together": sent_together,
    "loop": loop,
    "block behind block": block_behind_block,
    "block behind retries": block_behind_retries,
    "definition": definition,
    "tick": tick,
    "automation": automation,
}
SIDES: Final = ("client", "worker")
CASES: Final = [(name, side) for name in SCENARIOS for side in SIDES if (name, side) != ("definition", "worker")]


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


@pytest.fixture(scope="module")
def size(thorough: bool) -> str:
    """How much is swept, see ``tests/support/sweep.py``."""
    return "full" if FULL else "whole" if thorough else "part"


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("scenario", "side"), CASES)
def test_whatever_command_is_broken(
    swept_server: ServerProcess,
    tmp_path: Path,
    size: str,
    scenario: str,
    side: str,
    record_property: Callable[[str, object], None],
) -> None:
    run(swept_server, tmp_path, scenario, side, None, CUT_BEFORE)  # the server learns the scripts
    unbroken = run(swept_server, tmp_path, scenario, side, None, CUT_BEFORE)
    assert not unbroken.violations
    with swept_server.client() as client:
        swept = select(size, scenario, side, unbroken.seen, flags_of(client))

    def broken(one: Try) -> Outcome:
        return run(swept_server, tmp_path, scenario, side, one.point, one.fault)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = list(pool.map(broken, swept.tries))
    bad = [
        f"{scenario}, {side}: {one.fault.name} at {one.point}: {violation}"
        for one, outcome in zip(swept.tries, outcomes, strict=True)
        for violation in outcome.violations
    ]
    hits = [outcome.hit for outcome in outcomes]
    tries, reached = len(hits), sum(hits)
    record_property("cut sweep", [swept.commands, tries, swept.left_out, reached, len(bad)])
    print(f"{scenario}, {side}: {swept.commands} commands, {tries} tries, {reached} reached, {swept.left_out} left out")
    assert not bad, "\n".join(bad)
    assert swept.are_met(hits), f"only {reached} of {tries}"
