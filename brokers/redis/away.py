"""Runs that a foreign Celery application does: written down here, sent by its own broker, ended by whoever hears of it.

Such a run has a record like any other, so handles, waiting and dependants work as they do; but no worker of ours claims
it, and it has no ticket. Its end counts if it is the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from .broker import SLICE_CALLS, RedisBroker, pack, unpack
from .scripts import load

PATIENCE_SECONDS: Final = 10.0  # a send takes two at most
BEGUN: Final = "B"
AGAIN: Final = "A"


class AwayRun(NamedTuple):
    """One that is about to be sent. Absent parts are ``None``."""

    run_id: str
    task: str
    flow_run_id: str | None = None
    reply_to: str | None = None


class AwayNote(NamedTuple):
    """What has become of one; ``how`` is :data:`BEGUN`, :data:`AGAIN` or a letter of ``contract.Ending``."""

    run_id: str
    how: str
    outcome: bytes = b""
    ttl_ms: int = 0
    retries: int = 0


def begin(broker: RedisBroker, runs: Sequence[AwayRun], forget_after_seconds: float) -> None:
    """Write down runs before they are sent. Whoever sends them says so with :func:`sent`, or withdraws them.

    Args:
        broker: where they are kept.
        runs: which.
        forget_after_seconds: how long a run that never ends is kept.
    """
    for some in _slices(runs):
        _run(broker, "away_begin", [int(forget_after_seconds * 1000), int(PATIENCE_SECONDS * 1000), some])


def sent(broker: RedisBroker, run_ids: Sequence[str]) -> None:
    """Their messages have arrived. A run of which nobody says so is Crashed after :data:`PATIENCE_SECONDS`."""
    for some in _slices(run_ids):
        _run(broker, "away_sent", some)


def withdraw(broker: RedisBroker, run_ids: Sequence[str]) -> None:
    """Forget runs that could not be sent."""
    for some in _slices(run_ids):
        _run(broker, "withdraw", [(run_id, False) for run_id in some])


def note(broker: RedisBroker, notes: Sequence[AwayNote]) -> list[str]:
    """Note what has become of runs; returns those that were passed over: ended, unknown, or no runs of this kind."""
    passed_over: list[str] = []
    for some in _slices(notes):
        passed_over += [run_id.decode() for run_id in _run(broker, "away_note", some)]
    return passed_over


def _slices(rows: Sequence[Any]) -> list[Sequence[Any]]:
    return [rows[first : first + SLICE_CALLS] for first in range(0, len(rows), SLICE_CALLS)]


def _run(broker: RedisBroker, verb: str, arguments: Any) -> Any:
    return unpack(broker.wires.run((load(verb, broker.carried), pack(arguments)), prefix=broker.keys.prefix)[0])
