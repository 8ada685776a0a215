"""Where settings come from beside code: variables of the environment, and profiles in a file of the user.

Nothing here knows what a setting means; :mod:`orchestrator.settings` does.
"""
