"""The moments at which tests make a worker fail: how they are written, and that they are off."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.slots import failpoints
from orchestrator.slots.failpoints import FailPointReached, fail_at


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    failpoints.arm(None)


def test_they_are_off_unless_armed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(failpoints.VARIABLE, "before_start=kill:1")  # nobody reads it but a child that starts
    assert not failpoints.armed
    fail_at("before_start")


def test_the_passage_that_is_named_fails_and_no_other() -> None:
    failpoints.arm("before_start=raise:2")
    assert failpoints.armed
    fail_at("after_claim")
    fail_at("before_start")
    with pytest.raises(FailPointReached, match="before_start"):
        fail_at("before_start")
    fail_at("before_start")


def test_with_a_file_only_who_makes_it_fails(tmp_path: Path) -> None:
    sign = tmp_path / "sign"
    failpoints.arm(f"before_flush=raise@{sign}")
    with pytest.raises(FailPointReached):
        fail_at("before_flush")
    failpoints.arm(f"before_flush=raise@{sign}")
    fail_at("before_flush")


@pytest.mark.parametrize("text", ["nowhere=kill:1", "before_start=explode:1", "before_start=kill:soon", "before_start"])
def test_what_there_is_not_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="ORCHESTRATOR_TEST_FAILPOINTS"):
        failpoints.arm(text)
