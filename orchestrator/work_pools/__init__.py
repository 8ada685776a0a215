"""Work pools: under one name, the queues of deployments, the limits that hold for their runs, and what a run is given.

``record`` is a pool as the store keeps it, ``lookup`` finds pools, ``editing`` changes them, ``job`` is what a run is
given, ``members`` are the deployments of a pool.
"""
