"""Schedules as values: ``Cron``, ``Interval`` and ``RRule``, in zones whose clocks change.

Nothing here waits or fires: a schedule says when it is due, the same in every process.
"""

from orchestrator.schedules.schedule import Cron, Interval, RRule, Schedule

__all__ = ["Cron", "Interval", "RRule", "Schedule"]
