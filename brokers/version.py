"""The release, for every floor; the same as in pyproject.toml."""

__version__ = "0.1.0"
