"""Slots: fetch, run, complete, with N places in this process.

The same slots serve a worker's child process, ``task_workers.serve`` and a flow that brings its own workers; they know
nothing of processes. What they consist of:

1. ``sync_lane``: threads that loop over fetched batches.
2. ``async_lane``: an event loop that runs many calls at once, fed by one thread.
3. ``finished``: ends of calls on their way to the store, in groups.
4. ``attendant``: one thread that looks after calls that take long: notes them as running, sends what has finished
   meanwhile, hands back what waits behind them, and finds claims whose reply was lost.
"""

from orchestrator.slots.slots import Slots, SlotsOptions, SlotTable

__all__ = ["SlotTable", "Slots", "SlotsOptions"]
