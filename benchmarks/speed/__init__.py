"""The same work for us, for the bare limit and for other task queues; see benchmarks/README.md.

``cell`` measures one system in one round, ``run`` goes round by round, ``figures`` are the statistics, ``targets`` says
what must be reached, ``report`` and ``plots`` show it. ``apps/`` runs in the environments of the peers.
"""
