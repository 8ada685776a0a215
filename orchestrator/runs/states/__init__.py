"""States of runs. Users import them from :mod:`orchestrator.states`, the door of this room."""
