"""What events are made of; see :mod:`orchestrator.events.schemas.events`."""
