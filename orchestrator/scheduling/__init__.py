"""Schedules that are kept in the store: who declares them, their records, their calls, and what people do to them.

What a schedule means is in ``orchestrator.schedules``; who fires it is ``orchestrator.maintenance.ticker``.
"""
