"""Inputs that running flows are sent, by programs and by each other."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import BaseModel

from orchestrator import flow
from orchestrator.client.fleet import Fleet
from orchestrator.errors import ObjectNotFound, ParameterTypeError
from orchestrator.exceptions import BrokerConflict
from orchestrator.input import (
    RunInput,
    asend_input,
    create_flow_run_input,
    delete_flow_run_input,
    filter_flow_run_input,
    read_flow_run_input,
    receive_input,
    send_input,
)
from orchestrator.runtime import flow_run
from tests.support.apps import input_flows as app
from tests.support.apps.input_flows import Number
from tests.support.engines import StartedWorker

APP = "tests.support.apps.input_flows"
pytestmark = pytest.mark.usefixtures("fleet")


class Point(BaseModel):
    x: int
    y: int = 0


def own_id() -> UUID:
    return UUID(flow_run.id or "")


@pytest.mark.smoke
@pytest.mark.parametrize("squares", [app.squares, app.squares_on_a_loop], ids=["threads", "loop"])
def test_two_flows_talk_to_each_other(squares: Any, worker: StartedWorker) -> None:
    future = squares.delay()

    @flow
    def asks() -> list[int]:
        answers = Number.receive(timeout=60)
        got = []
        for number in (2, 3):
            Number(number=number).send_to(future.run_id)
            got.append(answers.next().number)
        send_input(Number(number=0), future.run_id)
        return got

    assert asks() == [4, 9]
    assert future.result(timeout=60) == [2, 3, 0]


def test_a_task_on_a_worker_receives_for_its_flow(worker: StartedWorker) -> None:
    future = app.has_a_task_wait.delay()
    send_input("for the flow ✓", future.run_id)
    assert future.result(timeout=60) == "for the flow ✓"


def received(kind: Any, *given: Any, **options: Any) -> list[Any]:
    """What a flow receives that has sent itself this."""

    @flow
    def talks_to_itself() -> list[Any]:
        for one in given:
            send_input(one, own_id())
        return list(receive_input(kind, timeout=0, **options))

    return talks_to_itself()


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (str, ""),
        (str, "ünïcode \x00 😀"),
        (int, 2**70),
        (float, 0.5),
        (bool, False),
        (list[int], [1, 2]),
        (dict[str, Any], {"a": [None, {"b": 1}]}),
        (datetime, datetime(2026, 3, 8, 2, 30)),
        (int | str, "either"),
        (int | None, None),
        (Any, [1]),
    ],
)
def test_values_of_plain_types(kind: Any, value: Any) -> None:
    assert received(kind, value) == [value]


def test_each_kind_is_received_by_who_asks_for_it() -> None:
    assert received(int, "text", 1, Point(x=1), 2) == [1, 2]
    (point,) = received(Point, 1, Point(x=3))
    assert isinstance(point, Point)
    assert (point.x, point.y) == (3, 0)


def test_each_is_received_once_by_each_receiver_in_the_order_sent() -> None:
    @flow
    def receives() -> list[list[int]]:
        first = receive_input(int, timeout=0)
        for number in range(3):
            send_input(number, own_id())
        got = [[first.next(), first.next()]]
        got.append(list(receive_input(int, timeout=0)))
        got.append(list(first))
        got.append(list(receive_input(int, timeout=0, exclude_keys=first.exclude_keys)))
        return got

    assert receives() == [[0, 1], [0, 1, 2], [2], []]


def test_the_sender_is_known_and_answered() -> None:
    @flow
    def talks() -> tuple[str, str]:
        send_input("question", own_id(), key_prefix="ask")
        got = receive_input(str, timeout=0, key_prefix="ask", with_metadata=True).next()
        got.respond("answer", key_prefix="reply")
        assert got.metadata.receiver == own_id()
        assert got.metadata.key.startswith("ask-")
        return got.metadata.sender, receive_input(str, timeout=0, key_prefix="reply").next()

    sender, answer = talks()
    assert sender.startswith("prefect.flow-run.")
    assert answer == "answer"
    (other,) = received(str, "x", with_metadata=True)
    other.metadata.sender = "people"
    with pytest.raises(RuntimeError, match="not sent by a flow run"):
        other.respond("y")


def test_who_is_sent_an_input_can_answer_at_once(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sender is in the store before what it sends, however slowly its start is reported."""
    note = fleet.broker.flow_runs.note

    def note_slowly(reports: Any) -> None:
        time.sleep(0.3)
        note(reports)

    monkeypatch.setattr(fleet.broker.flow_runs, "note", note_slowly)

    @flow
    def asks(whom: UUID) -> bool:
        Number(number=1).send_to(whom)
        return bool(fleet.broker.flow_runs.read(str(own_id())))

    @flow
    def answers() -> bool:
        return asks(own_id())

    assert answers()


def test_who_waits_is_woken() -> None:
    begun, ids = threading.Event(), []

    @flow
    def waits() -> int:
        ids.append(own_id())
        begun.set()
        return receive_input(int, timeout=60, poll_interval=3600).next()

    ends: list[int] = []
    thread = threading.Thread(target=lambda: ends.append(waits()))
    thread.start()
    assert begun.wait(30)
    for _ in range(600):  # until the store knows the run
        try:
            send_input(7, ids[0])
            break
        except ObjectNotFound:
            thread.join(0.05)
    thread.join(60)
    assert ends == [7], "long before it would have looked by itself"


def test_on_an_event_loop() -> None:
    @flow
    async def waits() -> list[int]:
        receiver = receive_input(int, timeout=60, poll_interval=3600)
        waiting = asyncio.create_task(receiver.next())
        await asyncio.sleep(0)
        await asend_input(1, own_id())
        await send_input(2, own_id())
        return [await waiting, await receiver.next()]

    assert asyncio.run(waits()) == [1, 2]  # type: ignore[arg-type]


def test_nothing_in_time_ends_the_loop_or_is_an_error() -> None:
    assert received(int) == []
    with pytest.raises(TimeoutError, match=r"no input came to flow run .* within 0 s"):
        received(int, raise_timeout_error=True)


def test_what_does_not_fit_is_said_without_its_value_and_counts_as_received() -> None:
    class Strict(RunInput):
        number: int

    @flow
    def receives() -> int:
        receiver = Strict.receive(timeout=0, key_prefix="n")
        create_flow_run_input("n-1", {"number": "secret words"})
        create_flow_run_input("n-2", {"number": 2})
        with pytest.raises(ParameterTypeError, match=r"the input 'n-1' does not fit: number: ") as raised:
            receiver.next()
        assert "secret" not in str(raised.value)
        return receiver.next().number

    assert receives() == 2


def test_a_damaged_one_is_passed_over(fleet: Fleet, caplog: pytest.LogCaptureFixture) -> None:
    @flow
    def receives() -> list[int]:
        send_input(1, own_id())
        fleet.broker.inputs.add(str(own_id()), "intautomaticruninput-auto-x", b"\xff nonsense")
        send_input(2, own_id())
        return list(receive_input(int, timeout=0))

    assert receives() == [1, 2]
    assert "cannot be read and is passed over" in caplog.text


def test_single_inputs_by_key() -> None:
    @flow
    def keeps() -> None:
        create_flow_run_input("a-1", {"x": [1]}, sender="me")
        create_flow_run_input("a-2", None)
        assert read_flow_run_input("a-1") == {"x": [1]}
        assert read_flow_run_input("nothing") is None
        found = filter_flow_run_input("a-", limit=5)
        assert [(one.key, one.decoded_value) for one in found] == [("a-1", {"x": [1]}), ("a-2", None)]
        assert [one.sender for one in found] == ["me", None]
        assert [one.key for one in filter_flow_run_input("a-", exclude_keys={"a-1"})] == ["a-2"]
        with pytest.raises(BrokerConflict, match="'a-1' already"):
            create_flow_run_input("a-1", 2)
        delete_flow_run_input("a-1")
        with pytest.raises(ObjectNotFound, match="no input 'a-1'"):
            delete_flow_run_input("a-1")

    keeps()


def test_what_cannot_be_sent() -> None:
    with pytest.raises(ObjectNotFound, match="not found"):
        send_input(1, uuid4())
    with pytest.raises(ValueError, match="badly formed"):
        send_input(1, "no id")
    with pytest.raises(TypeError, match="lock"):
        send_input(threading.Lock(), uuid4())
    with pytest.raises(TypeError, match="JSON"):
        send_input(float("nan"), uuid4())
    with pytest.raises(RuntimeError, match="flow run"):
        receive_input(int)
    with pytest.raises(ValueError, match="no time to wait"):
        receive_input(int, timeout=-1, flow_run_id=uuid4())
    with pytest.raises(ValueError, match="1 to 1000 characters"):
        create_flow_run_input("", 1, flow_run_id=uuid4())
