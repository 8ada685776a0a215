"""The cache of results, shared by the whole fleet because it lives in the store."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from orchestrator import serializers
from orchestrator.client.fleet import Fleet, current_fleet
from orchestrator.errors import PayloadTooLarge, SerializationError
from orchestrator.result_storage.choice import default_place

FOREVER_SECONDS: Final = 365 * 86_400.0
CLAIM_SECONDS: Final = 3600.0  # a claim outlives no run that is longer, but a crashed one's is taken over: see claim()


class StoreCache:
    """Results by cache key, in the store of this process's fleet.

    Args:
        fleet: whose store; the process's own, found at the first use, unless given.
    """

    def __init__(self, fleet: Fleet | None = None) -> None:
        self._fleet = fleet

    @property
    def fleet(self) -> Fleet:
        """Whose store it is."""
        return self._fleet or current_fleet()

    def get(self, key: str) -> tuple[bool, Any]:
        """Whether there is a result, and which; one that cannot be read here counts as none."""
        body = self.fleet.broker.cache.get(_hashed(key))
        if body is None:
            return False, None
        try:
            return True, serializers.unpack_value(body, context=lambda: ("cache", key))
        except SerializationError:
            return False, None

    def put(self, key: str, value: Any, ttl_seconds: float | None) -> None:
        """Keep a result; without an expiration for a year."""
        context = lambda: ("cache", key)  # noqa: E731
        try:
            body = serializers.pack_value(value, context=context, limits=self.fleet.limits)
        except PayloadTooLarge:
            if (place := default_place()) is None:
                raise
            from orchestrator.result_storage.files import write_result
            from orchestrator.result_storage.keys import new_key

            stored = write_result(place, new_key(f"cached-{_hashed(key)[:32]}"), value, run_id="", task="")
            body = serializers.pack_value(stored, context=context, limits=self.fleet.limits)
        self.fleet.broker.cache.put(_hashed(key), body, ttl_seconds or FOREVER_SECONDS)

    def claim(self, key: str, run_id: str) -> str:
        """The run that computes this key now: ``run_id`` itself unless another, living one does.

        See :func:`is_of_a_process` for what it may look like.
        """
        hashed, mine = _hashed(key), self._claim_of(run_id)
        holder = self.fleet.broker.cache.lock(hashed, mine, CLAIM_SECONDS)
        if holder != mine and self._has_ended(holder):  # it ended without letting go: it crashed
            self.fleet.broker.cache.unlock(hashed, holder)
            holder = self.fleet.broker.cache.lock(hashed, mine, CLAIM_SECONDS)
        return run_id if holder == mine else holder

    def _claim_of(self, run_id: str) -> str:
        return run_id

    def _has_ended(self, holder: str) -> bool:
        run_id, _, process = holder.partition("@")
        if process:  # a run of which the store knows nothing: it lives as long as its process
            return not self.fleet.broker.inboxes.is_listening(process)
        return self.fleet.latest_state(run_id).is_settled()

    def release(self, key: str, run_id: str) -> None:
        """Let others compute it, if ``run_id`` is the run that does."""
        self.fleet.broker.cache.unlock(_hashed(key), self._claim_of(run_id))


class LocalCache(StoreCache):
    """The same cache, for runs that this process runs by itself: they and their process hold a claim together."""

    def _claim_of(self, run_id: str) -> str:
        return f"{run_id}@{self.fleet.open_inbox()}"


def is_of_a_process(holder: str) -> bool:
    """Whether a claim's holder is a run that a process runs by itself, ``run@process``: no record has its end."""
    return "@" in holder


def _hashed(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
