"""Looks at events for automations. Any number of them may run, and none leads: each step is written by one of them.

It reads how far events were looked at, the events behind that, and the counts that they matter for; decides; and has
the store move on, count, and queue the calls of what fired in one script, or do nothing if somebody else was first.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from typing import Final

from brokers.facets.reactions import Move
from brokers.facets.reactions import Reactor as Standing
from brokers.records import BEGINNING
from orchestrator.automations.reacting import Reaction, Step
from orchestrator.automations.record import AutomationRecord, all_automations
from orchestrator.automations.seen_event import SeenEvent
from orchestrator.client.fleet import Fleet
from orchestrator.events.interest import Interest, interest_in
from orchestrator.events.reading import Cursors, events_after
from orchestrator.events.schemas.automations import leaves_of
from orchestrator.events.schemas.events import ReceivedEvent
from orchestrator.maintenance.chore import Chore

log = logging.getLogger("orchestrator.automations")

IDLE_SECONDS: Final = 1.0  # nothing is enabled
LOOK_SECONDS: Final = 0.25
SHORTEST_SECONDS: Final = 0.01
LOST_SECONDS: Final = 0.1  # somebody else was first: let it go on
ENTRIES_AT_ONCE: Final = 500
MOST_DUE: Final = 200
UNWRITTEN_SECONDS: Final = 5.0  # how far events that matter to nobody were looked at is written now and then


class Reactor(Chore):
    """See the module.

    Args:
        fleet: where the automations are.
    """

    name = "reactor"

    def __init__(self, fleet: Fleet) -> None:
        super().__init__()
        self._fleet = fleet
        self._definitions: str | None = None
        self._records: list[AutomationRecord] = []
        self._reaction: Reaction | None = None
        self._interest = Interest()
        self._cursors = Cursors("", "")  # of this process: what is before them matters to nobody
        self._written = Cursors("", "")
        self._version = 0
        self._begun: set[tuple[str, int, int]] = set()
        self._reported: set[tuple[str, str]] = set()
        self._entries = ENTRIES_AT_ONCE
        self._on_calls: Callable[[], object] = lambda: None

    def when_calls_wait(self, do: Callable[[], object]) -> None:
        """Call this whenever calls of actions wait for somebody to take them."""
        self._on_calls = do

    def run_once(self) -> float:
        standing = self._fleet.broker.reactions.look(MOST_DUE)
        if standing.calls:
            self._on_calls()
        self._learn(standing)
        if self._reaction is None:
            return IDLE_SECONDS
        cursors = self._start(standing)
        batch = events_after(self._fleet.broker, cursors, self._entries, self._interest)
        events = _without_seen([seen_from(event) for event in batch.events], standing.partly)
        begin = [record.id for record in self._records if self._key(record) not in self._begun]
        step = self._reaction.step(events, standing.due, begin, standing.now_ms, until_now=not batch.has_more)
        if step.seen < len(events) and self._entries > 1:
            self._entries = 1  # to where one script ends, entry by entry
            return 0.0
        end = batch.cursors if step.seen == len(events) else cursors
        partly = "" if step.seen == len(events) else events[step.seen - 1].id
        if not self._write(standing, end, partly, step):
            return LOST_SECONDS * (0.5 + random.random())
        self._entries = ENTRIES_AT_ONCE if step.seen == len(events) else 1
        if batch.has_more or step.seen < len(events):
            return 0.0
        return self._pause(standing)

    def _pause(self, standing: Standing) -> float:
        seconds = LOOK_SECONDS * (0.75 + random.random() / 2)  # many look: not all at once
        if standing.next_ms is None:
            return seconds
        return max(SHORTEST_SECONDS, min(seconds, (standing.next_ms - standing.now_ms) / 1000))

    # -- what there is to look for ---------------------------------------------------------------------------------

    def _learn(self, standing: Standing) -> None:
        """Read the automations if they have changed."""
        if standing.version < self._version:  # the store was emptied, or lost its last second
            self._begun.clear()
            self._definitions, self._cursors = None, Cursors("", "")
        self._version = standing.version
        if standing.definitions == self._definitions:
            return
        enabled = [record for record in all_automations(self._fleet.broker) if record.enabled]
        for record in enabled:
            if record.core is None:
                self._leave_alone(record.id, record.trouble)
        self._records = [record for record in enabled if record.core is not None]
        untouched = {record.id for record in enabled if record.core is None}
        self._reaction = Reaction(self._fleet, self._records, untouched, self._leave_alone) if self._records else None
        self._interest = _interest_of(self._records)
        self._cursors = Cursors("", "")
        self._definitions = standing.definitions

    def _leave_alone(self, automation_id: str, reason: str) -> None:
        if (automation_id, reason) not in self._reported:
            self._reported.add((automation_id, reason))
            log.warning("automation %s is left alone here: %s", automation_id, reason)

    def _key(self, record: AutomationRecord) -> tuple[str, int, int]:
        return record.id, record.since_ms, record.generation

    def _start(self, standing: Standing) -> Cursors:
        """Where to go on: events from before all automations matter to none."""
        oldest = f"{min(record.since_ms for record in self._records) - 1}-0"
        self._written = Cursors(_position(standing.journal), _position(standing.events))
        if standing.partly:
            return self._written
        return Cursors(
            max(self._written.journal, self._cursors.journal, oldest, key=_order),
            max(self._written.events, self._cursors.events, oldest, key=_order),
        )

    # -- what came of it -------------------------------------------------------------------------------------------

    def _write(self, standing: Standing, end: Cursors, partly: str, step: Step) -> bool:
        """Whether it is written, or need not be; False: somebody else was first."""
        if not step.is_empty or self._is_far(end) or standing.partly:
            move = Move(standing.version, end.journal, end.events, partly, step.counts, step.firings, step.calls)
            if not self._fleet.broker.reactions.move(move):
                self._cursors = Cursors("", "")
                return False
        self._cursors = end
        self._begun.update(map(self._key, self._records))
        self._report(step)
        return True

    def _is_far(self, after: Cursors) -> bool:
        """Whether others would have much to read again."""
        far = (_order(new)[0] - _order(old)[0] for new, old in zip(after, self._written, strict=True))
        return max(far) > UNWRITTEN_SECONDS * 1000

    def _report(self, step: Step) -> None:
        for record, firing, calls in step.fired:
            what = firing.event.event if firing.event is not None else "what did not come in time"
            log.info("automation %r fires by %s: %d actions", record.name, what, calls)
        for record in step.held:
            log.warning(
                "automation %r is set off by what it does itself, more than 10 times in a minute: its actions are not "
                "done until the minute is over",
                record.name,
            )


def seen_from(event: ReceivedEvent) -> SeenEvent:
    """An event that was read, as triggers see it."""
    return SeenEvent(
        str(event.id),
        event.event,
        dict(event.resource.root),
        tuple(dict(one.root) for one in event.related),
        round(event.received.timestamp() * 1000),
        event.occurred.isoformat(),
        event.payload,
    )


def _without_seen(events: list[SeenEvent], last: str) -> list[SeenEvent]:
    """Without those up to the last one of an entry that was looked at in part."""
    seen = next((number for number, event in enumerate(events) if event.id == last), -1) if last else -1
    return events[seen + 1 :]


def _interest_of(records: Sequence[AutomationRecord]) -> Interest:
    leaves = [leaf for record in records if record.core is not None for leaf in leaves_of(record.core.trigger)]
    if any(not leaf.expect for leaf in leaves):
        return Interest()
    return interest_in([name for leaf in leaves for name in (*leaf.expect, *leaf.after)] or ["none"])


def _position(text: str) -> str:
    """A position as a stream has it; a damaged one is the beginning."""
    milliseconds, dash, number = text.partition("-")
    return text if dash and milliseconds.isdigit() and number.isdigit() else BEGINNING


def _order(position: str) -> tuple[int, int]:
    milliseconds, _, number = _position(position).partition("-")
    return int(milliseconds), int(number)
