"""Ways to call a task, and calls that are refused where they are made."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from orchestrator import unmapped
from orchestrator.client.fleet import Fleet
from orchestrator.errors import (
    MappingLengthMismatch,
    MappingMissingIterable,
    ParameterBindError,
    ParameterTypeError,
    PayloadTooLarge,
    SerializationError,
)
from orchestrator.futures import PrefectFuture, PrefectFutureList, wait
from orchestrator.tasks import Task
from tests.support import signals
from tests.support.apps import basics
from tests.support.servers import ServerProcess

APP = "tests.support.apps.basics"
pytestmark = pytest.mark.usefixtures("worker")


@pytest.mark.smoke
def test_submit_gives_a_handle_on_the_result() -> None:
    future = basics.add.submit(1, y=2)
    assert isinstance(future, PrefectFuture)
    assert future.result(timeout=60) == 3
    assert future.state.is_completed()
    assert future.state.run_count == 1


def test_the_work_is_done_by_another_process() -> None:
    import os

    assert basics.process_id.submit().result(timeout=60) != os.getpid()


@pytest.mark.smoke
def test_delay_gives_a_handle_that_can_be_asked_later() -> None:
    first = basics.add.delay(1)
    assert first.result(timeout=60) == 2
    assert PrefectFuture(first.task_run_id).result(timeout=60) == 2


async def _adelay_and_asubmit() -> list[int]:
    import asyncio

    delayed = await asyncio.gather(*(basics.add.adelay(n) for n in range(20)))
    submitted = await asyncio.gather(*(basics.add.asubmit(n) for n in range(20)))
    return [await future for future in [*delayed, *submitted]]


@pytest.mark.smoke
def test_calls_from_an_event_loop() -> None:
    import asyncio

    assert asyncio.run(_adelay_and_asubmit()) == [*range(1, 21), *range(1, 21)]


def test_an_event_loop_that_ends_during_a_call_harms_no_other(fleet: Fleet) -> None:
    import asyncio

    async def leave_early() -> None:
        for _ in range(5):
            asyncio.ensure_future(basics.add.adelay(1))  # noqa: RUF006
            await asyncio.sleep(0)

    for _ in range(5):
        asyncio.run(leave_early())
    assert asyncio.run(_adelay_and_asubmit())[:3] == [1, 2, 3]


def test_map_keeps_the_order_of_the_input() -> None:
    futures = basics.add.map(range(300), unmapped(10))
    assert isinstance(futures, PrefectFutureList)
    assert futures.result(timeout=60) == list(range(10, 310))


def test_map_zips_its_iterables_and_repeats_everything_else() -> None:
    assert basics.total.map([1, 2], (10, 20), 100, more=[1000, 2000]).result(timeout=60) == [1111, 2122]
    assert basics.echo.map({"a": 1, "b": 2}).result(timeout=60) == ["a", "b"]
    assert basics.echo.map(iter([(1, 2), (3, 4)])).result(timeout=60) == [(1, 2), (3, 4)]
    assert basics.total.map([1, 2], unmapped(5)).result(timeout=60) == [6, 7]


def test_map_of_nothing_is_an_empty_list() -> None:
    futures = basics.add.map([])
    assert (list(futures), futures.result(timeout=1)) == ([], [])
    assert wait(futures).done == set()


@pytest.mark.parametrize("arguments", [(1,), ("text",), (unmapped([1, 2]),), (b"bytes", 3)])
def test_map_without_an_iterable_is_refused(arguments: tuple[object, ...]) -> None:
    with pytest.raises(MappingMissingIterable, match="no iterable"):
        basics.total.map(*arguments)


def test_map_over_unequal_lengths_tells_them() -> None:
    with pytest.raises(MappingLengthMismatch, match=r"#1 has 3.*y has 2"):
        basics.add.map([1, 2, 3], y=[1, 2])


def test_the_state_instead_of_a_handle() -> None:
    assert basics.add.submit(1, return_state=True).result() == 2
    failed = basics.fail.submit(return_state=True)
    assert failed.is_failed()
    assert "as it should" in (failed.message or "")
    assert [state.result() for state in basics.add.map([1, 2], return_state=True)] == [2, 3]


def test_wait_for_orders_calls_without_data(tmp_path: Path) -> None:
    go_on, entered = str(tmp_path / "go on"), str(tmp_path / "entered")
    first = basics.hold.submit(entered, go_on)
    second = basics.leave.submit(str(tmp_path / "second"), wait_for=[first])
    third = basics.leave.apply_async((str(tmp_path / "third"),), wait_for=[first])
    signals.wait_for(entered)
    assert second.state.is_pending()
    signals.give(go_on)
    second.result(timeout=60)
    third.result(timeout=60)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda way: way(), "missing a required argument: 'x'"),
        (lambda way: way(1, 2, 3), "too many positional arguments"),
        (lambda way: way(1, z=3), "unexpected keyword argument 'z'"),
        (lambda way: way(1, x=3), "multiple values for argument 'x'"),
    ],
)
@pytest.mark.parametrize("way", ["submit", "delay", "__call__", "map"])
def test_arguments_that_do_not_fit_are_refused_at_the_call(call: object, told: str, way: str) -> None:
    with pytest.raises(ParameterBindError, match=told) as caught:
        call(getattr(basics.add, way))  # type: ignore[operator]
    assert isinstance(caught.value, TypeError)
    assert str(caught.value).startswith("add(x: ")


def test_argument_types_are_checked_where_the_task_wants_it() -> None:
    assert basics.strict.submit("41", ["a"]).result(timeout=60) == 42
    for way in (basics.strict.submit, basics.strict.delay, basics.strict):
        with pytest.raises(ParameterTypeError, match="argument 'count'"):
            way("many")
    with pytest.raises(ParameterTypeError, match="argument 'names'"):
        basics.strict.map([1, 2], unmapped(7))


def test_what_cannot_be_packed_is_refused_at_the_call_and_nothing_is_sent(fleet: Fleet, server: ServerProcess) -> None:
    import threading

    before = _submitted(fleet, server)
    for way in (basics.echo.submit, basics.echo.delay):
        with pytest.raises(SerializationError, match="lock"):
            way(threading.Lock())
    with pytest.raises(SerializationError, match="lock"):
        basics.echo.map([1, 2, threading.Lock()])
    with pytest.raises(PayloadTooLarge, match=r"\d+"):
        basics.echo.submit(bytes(fleet.settings.max_payload_bytes + 1))
    assert _submitted(fleet, server) == before


def _submitted(fleet: Fleet, server: ServerProcess) -> int:
    with server.client() as client:
        return len(client.keys(fleet.broker.keys.record("*")))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"countdown": 1, "eta": datetime.now(UTC)}, "countdown or eta"),
        ({"eta": datetime(2030, 1, 1)}, "no time zone"),
        ({"countdown": "soon"}, "countdown='soon'"),
        ({"countdown": float("nan")}, "countdown=nan"),
        ({"expires": True}, "expires=True"),
        ({"priority": "urgent"}, "priority='urgent'"),
        ({"queue": "no spaces"}, "queue='no spaces'"),
        ({"queue": "~private"}, "queue='~private'"),
        ({"idempotency_key": ""}, "idempotency_key=''"),
    ],
)
def test_options_of_a_call_that_are_wrong_are_refused(options: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told.replace("(", r"\(")):
        basics.add.apply_async((1,), **options)  # type: ignore[arg-type]


def test_a_countdown_an_eta_and_a_time_in_the_past() -> None:
    later = basics.add.apply_async((1,), countdown=0.2)
    assert later.state.is_scheduled()
    by_eta = basics.add.apply_async((2,), eta=datetime.now(UTC) + timedelta(milliseconds=100))
    at_once = basics.add.apply_async((3,), countdown=timedelta(seconds=-5))
    assert [future.result(timeout=60) for future in (at_once, by_eta, later)] == [4, 3, 2]


def test_a_call_that_expires_before_it_starts_is_cancelled() -> None:
    from orchestrator.errors import RunCancelled

    future = basics.add.apply_async((1,), countdown=30, expires=0.05)
    with pytest.raises(RunCancelled, match="expired"):
        future.result(timeout=60)
    assert future.state.name == "Expired"


def test_an_idempotency_key_makes_one_call(tmp_path: Path) -> None:
    sign = str(tmp_path / "sign")
    first = basics.leave.apply_async((sign,), idempotency_key="once")
    second = basics.leave.apply_async((sign,), idempotency_key="once")
    other = basics.add.apply_async((1,), idempotency_key="once")
    assert first == second
    assert first.run_id != other.run_id
    for future in (first, second, other):
        future.result(timeout=60)
    assert basics.leave.apply_async((sign,), idempotency_key="once").result(timeout=60) is None
    assert signals.count(sign) == 1


def test_calls_for_another_queue_wait_there() -> None:
    future = basics.in_another_queue.submit()
    moved = basics.add.apply_async((1,), queue="elsewhere")
    assert basics.add.submit(1).result(timeout=60) == 2
    assert future.state.is_pending()
    assert moved.state.is_pending()
    assert future.cancel()
    assert moved.cancel()


def test_every_kind_of_parameter() -> None:
    assert basics.total.submit(1, 2, a=3).result(timeout=60) == 6
    assert basics.keywords_only.submit(a=1).result(timeout=60) == (1, 2)
    with pytest.raises(ParameterBindError):
        basics.keywords_only.submit(1)


@pytest.mark.parametrize("name", ["return_state", "wait_for"])
def test_reserved_parameter_names_are_refused_at_decoration(name: str) -> None:
    source: dict[str, object] = {}
    exec(f"def f({name}): pass", source)
    with pytest.raises(TypeError, match=name):
        Task(source["f"])  # type: ignore[arg-type]
