"""Calls that are signed or encrypted go the short way too, once their signatures are found good."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from brokers.messages import AckKind, Delivery
from brokers.schema import CallMeta
from orchestrator import task
from orchestrator.runs.run_ids import new_map_run_ids
from orchestrator.serializers import pack_call
from orchestrator.serializers.outcomes import read_outcome
from orchestrator.slots import decoding
from orchestrator.submission.signed_calls import call_context
from orchestrator.testing import inline
from tests.unit.test_plain_calls import Worker

ran: list[Any] = []
SIGNED = {"secret_key": "s" * 32, "require_signature": True}
ENCRYPTED = {"encryption_key": "e" * 32}
META = CallMeta(tags=["a"], signed_for="default").pack()


@task
def notes(value: Any) -> Any:
    ran.append(value)
    return value


@task
def another(value: Any) -> Any:
    ran.append(value)
    return value


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    ran.clear()


@pytest.fixture(params=[SIGNED, ENCRYPTED, {**SIGNED, **ENCRYPTED}], ids=["signed", "encrypted", "both"])
def protected(request: pytest.FixtureRequest) -> Iterator[None]:
    with inline(**request.param):
        yield


@pytest.fixture
def signed() -> Iterator[None]:
    with inline(**SIGNED):
        yield


def map_of(*values: Any, meta: bytes | None = META, ticket: str = "default:ds 1-0") -> list[Delivery]:
    """The deliveries of a range of a block."""
    key = notes.task_key
    return [
        Delivery(
            f"{ticket}/{place:02x}{run_id[:32]}r000",
            run_id,
            key,
            pack_call((value,), {}, context=lambda run_id=run_id: call_context(key, run_id, meta)).body,
            0,
            0,
            None,
            meta,
            1,
        )
        for place, (run_id, value) in enumerate(zip(new_map_run_ids(len(values)), values, strict=True))
    ]


@pytest.mark.usefixtures("protected")
def test_calls_with_keys_go_the_short_way_and_come_to_the_same() -> None:
    values = [1, "text", None, (1, {2}), {"a": [b"bytes"]}, "x" * 50_000]
    worker = Worker()
    for call, value in zip(map_of(*values), values, strict=True):
        assert call.body[0] & 0x80 or call.body[0] == 0x04  # it is signed, or encrypted
        ack = worker.run(call)
        assert ack.outcome[0] in (0x04, 0x84, 0x85)
        assert read_outcome(call.run_id, b"C", ack.outcome).result() == value
    assert len(worker.plain_runs) == len(values)
    assert ran == values


CHANGES: dict[str, Callable[[list[Delivery]], Delivery]] = {
    "a bit of the body": lambda calls: calls[0]._replace(body=calls[0].body[:-1] + bytes((calls[0].body[-1] ^ 1,))),
    "a bit of the signature": lambda calls: calls[0]._replace(body=b"\x81" + bytes(32) + calls[0].body[33:]),
    "the body of another place": lambda calls: calls[0]._replace(body=calls[1].body),
    "the body of another block": lambda calls: calls[0]._replace(body=map_of(1)[0].body),
    "an unsigned body": lambda calls: calls[0]._replace(body=b"\x01" + calls[0].body[33:]),
    "an empty body": lambda calls: calls[0]._replace(body=b""),
    "another task": lambda calls: calls[0]._replace(task=another.task_key),
    "another meta": lambda calls: calls[0]._replace(meta=CallMeta(signed_for="default").pack()),
    "no meta": lambda calls: calls[0]._replace(meta=None),
    "a meta that is none": lambda calls: calls[0]._replace(meta=b"\xc1"),
    "another place": lambda calls: calls[0]._replace(run_id=calls[1].run_id),
    "another block": lambda calls: calls[0]._replace(run_id=map_of(1)[0].run_id),
    "another queue": lambda calls: calls[0]._replace(ticket="vault:ds 1-0"),
}


@pytest.mark.usefixtures("signed")
@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize("known", [False, True], ids=["first", "frame known"])
def test_a_call_that_was_changed_is_a_dead_letter_and_its_frame_goes_on(what: str, known: bool) -> None:
    worker = Worker()
    good, *calls = map_of(0, 1, 2)
    if known:
        worker.run(good)
    changed = CHANGES[what](calls)
    ack = worker.run(changed)
    assert ack.how == AckKind.DEAD
    assert "UntrustedPayload" in str(read_outcome(changed.run_id, b"Z", ack.outcome).message) or what == "an empty body"
    assert ran == [0] * known
    assert [told for told in worker.plain_runs if told != good.run_id] == []
    for call in calls:
        assert worker.run(call).how == AckKind.COMPLETED
    assert ran == [0] * known + [1, 2]
    assert worker.plain_runs[-2:] == [call.run_id for call in calls]  # as short as before


@pytest.mark.usefixtures("signed")
def test_nothing_of_a_call_is_decoded_or_remembered_before_its_signature_is_found_good(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worker = Worker()
    decoded: list[Any] = []
    monkeypatch.setattr(CallMeta, "unpack", lambda packed: decoded.append(packed) or CallMeta())
    monkeypatch.setattr(decoding, "_read_upstreams", lambda packed: decoded.append(packed) or [])
    for number, call in enumerate(map_of(*range(20))):
        forged = call._replace(meta=b"%d" % number, upstreams=b"\x91\xa1a", results={})
        assert worker.run(forged).how == AckKind.DEAD
        assert worker.run(forged._replace(body=b"\x01" + call.body[33:])).how == AckKind.DEAD
    assert decoded == []
    assert worker.codec._frames == {}
    assert ran == []


def test_a_key_that_was_changed_counts_at_once_though_the_frame_is_known() -> None:
    with inline(secret_key="old " * 8, require_signature=True):
        worker = Worker()
        before, late = map_of(1, 2)
        assert worker.run(before).how == AckKind.COMPLETED
    with inline(secret_key="new " * 8, require_signature=True):
        assert worker.run(late).how == AckKind.DEAD
        assert ran == [1]


@pytest.mark.usefixtures("signed")
def test_a_pickle_among_the_arguments_of_a_signed_call_is_read() -> None:
    worker = Worker()
    (call,) = map_of(len)
    assert worker.run(call).how == AckKind.COMPLETED
    assert ran == [len]
    assert worker.plain_runs == [call.run_id]
