"""The states of a run, put together from what the index keeps and what the record says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from brokers.messages import FINAL_STATUSES, Status
from orchestrator.inspection import RunView
from orchestrator.server.index.encoding import key_of, moment_of
from orchestrator.server.index.facts import state_of_letter
from orchestrator.server.index.tables import Tables
from orchestrator.server.view_models import Event

_A_MOMENT = timedelta(milliseconds=20)  # between two machines' clocks
_RUNNING = (Status.RUNNING, Status.CANCELLING, Status.AWAY_RUNNING)


def history(tables: Tables, run: RunView) -> list[Event]:
    """Oldest first. Short attempts are not noted when they begin: of those, only the last one's beginning is known."""
    key, reader = key_of(run.id), tables.reader
    kept = reader.execute("SELECT seq, status FROM events WHERE id = ? ORDER BY seq", (key,)).fetchall()
    row = reader.execute("SELECT seq, ended, status FROM runs WHERE id = ?", (key,)).fetchone()
    begun = _moment(moment_of(row[0])) if row else run.created
    events = [Event(begun, *state_of_letter(b"S"))] if begun is not None else []
    for place, status in kept:
        if status != Status.UNKNOWN:
            events.append(Event(_moment(moment_of(place)), *state_of_letter(status, retrying=len(events) > 1)))
    noted = row[1] if row is not None else None  # when it ended, by the journal's clock
    if kept and kept[-1][1] in FINAL_STATUSES:  # the letter does not give the state's name
        events[-1] = Event(events[-1].moment, run.state_type, run.state_name)
    elif run.ended is not None:
        moment = _moment(noted) if kept and noted is not None else run.ended  # one clock for all that is noted
        events.append(Event(moment, run.state_type, run.state_name))
    elif noted is not None:  # ended by a script, which writes no moment into the record
        events.append(Event(_moment(noted), run.state_type, run.state_name))
    return _with_last_start(events, run, [status for _, status in kept])


def _with_last_start(events: list[Event], run: RunView, letters: list[bytes]) -> list[Event]:
    if run.started is None or (letters and letters[-1] in _RUNNING):
        return events
    last_attempt = [letter for letter in letters if letter in (*_RUNNING, Status.DELAYED, Status.QUEUED)][-1:]
    if last_attempt and last_attempt[0] in _RUNNING:
        return events
    type_, name = state_of_letter(Status.RUNNING, retrying=Status.DELAYED in letters[:-1])
    later = [event for event in events[1:] if event.moment > run.started + _A_MOMENT]
    place = max(1, len(events) - max(1, len(later))) if len(events) > 1 else len(events)
    moment = run.started  # by the worker's clock, the others are by the server's: it is put between its neighbours
    if place < len(events):
        moment = min(moment, events[place].moment)
    if place > 0:
        moment = max(moment, events[place - 1].moment)
    return [*events[:place], Event(moment, type_, name), *events[place:]]


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
