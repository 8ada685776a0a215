"""Runs of pools whose runs are containers: started by a worker, and executed in what it has started.

``base`` is what every kind of infrastructure can do, ``docker`` and ``kubernetes`` are two of them, ``door`` starts one
for a call and looks after it with ``watch``, ``adoption`` finds what others have started, ``inside`` is the process
that is started. The ticket of the call is the fence: the worker holds it until that process takes it over.
"""
