"""Connections to a Redis or Valkey server, and groups of commands on them."""
