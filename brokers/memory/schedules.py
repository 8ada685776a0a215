"""Schedules in memory: ticks make runs, as ``tick.lua`` does it on a server."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence

from brokers.errors import BrokerConflict
from brokers.facets.schedules import AS_IT_WAS, NEVER, DueSchedules, Outcome, StoredSchedule, Tick, Ticked
from brokers.messages import Envelope
from brokers.schema import ScheduleField
from brokers.stored import text, whole

from .facets import MemoryRuns
from .overlaps import place_among
from .store import MemoryStore


class MemorySchedules:
    """See :class:`brokers.base.Schedules` and :class:`brokers.base.Ticks`."""

    def __init__(self, store: MemoryStore, runs: MemoryRuns) -> None:
        self._store, self._runs = store, runs
        self._schedules: dict[str, dict[str, bytes]] = {}
        self._due: dict[str, int] = {}
        self._fired: dict[str, set[int]] = {}
        self._began_ms = _now_ms()
        self._lock = threading.RLock()

    def write(
        self,
        schedule_id: str,
        fields: Mapping[str, str | bytes],
        *,
        due_ms: int = AS_IT_WAS,
        drop: Sequence[str] = (),
        expected: int | None = None,
        only_new: bool = False,
        who: str = "",
        what: str = "changed",
    ) -> int:
        with self._lock:
            before = self._schedules.get(schedule_id, {})
            generation = whole(before.get(ScheduleField.GENERATION))
            if only_new and before:
                raise BrokerConflict(f"there is a schedule {schedule_id} already; nothing was written")
            if expected is not None and expected != generation:
                raise BrokerConflict(f"the schedule {schedule_id} has changed since; nothing was written")
            kept = {name: value for name, value in before.items() if name not in drop}
            written = {name: value.encode() if isinstance(value, str) else value for name, value in fields.items()}
            self._schedules.pop(schedule_id, None)  # what was written last comes last
            generation += 1
            self._schedules[schedule_id] = {**kept, **written, ScheduleField.GENERATION: b"%d" % generation}
            self._set_due(schedule_id, due_ms)
            return generation

    def _set_due(self, schedule_id: str, due_ms: int) -> None:
        if due_ms == NEVER:
            self._due.pop(schedule_id, None)
        elif due_ms != AS_IT_WAS:
            self._due[schedule_id] = due_ms

    def read(self, schedule_ids: Sequence[str]) -> list[StoredSchedule | None]:
        with self._lock:
            return [
                StoredSchedule(one, self._due.get(one), dict(self._schedules[one])) if one in self._schedules else None
                for one in schedule_ids
            ]

    def of(self, owner: str) -> list[str]:
        with self._lock:
            return sorted(
                one for one, fields in self._schedules.items() if text(fields.get(ScheduleField.OWNER)) == owner
            )

    def newest(self, first: int = 0, limit: int = 200) -> tuple[int, list[str]]:
        with self._lock:
            ids = list(reversed(self._schedules))
            return len(ids), ids[first : first + limit]

    def delete(self, schedule_ids: Sequence[str], who: str = "") -> int:
        with self._lock:
            for schedule_id in schedule_ids:
                self._due.pop(schedule_id, None)
                self._fired.pop(schedule_id, None)
            return sum(self._schedules.pop(schedule_id, None) is not None for schedule_id in schedule_ids)

    def now_ms(self) -> int:
        return _now_ms()

    def due(self, most: int = 1000) -> DueSchedules:
        with self._lock:
            now = _now_ms()
            ordered = sorted(self._due.items(), key=lambda item: item[1])
            coming = [due for _, due in ordered if due > now]
            due = [pair for pair in ordered if pair[1] <= now][:most]
            return DueSchedules(now, self._began_ms, coming[0] if coming else None, due)

    def tick(self, ticks: Sequence[Tick], silent_seconds: float) -> list[Ticked]:
        with self._lock:
            return [self._tick(tick) for tick in ticks]

    def _tick(self, tick: Tick) -> Ticked:
        fields = self._schedules.get(tick.schedule_id, {})
        generation = whole(fields.get(ScheduleField.GENERATION))
        if self._due.get(tick.schedule_id) != tick.due_ms or generation != tick.generation:
            return Ticked(Outcome.MOVED, [])
        rows = [self._fire(tick, planned_ms, call) for planned_ms, _, call in tick.runs]
        fields[ScheduleField.MISSED] = b"%d" % (whole(fields.get(ScheduleField.MISSED)) + tick.missed)
        fields[ScheduleField.SKIPPED] = tick.skipped
        over = tick.most_runs and whole(fields.get(ScheduleField.FIRED)) >= tick.most_runs
        self._set_due(tick.schedule_id, NEVER if over else tick.next_ms)
        return Ticked(Outcome.FIRED, rows)

    def _fire(self, tick: Tick, tick_ms: int, call: Envelope) -> tuple[int, str, str]:
        fields, fired = self._schedules[tick.schedule_id], self._fired.setdefault(tick.schedule_id, set())
        count = whole(fields.get(ScheduleField.FIRED))
        if tick_ms in fired:
            return tick_ms, "", "K"
        if tick.most_runs and count >= tick.most_runs:
            return tick_ms, "", "S"
        open_run, before = text(fields.get(ScheduleField.OPEN_RUN)), text(fields.get(ScheduleField.BEHIND))
        with self._store.changed:
            may, behind = place_among(self._store, self._runs, open_run, before, tick.overlap)
            (run_id,) = self._runs.submit([call], behind) if may else ("",)
        if not may:
            fields[ScheduleField.OVERLAPPED] = b"%d" % (whole(fields.get(ScheduleField.OVERLAPPED)) + 1)
            return tick_ms, "", "S"
        fired.add(tick_ms)
        fields[ScheduleField.BEHIND] = behind.encode()
        fields[ScheduleField.OPEN_RUN], fields[ScheduleField.LAST_TICK] = run_id.encode(), b"%d" % tick_ms
        fields[ScheduleField.FIRED] = b"%d" % (count + 1)
        return tick_ms, run_id, "F"

    def fired(self, schedule_id: str, first_ms: int, last_ms: int) -> list[int]:
        with self._lock:
            return sorted(tick for tick in self._fired.get(schedule_id, ()) if first_ms <= tick <= last_ms)

    def note_fired(self, schedule_id: str, ticks_ms: Sequence[int]) -> None:
        with self._lock:
            self._fired.setdefault(schedule_id, set()).update(ticks_ms)

    def release(self, owner: str) -> int:
        """Nothing is held: there are no deployments here."""
        return 0


def _now_ms() -> int:
    return round(time.time() * 1000)
