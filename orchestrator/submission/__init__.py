"""A call becomes an envelope and is sent."""
