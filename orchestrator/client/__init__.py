"""This process beside the fleet: its connection, its open futures, waiting."""
