"""Cancel, retry, run now, delete: any number of runs; the broker takes them in portions."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.client.fleet import Fleet


def cancel_runs(fleet: Fleet, run_ids: Sequence[str]) -> list[str]:
    """Request cancellation; returns the runs that had not ended.

    Raises:
        BrokerError: the server does not respond. Earlier requests stand; repeating them changes nothing.
    """
    return [run_id for run_id, requested in zip(run_ids, fleet.cancel(list(run_ids)), strict=True) if requested]


def retry_runs(fleet: Fleet, run_ids: Sequence[str]) -> list[str]:
    """Queue ended runs again under their ids, with the arguments they had; returns those that were queued.

    Runs that have not ended, and those whose arguments are no longer kept, are skipped.
    """
    return fleet.broker.runs.replay(run_ids)


def run_now(fleet: Fleet, run_ids: Sequence[str]) -> list[str]:
    """Queue runs at once that wait for a moment: a countdown, or their next attempt; returns which."""
    return fleet.broker.runs.run_now(run_ids)


def delete_runs(fleet: Fleet, run_ids: Sequence[str]) -> list[str]:
    """Delete the records and logs of ended runs; returns which. Runs that have not ended must be cancelled first."""
    return fleet.broker.runs.delete(run_ids)
