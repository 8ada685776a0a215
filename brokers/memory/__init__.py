"""A small broker in the memory of one process: for ``orchestrator.testing.inline`` and for unit tests.

It keeps the promises that lanes, slot monitors and clients rely on (tickets, acks, inboxes, leases) and does without
what needs a server: no dependencies, limits, schedules or journal. What it lacks raises an error.

``store``    the runs and queues, under one lock
``broker``   the facets
"""
