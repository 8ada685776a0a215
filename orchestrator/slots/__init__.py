"""Slots: fetch, run, complete, with N places in this process.

The same slots serve a worker's child process, ``task_workers.serve`` and a flow that brings its own workers; they know
nothing of processes. What they consist of:

1. ``lane``: what happens to one delivery, for both kinds of calls.
2. ``thread_lane``: threads that loop over fetched batches. ``loop_lane``: an event loop that runs many calls at once.
3. ``held_calls``: what is fetched, running, and finished; the latter goes to the store in groups (``ack_buffer``).
4. ``slot_monitor``: one thread that looks after calls that take long: notes them as running, sends what has finished
   meanwhile, hands back what waits behind them, and finds claims whose reply was lost.
5. ``consumer``: those together, and how they begin and end. On top of it calls are fetched from queues (``pool``) or
   come in messages (``message_consumer``).
"""

from orchestrator.slots.pool import Slots, SlotsOptions
from orchestrator.slots.table import SlotTable

__all__ = ["SlotTable", "Slots", "SlotsOptions"]
