"""The handle of a single call is found by the end of its run, under whatever id the call was sent."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from brokers.base import Broker
from brokers.messages import Envelope, Status
from brokers.sender import Sender
from orchestrator.client.fleet import Fleet
from orchestrator.client.open_futures import OpenFutures
from orchestrator.runs.run_ids import new_block, new_run_id
from orchestrator.submission.watched_call import WatchedCall

BODY, OUTCOME = b"\x01\x92\x90\x80", b"\0"


@pytest.fixture
def opened() -> OpenFutures:
    return OpenFutures(cast(Broker, SimpleNamespace(inboxes=None)), cast(Sender, None), "me", 2.0)


@pytest.fixture
def envelope() -> Envelope:
    return Envelope(new_run_id(), "app.task", "default:ds", BODY, None, "me")


@pytest.fixture
def call(opened: OpenFutures, envelope: Envelope) -> WatchedCall:
    return WatchedCall(cast(Fleet, SimpleNamespace(open_futures=opened, attach=None)), envelope)


def test_it_may_end_before_it_is_known_to_be_sent(call: WatchedCall, opened: OpenFutures, envelope: Envelope) -> None:
    opened.settle(envelope.run_id, Status.COMPLETED, OUTCOME)
    assert call.sent(envelope.run_id).settled
    assert not opened.is_open(envelope.run_id)


def test_another_id_is_known_before_the_call_is_sent(
    call: WatchedCall, opened: OpenFutures, envelope: Envelope
) -> None:
    other = new_block() + "0003"
    assert call.rebound(envelope, other) == BODY
    assert list(opened.being_sent()[0]) == [envelope.run_id, other]  # neither of them is judged to be lost
    assert not opened.is_open(envelope.run_id)
    opened.settle(other, Status.COMPLETED, OUTCOME)
    future: Any = call.sent(other)
    assert (future.run_id, future.settled, future.watched) == (other, True, True)
    assert not opened.being_sent()


def test_one_that_keeps_its_first_id_after_all_is_asked_for(
    call: WatchedCall, opened: OpenFutures, envelope: Envelope
) -> None:
    """It may have ended while its handle stood under the other id."""
    other = new_block() + "0003"
    call.rebound(envelope, other)
    future = call.sent(envelope.run_id)
    assert (future.run_id, future.watched) == (envelope.run_id, False)
    assert opened.is_open(envelope.run_id)
    assert not opened.is_open(other)


def test_nothing_is_kept_of_one_that_could_not_be_sent(
    call: WatchedCall, opened: OpenFutures, envelope: Envelope
) -> None:
    other = new_block() + "0003"
    call.rebound(envelope, other)
    call.failed()
    assert not opened.is_open(envelope.run_id)
    assert not opened.is_open(other)
    assert not opened.being_sent()
