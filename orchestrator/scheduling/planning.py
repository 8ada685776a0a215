"""What to do about a schedule that is due: its decision, as the store's script takes it. Reads and writes nothing."""

from __future__ import annotations

from collections.abc import Sequence

from brokers.facets.schedules import NEVER, PlannedRun, Tick
from brokers.messages import Envelope
from orchestrator.runs.run_ids import tick_run_id
from orchestrator.schedules.decisions import Decision, decide
from orchestrator.schedules.policies import jitter_ms
from orchestrator.scheduling.calls import TickRun
from orchestrator.scheduling.record import ScheduleRecord, moment_of, ms_of, packed_ticks


def decision_for(record: ScheduleRecord, due_ms: int, now_ms: int, back_ms: int) -> Decision:
    """The decision about a schedule.

    Args:
        record: of a schedule that can be read here.
        due_ms: the tick at which it stands.
        now_ms: the server's clock.
        back_ms: since when somebody has looked without a longer break.

    Raises:
        ValueError: it cannot be evaluated (TooMuchWork: not with a reasonable effort).
    """
    if record.schedule is None:
        raise ValueError(record.trouble)
    skipped = {moment_of(tick_ms) for tick_ms in record.skipped}
    return decide(record.schedule, moment_of(due_ms), moment_of(now_ms), back_at=moment_of(back_ms), skipped=skipped)


def runs_of(record: ScheduleRecord, decision: Decision) -> list[TickRun]:
    """The runs that a decision asks for; those that follow missed ticks say so."""
    note = f"{decision.missed} earlier ticks missed" if decision.missed else ""
    missed = [decision.missed, *[0] * len(decision.fire)]
    return [
        TickRun(tick_run_id(record.id, ms_of(tick)), ms_of(tick), count, note if count else "")
        for tick, count in zip(decision.fire, missed, strict=False)
    ]


def tick_of(record: ScheduleRecord, due_ms: int, decision: Decision, calls: Sequence[Envelope]) -> Tick:
    """A decision and the calls of its runs, for the store."""
    schedule = record.schedule
    assert schedule is not None
    next_ms = NEVER if decision.next_tick is None else ms_of(decision.next_tick)
    ticks = [ms_of(tick) for tick in decision.fire]
    return Tick(
        record.id,
        due_ms,
        record.generation,
        next_ms,
        decision.missed,
        schedule.max_runs or 0,
        schedule.overlap,
        packed_ticks(tuple(tick_ms for tick_ms in record.skipped if next_ms != NEVER and tick_ms >= next_ms)),
        [
            PlannedRun(tick_ms, tick_ms + jitter_ms(record.id, tick_ms, schedule.jitter), call)
            for tick_ms, call in zip(ticks, calls, strict=True)
        ],
    )
