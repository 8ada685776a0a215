"""This process's connection to the fleet, for programs that choose it themselves.

Most programs never need it: the first call opens the fleet that the settings name.
"""

from orchestrator.client.fleet import Fleet, current_fleet, use_fleet

__all__ = ["Fleet", "current_fleet", "use_fleet"]
