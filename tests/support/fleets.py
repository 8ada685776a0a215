"""The fleet of a test's own process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.client.fleet import Fleet, use_fleet
from orchestrator.settings import Settings, use


@contextmanager
def fleet_of(settings: Settings) -> Iterator[Fleet]:
    """This process's fleet has these settings meanwhile; it is closed at the end, and the one before is back."""
    made = Fleet(settings)
    before = use_fleet(made)
    try:
        with use(settings):
            yield made
    finally:
        use_fleet(before)
        made.close()
