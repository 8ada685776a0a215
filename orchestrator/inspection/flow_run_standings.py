"""Looks up where the calls of flow runs stand, for the states that lists and pages show."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from orchestrator.client.fleet import Fleet
from orchestrator.inspection.flow_run_states import ShownState, shown_state


def shown_states(fleet: Fleet, records: Mapping[str, Mapping[str, bytes]]) -> dict[str, ShownState]:
    """The states of these flow runs, by id, in one round trip.

    Args:
        fleet: the fleet that keeps them.
        records: of each flow run, what is known of it; one of which nothing is has no state.

    Raises:
        BrokerError: the server does not respond.
    """
    known = {run_id: fields for run_id, fields in records.items() if fields.get("type")}
    now, late = datetime.now(UTC).timestamp(), fleet.settings.late_after_seconds
    standings = fleet.broker.records.standings(list(known)) if known else []
    return {
        run_id: shown_state(fields, standing.status, now, late, is_held=standing.is_held)
        for (run_id, fields), standing in zip(known.items(), standings, strict=True)
    }
