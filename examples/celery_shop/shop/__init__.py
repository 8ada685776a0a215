"""A shop that has been running Celery for years."""
