"""A soak: thousands of calls of every kind while processes are killed, connections cut, the server restarted.

``python -m chaos`` (``make chaos``) prints a table at the end: what was accepted, what became of it, and what was done
to it meanwhile. It ends with status 0 only when nothing was lost, run twice to an end, wrong, or left behind.
"""
