"""The steps of an attempt that look a result up in the cache, and keep it there."""

from __future__ import annotations

import logging
from collections.abc import Generator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from orchestrator.errors import MissingResult, ResultStorageError, SerializationError
from orchestrator.execution.attempt import Attempt, Cache, TaskRun
from orchestrator.execution.step import Step, goes_through_from_beside
from orchestrator.execution.verdicts import Verdict, WaitForRun
from orchestrator.runs.stored_result import StoredResult
from orchestrator.states import Completed, Running, State

if TYPE_CHECKING:
    from orchestrator.cache_policies import CachePolicy

log = logging.getLogger("orchestrator.engine")


class Asked:
    """The running call as a cache policy or ``cache_key_fn`` may ask about it: the attempt, and its run as for hooks.

    Follows Prefect 3 (``prefect.context.TaskRunContext``).
    """

    __slots__ = ("_attempt",)

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt

    @property
    def task_run(self) -> TaskRun:
        """The run; its state is Running."""
        return self._attempt.task_run(Running(task_run_id=self._attempt.run_id))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._attempt, name)


def caching_of(attempt: Attempt) -> CachePolicy | None:
    """The policy that applies; ``persist_result=True`` alone means the default policy, as in Prefect."""
    options = attempt.options
    if options.cache_policy is None and options.cache_key_fn is None:
        if not options.persist_result or options.result_storage_key is not None:  # what is under that key is the result
            return None
        from orchestrator.cache_policies import DEFAULT

        return DEFAULT
    return None if options.persist_result is False else options.caching


def cache_key(attempt: Attempt, policy: CachePolicy) -> str | None:
    """The key of this call, ``None`` for none; an argument without stable content means none (logged)."""
    try:
        flow_parameters = {"#": attempt.flow_parameters_hash} if attempt.flow_parameters_hash else {}
        return policy.compute_key(Asked(attempt), attempt.parameters, flow_parameters)
    except BaseException as error:
        if goes_through_from_beside(error, attempt):
            raise
        log.warning("task %s is not cached this time: %r (run %s)", attempt.task.name, error, attempt.run_id)
        return None


def look_into_cache(attempt: Attempt, policy: CachePolicy, key: str | None) -> Generator[Step, Any, Verdict | None]:
    """A Cached state for a hit; WaitForRun when an identical call is running and the policy wants only one."""
    if key is None or attempt.services.cache is None or attempt.options.refreshes:
        return None
    hit, value = yield from _get(attempt, attempt.services.cache, key)
    if hit:
        return Completed(name="Cached", message="found in the cache", data=value)
    if policy.isolation == "serializable":
        holder = yield Step(attempt.services.cache.claim, (key, attempt.run_id), None, True)
        if holder != attempt.run_id:
            return WaitForRun(holder)
        hit, value = yield from _get(attempt, attempt.services.cache, key)  # it may have been put between the two
        if hit:
            yield Step(attempt.services.cache.release, (key, attempt.run_id), None, True)
            return Completed(name="Cached", message="found in the cache", data=value)
    return None


def _get(attempt: Attempt, cache: Cache, key: str) -> Generator[Step, Any, tuple[bool, Any]]:
    """What the cache has. A result in a file that is gone is none; one that is there stays where it is."""
    hit, value = yield Step(cache.get, (key,), None, True)
    if not hit or type(value) is not StoredResult:
        return hit, value
    try:
        loaded = yield Step(value.load, (), None, True)
    except (MissingResult, ResultStorageError, SerializationError) as error:
        log.warning("a cached result is not used, and computed again: %s", error)
        return False, None
    if attempt.storing is None:
        return True, loaded
    attempt.storing.stored = value
    return True, value if not attempt.options.cache_result_in_memory else loaded


def write_to_cache(attempt: Attempt, key: str, verdict: Verdict) -> Generator[Step, Any, None]:
    """Keep the result of a Completed attempt; failures are not cached. A cache that fails costs only the hit."""
    cache = attempt.services.cache
    if cache is None or not isinstance(verdict, State) or not verdict.is_completed():
        return
    expiration = attempt.options.cache_expiration
    seconds = expiration.total_seconds() if isinstance(expiration, timedelta) else None
    stored = attempt.storing.stored if attempt.storing is not None else None
    try:
        yield Step(cache.put, (key, verdict.data if stored is None else stored, seconds), None, True)
    except Exception as error:
        log.warning("the result of task %s was not cached: %s (run %s)", attempt.task.name, error, attempt.run_id)


def end_claim(attempt: Attempt, policy: CachePolicy, key: str) -> Generator[Step, Any, None]:
    """Others may compute it, if this attempt was the only one that did."""
    cache = attempt.services.cache
    if cache is None or policy.isolation != "serializable" or attempt.options.refreshes:
        return
    try:
        yield Step(cache.release, (key, attempt.run_id), None, True)
    except Exception as error:
        log.warning("others wait for task %s longer than needed: %s (run %s)", attempt.task.name, error, attempt.run_id)
