"""What people do to runs: cancel, retry, delete; many at a time."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.fleet import Fleet

_SLICE = 500


def cancel_runs(fleet: Fleet, run_ids: Sequence[str]) -> list[str]:
    """Ask runs to stop; returns those that had not ended.

    Raises:
        BrokerError: the server does not answer. What was asked before stays asked; asking again changes nothing.
    """
    return [run_id for run_id, asked in zip(run_ids, fleet.cancel(list(run_ids)), strict=True) if asked]


def retry_runs(fleet: Fleet, run_ids: Sequence[str]) -> list[str]:
    """Queue ended runs again under their ids, with the arguments they had; returns those that were queued.

    Not queued are runs that have not ended, and those whose arguments are not kept any more.
    """
    slices = (run_ids[first : first + _SLICE] for first in range(0, len(run_ids), _SLICE))
    return [run_id for some in slices for run_id in fleet.broker.replay(some)]


def delete_runs(fleet: Fleet, run_ids: Sequence[str]) -> list[str]:
    """Delete the records and logs of ended runs; returns which. Cancel those first that have not ended."""
    slices = (run_ids[first : first + _SLICE] for first in range(0, len(run_ids), _SLICE))
    return [run_id for some in slices for run_id in fleet.broker.delete(some)]
