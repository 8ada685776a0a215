"""Limits on what goes on at once: of deployments, pools and queues, and by name in any code.

``sync`` and ``asyncio`` are what users import; ``deployment_limits`` says which limits a run of a deployment has.
"""
