"""Engine 2: calls travel as Celery messages over any broker that kombu speaks (RabbitMQ, Redis, ...).

The store (Redis or Valkey) keeps what a call is: record, body, state, result, delays, dependencies. A message names the
calls that a worker should take, and nothing more; who takes them claims them in the store, where they are held, fenced
and completed as on engine 1. So a message that comes twice, late, or to a worker that died does no harm.

``messages``   pure: which calls travel together, what a message looks like to Celery
``topology``   queues: their names, kinds and where dead messages go
``publisher``  one connection of a process; fails within its time, confirms what it says
``runs``       sends calls: written, published, noted as published
``carrier``    what a worker needs: claim a message's calls
``broker``     the facets of a Redis store, with these two
``relay``      publishes what scripts have queued, and what a sender that died has left
"""
