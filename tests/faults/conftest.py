"""Fixtures of the fault suites."""

from tests.support.fault_rig import fleets_by_thread

__all__ = ["fleets_by_thread"]
