"""How fast it is, measured: ``make bench`` (see README.md in this directory)."""
