"""The task runner of the fleet: calls go to the queues."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from orchestrator.futures import PrefectFuture, PrefectFutureList
from orchestrator.runnables import registry
from orchestrator.runs.current import current_flow_run
from orchestrator.submission.deferred import DeferredFutureList, arguments_of_expansion
from orchestrator.task_runners.base import StartedByWith, arguments_of_call

if TYPE_CHECKING:
    from orchestrator.runnables.binding import Arguments, Rows
    from orchestrator.runnables.protocols import TaskLike


class FleetTaskRunner(StartedByWith):
    """Calls go to the queues; workers anywhere run them (ours, the default).

    On the private server of this user, with no live worker that knows the flow's tasks, the flow brings its own
    worker threads and keeps its calls to itself; should it die, they go to the common queue.

    Args:
        local_workers: "auto" as described, or "never". The setting decides unless given.
    """

    __module__ = "orchestrator.task_runners"  # a flow that is pickled with its runner names where users import it

    def __init__(self, local_workers: str | None = None) -> None:
        self._local_workers = local_workers
        self._decided = False
        self._local: Any = None
        self._flushed: Callable[[], None] | None = None
        self._lock = threading.Lock()

    def duplicate(self) -> FleetTaskRunner:
        return FleetTaskRunner(self._local_workers)

    def start(self) -> None:
        """Nothing is opened before the first call."""

    def stop(self, at_once: bool = False) -> None:
        """Send what waits. With workers of its own, the flow waits until they have done its calls.

        At once: those calls are cancelled. Calls on the fleet go on either way.
        """
        if self._flushed is not None:
            self._flushed()
        local = self._local
        if local is not None:
            local.abandon() if at_once else local.finish()
            self._local = None
            self._decided = False

    def submit(
        self,
        task: TaskLike,
        args: Sequence[Any] | Mapping[str, Any] = (),
        kwargs: dict[str, Any] | None = None,
        wait_for: Iterable[Any] | None = None,
        *,
        parameters: Mapping[str, Any] | None = None,
    ) -> PrefectFuture[Any]:
        from orchestrator.submission.send import send_watched

        call = arguments_of_call(task, args, kwargs, parameters)
        if current_flow_run.get() is not None:
            return self.map(task, [call], wait_for)[0]
        future = send_watched(task, *call, wait_for)
        self.sent(task, [future])
        return future

    def map(
        self, task: TaskLike, rows: Rows | Sequence[Arguments], wait_for: Iterable[Any] | None = None
    ) -> PrefectFutureList[Any]:
        from orchestrator.submission.send import send_calls

        run = current_flow_run.get()
        if run is not None:
            self.prepare(task)
        futures = send_calls(task, rows, wait_for, soon=run is not None)
        self.sent(task, futures)
        return futures

    @property
    def prepared(self) -> bool:
        """Whether it is known who runs the calls of this flow."""
        return self._decided

    def prepare(self, task: TaskLike) -> None:
        """The flow is about to send a call, in whatever way: it may need workers of its own. May block once."""
        if not self._decided:
            self._decide(task)

    def sent(self, task: TaskLike, futures: Iterable[PrefectFuture[Any]]) -> None:
        """The flow has sent calls. Those that its own workers do are waited for at its end."""
        run = current_flow_run.get()
        if run is not None and not run.is_known and asyncio._get_running_loop() is None:
            run.make_known()  # from here on others see its calls: let them see whose
        if self._local is not None:
            self._local.expect(task, futures)

    def map_later(
        self, task: TaskLike, args: Sequence[Any], kwargs: dict[str, Any], wait_for: Iterable[Any] | None
    ) -> PrefectFutureList[Any]:
        """A map whose length is known when some runs have ended: a worker makes its calls then."""
        from orchestrator.client.fleet import current_fleet
        from orchestrator.submission.call_options import NO_OPTIONS
        from orchestrator.submission.envelopes import EnvelopeBuilder

        task.signature.check(args, kwargs)
        if current_flow_run.get() is not None and not self._decided:
            self._decide(task)
        frame = EnvelopeBuilder(current_fleet(), task, None, NO_OPTIONS, False)
        call = arguments_of_expansion(frame.plan(), task, args, kwargs)
        expansion: Any = registry.built_in(registry.EXPANSION_KEY).with_options(
            queue=frame.queue, priority=task.options.priority
        )
        (future,) = self.map(expansion, [(call, {})], wait_for)
        futures: DeferredFutureList[Any] = DeferredFutureList.behind(future)
        if self._local is not None:
            self._local.expect_later(task, futures)
        return futures

    def _decide(self, task: TaskLike) -> None:
        """Whether this flow needs workers of its own, found out once, at its first call."""
        from orchestrator.client.fleet import current_fleet
        from orchestrator.slots.local_workers import local_workers_for

        with self._lock:
            if not self._decided:
                fleet = current_fleet()
                self._flushed = partial(fleet.calls.flush, wait_for_room=True)
                wanted = self._local_workers or fleet.settings.local_workers
                self._local = local_workers_for(fleet, task) if wanted == "auto" else None
                self._decided = True
