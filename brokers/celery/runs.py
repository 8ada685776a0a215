"""Runs whose calls travel as messages: written to the store, published, noted as published."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from brokers.errors import BrokerError
from brokers.messages import Envelope, Named
from brokers.redis.runs import RedisRuns, add_run_ids, begins_a_block, note_queued, portions
from brokers.redis.store import RedisStore
from brokers.schema import Extra, stays_in_store
from brokers.stored import number, text

from .messages import UNKNOWN_SECONDS, Carried, calls_per_range, messages_for
from .publisher import Publisher

SPEEDS_AGE_SECONDS: Final = 2.0


class CeleryRuns:
    """See :class:`brokers.base.Runs`. A call that was written and not published is published later.

    Args:
        store: where the calls are kept.
        runs: its runs.
        publisher: the connection to the broker that carries the calls.
    """

    def __init__(self, store: RedisStore, runs: RedisRuns, publisher: Publisher) -> None:
        self._store, self._runs, self._publisher = store, runs, publisher
        self.cancel, self.replay, self.run_now = runs.cancel, runs.replay, runs.run_now
        self.delete, self.move_due = runs.delete, runs.move_due  # what these queue goes to the outbox: see ``relay``
        self._speeds: dict[str, float] = {}
        self._speeds_read = 0.0

    @property
    def keeps_blocks(self) -> bool:
        return self._store.blocks

    def submit(self, envelopes: Sequence[Envelope]) -> Sequence[str]:
        """Write and publish; nothing of a portion stays when it cannot be published."""
        run_ids: list[str] = []
        framed = envelopes if begins_a_block(envelopes) else None  # its calls keep their ids: no list is made of them
        sent, some = 0, envelopes
        try:
            for some in portions(envelopes):
                known = self._submit(some)
                sent += len(some)
                if framed is None:
                    add_run_ids(run_ids, some, known)
        except BrokerError as error:
            note_queued(error, run_ids if framed is None else framed.run_ids[:sent], some)
            raise
        return run_ids if framed is None else framed.run_ids

    def check_carrier(self) -> None:
        """Make sure that the broker that carries the calls answers. Raises BrokerUnavailable, BrokerRefused."""
        self._publisher.check()

    def _submit(self, envelopes: Sequence[Envelope]) -> list[tuple[int, bytes]]:
        if not all(stays_in_store(envelope.route[:-3]) for envelope in envelopes):
            self._publisher.check()
        known, unpublished = self._runs.write(envelopes, self._calls_per_range)
        if not unpublished:
            return known
        calls = [_carried(*row) for row in unpublished]
        if not all(call.named.calls for call in calls):
            sizes = {envelope.run_id: len(envelope.body) for envelope in envelopes}
            calls = [call._replace(size=sizes.get(call.named.key, 0)) for call in calls]
        try:
            self.publish(calls)
        except BrokerError as error:
            error.queued_run_ids = self._withdraw(envelopes, error)
            error.reply_lost = False  # the store has answered: it is known which are queued
            raise
        return known

    def publish(self, calls: Sequence[Carried]) -> None:
        """Publish calls that are in the store, and note that nobody else has to. Raises BrokerError."""
        self._publisher.publish(messages_for(calls, self.seconds_of()))
        with suppress(BrokerError):  # then someone publishes them again, which changes nothing
            self._store.run("published", [call.named.key for call in calls])

    def _calls_per_range(self, task: str) -> int:
        return calls_per_range(self.seconds_of().get(task, UNKNOWN_SECONDS))

    def _withdraw(self, envelopes: Sequence[Envelope], error: BrokerError) -> tuple[str, ...]:
        """Take back what could not be published; returns the run ids of those that run all the same."""
        pairs = [
            (envelope.run_id, ((envelope.extras or {}).get(Extra.IDEMPOTENCY) or [False])[0]) for envelope in envelopes
        ]
        try:
            return tuple(run_id.decode() for run_id in self._store.run("withdraw", pairs))
        except BrokerError as also:
            error.args = (
                f"{error} The {len(pairs)} calls could not be taken back either ({also}): they are sent when both are "
                "there again.",
            )
            return tuple(run_id for run_id, _ in pairs)

    def seconds_of(self) -> dict[str, float]:
        """How long a call takes, by task, as the workers have noted; read every few seconds."""
        now = time.monotonic()
        if now - self._speeds_read > SPEEDS_AGE_SECONDS:
            self._speeds_read = now
            with suppress(BrokerError):
                (fields,) = self._store.hashes([self._store.keys.speeds])
                self._speeds = {text(task): number(value) or 0.0 for task, value in fields.items()}
        return self._speeds


def _carried(key: bytes, ticket: bytes, task: bytes, first: int = 0, count: int = 0) -> Carried:
    """A row of ``submit.lua``."""
    return Carried(Named(text(key), text(ticket), first, count), text(task))
