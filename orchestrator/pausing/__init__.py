"""Flow runs that wait for people: paused in their process, or suspended without one, and resumed with an input.

``pause`` is a pause as the store keeps it, ``in_flow`` begins one, ``requests`` come from outside, ``resuming`` ends
it, ``run_input`` is what it waits for, ``kept_calls`` what a suspended run need not do again.

A pause is a call that nobody runs: it waits for its timeout, and whoever resumes the flow run cancels it. So waiting
for it, parking a suspended run behind it, timing out and waking are what the queue does for any call.
"""
