"""Modules that Prefect keeps under this name."""
