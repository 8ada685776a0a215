"""Has the hooks of flow runs called whose own process was killed: by a call in the queue in which the run was.

Runs that ended while they had something to be undone (see ``execution/undo_log.py``) are listed with ``~`` before them.
"""

from __future__ import annotations

from typing import Final

from brokers.messages import SYNC_LANE, Envelope, Route, Status
from brokers.records import Row
from brokers.schema import HOOKS_CALL, READABLE_BY, VERSION, CallMeta, Extra
from orchestrator import serializers
from orchestrator.client.fleet import Fleet
from orchestrator.runs.run_ids import tick_run_id
from orchestrator.submission.signed_calls import call_context

ONLY_UNDO: Final = "~"


def send_hook_calls(fleet: Fleet) -> None:
    """Send for the hooks of those that nobody has sent for. Any number of processes may do it at once.

    Raises:
        BrokerError: the server does not answer; what was not sent is still listed.
    """
    while killed := fleet.broker.deliveries.killed():
        rows = fleet.broker.records.rows([listed.removeprefix(ONLY_UNDO) for listed in killed])
        calls = [
            _call(fleet, row, ended_ms, only_undo=listed.startswith(ONLY_UNDO))
            for (listed, ended_ms), row in zip(killed.items(), rows, strict=True)
            if row.status != Status.UNKNOWN
        ]
        if calls:
            fleet.calls.send(calls)
        fleet.broker.deliveries.killed(sent=list(killed))


def _call(fleet: Fleet, row: Row, ended_ms: int, *, only_undo: bool) -> Envelope:
    """One for each end: its id is the same whoever sends it, and another one if the run was replayed meanwhile.

    It is made without the task, which processes that know no flow have not loaded.
    """
    run_id = tick_run_id(f"{'roll-back' if only_undo else 'hooks'} of {row.run_id}", ended_ms)
    signed_for = row.queue if fleet.protection.signs else None
    meta = CallMeta(task_name="hooks", signed_for=signed_for, written_by=VERSION, readable_by=READABLE_BY).pack()
    body, _ = serializers.pack_call(
        (row.run_id, True) if only_undo else (row.run_id,),
        {},
        context=lambda: call_context(HOOKS_CALL, run_id, meta),
        limits=fleet.limits,
    )
    route = str(Route(row.queue, "high", SYNC_LANE))
    expires = {Extra.EXPIRES: int(fleet.settings.result_ttl_seconds * 1000)}  # nobody may serve its deployment any more
    return Envelope(run_id, HOOKS_CALL, route, body, None, None, meta, expires)
