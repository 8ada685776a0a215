"""Other task queues beside ours: an environment for each, and the same questions to all (see docs/peers.md)."""
