"""The facets of a broker, a protocol each. ``brokers.base`` puts them together and is where to import them from."""
