"""Calls that could not be sent: one line for a reason, and one that says how many more there were."""

from __future__ import annotations

import pytest

from brokers.errors import BrokerUnavailable, StoreFull
from orchestrator.client.call_sender import FailuresToSend
from orchestrator.client.no_worker import hints

AWAY = BrokerUnavailable("the server is away")


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage().partition(":")[0] for record in caplog.records]


def test_the_first_is_told_at_once_and_the_others_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    failures = FailuresToSend()
    for _ in range(20):
        failures.add(1, AWAY)
    assert lines(caplog) == ["1 call could not be sent"]
    failures.say_how_many()
    failures.say_how_many()
    assert lines(caplog)[1:] == ["19 more calls could not be sent for the same reason"]


def test_another_reason_is_told_at_once_behind_how_many_had_the_last_one(caplog: pytest.LogCaptureFixture) -> None:
    failures = FailuresToSend()
    failures.add(3, AWAY)
    failures.add(2, AWAY)
    failures.add(1, StoreFull("the server is full"))
    assert lines(caplog) == [
        "3 calls could not be sent",
        "2 more calls could not be sent for the same reason",
        "1 call could not be sent",
    ]
    assert "the server is away" in caplog.text
    assert "the server is full" in caplog.text


def test_a_reason_is_told_again_after_a_while(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.client.call_sender.SAME_REASON_SECONDS", -1.0)
    failures = FailuresToSend()
    failures.add(1, AWAY)
    failures.add(1, AWAY)
    assert lines(caplog) == ["1 call could not be sent"] * 2


@pytest.mark.parametrize("task_key", ["<stdin>.load", "__main__.load", "<stdin>.make.<locals>.load"])
def test_who_waits_for_a_task_that_was_typed_in_is_told_that_no_worker_can_import_it(task_key: str) -> None:
    (hint,) = hints([("default", task_key, None)], {}).values()
    assert "load was typed in, and no worker can import it" in hint
    assert "-A <" not in hint
