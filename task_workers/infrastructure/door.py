"""Where a worker of containers executes calls: it starts something for each, and holds the call until that takes over.

Whatever comes of it is acknowledged only after the call has been taken out of reach of what was started
(:meth:`InfrastructureDoor._fence`): either the process inside runs the flow, or this worker decides how the run ends.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from brokers.messages import Delivery
from brokers.schema import HOOKS_CALL
from orchestrator.client.fleet import Fleet
from orchestrator.deployments.call import CANNOT_BEGIN, DeploymentCall, crashed, job_to_start
from orchestrator.deployments.hooks_call import attempt_of
from orchestrator.errors import BrokerError, MissingFlowError, OrchestratorError, RunCrashed
from orchestrator.execution.attempt import Attempt
from orchestrator.execution.interrupt import CancelRun
from orchestrator.execution.verdicts import Verdict
from orchestrator.serializers.outcomes import flow_message
from orchestrator.slots.acks import Refusal
from orchestrator.slots.lane import GivenAway
from orchestrator.slots.lane_host import Codec, LaneHost
from orchestrator.slots.running import RunningCall
from orchestrator.states import Cancelled, Crashed
from orchestrator.work_pools.common_variables import GRACE_SECONDS
from orchestrator.work_pools.job import Job
from orchestrator.work_pools.run_labels import DELIVERY, PREFIX, RUN, WORKER, delivery_label, label_value, name_for
from task_workers.infrastructure.base import Handle, Infrastructure, InfrastructureError, Phase, Wanted
from task_workers.infrastructure.output import OutputStream
from task_workers.infrastructure.variables import OwnCall, variables_for
from task_workers.infrastructure.watch import Holder, Limits, Watch, ending_of

log = logging.getLogger("orchestrator.infrastructure")
DRAIN_SHARE: Final = 0.5  # of the shutdown timeout, for what was started a moment ago to take its run over
STORE_AGAIN_SECONDS: Final = 0.5
LARGEST_EXIT_CODE: Final = 128  # of programs; above it stands the signal by which one was killed


class NotBegun(Exception):
    """This worker ends before what it started has taken the run over: others may start something for it."""


class Pool(NamedTuple):
    """The pool that a worker works for.

    Attributes:
        name: of it.
        labels: of all that is started for it.
        environ: of this worker.
    """

    name: str
    labels: Mapping[str, str]
    environ: Mapping[str, str]


class InfrastructureDoor:
    """See :class:`orchestrator.slots.lane.Door`.

    Args:
        fleet: where the calls come from.
        pool: whose runs these are.
        infrastructure: what starts something for them.
        host: the calls of this process.
        codec: makes attempts.
        consumer: that claims the calls.
        watched: handles that are looked after here.
    """

    begins_runs = False
    not_started_by: tuple[type[BaseException], ...] = (NotBegun,)

    def __init__(
        self,
        fleet: Fleet,
        pool: Pool,
        infrastructure: Infrastructure,
        host: LaneHost,
        codec: Codec,
        consumer: str,
        watched: set[Handle],
    ) -> None:
        self._fleet, self._pool, self._infrastructure = fleet, pool, infrastructure
        self._host, self._codec, self._consumer, self._watched = host, codec, consumer, watched

    async def decode(self, delivery: Delivery) -> Attempt | Refusal:
        """Blocks; what names another queue, or is signed by nobody, is refused here already."""
        return self._codec.attempt(delivery)

    async def execute(self, call: RunningCall, attempt: Attempt) -> Verdict:
        """Blocks until what was started is gone. Raises GivenAway: the process inside has acknowledged the call."""
        wake = threading.Event()

        def interrupt() -> bool:
            wake.set()
            return True

        call.interrupt = interrupt
        own = OwnCall(attempt.run_id, attempt.ticket, self._consumer)
        try:
            watch = self._started(own, attempt, wake)
            self._watched.add(watch.handle)
            try:
                return self._look_after(watch, call, attempt)
            finally:
                self._watched.discard(watch.handle)
        except (GivenAway, NotBegun):
            raise
        except (*CANNOT_BEGIN, InfrastructureError) as error:
            self._fence(own)
            return _crashed_state(attempt, error)
        except BaseException:
            self._fence(own)
            raise
        finally:
            call.interrupt = None

    # -- starting --------------------------------------------------------------------------------------------------

    def _started(self, own: OwnCall, attempt: Attempt, wake: threading.Event) -> Watch:
        name, job, labels = self._wanted(attempt)
        self._note(own.run_id, "InfrastructurePending", f"a {self._infrastructure.noun} is started for it")
        labels |= {RUN: own.run_id, DELIVERY: delivery_label(own.ticket), WORKER: own.holder, **self._pool.labels}
        env = variables_for(own, self._pool.environ, self._fleet.settings.private)
        short = f"{name_for(name, 40)}-{delivery_label(own.ticket)[:8]}"
        handle = self._infrastructure.start(Wanted(job, short, labels, env))
        log.info("flow run %s (%s): %s was started", name, own.run_id, handle)
        given = job.configuration
        output = OutputStream(self._infrastructure, handle, name, given.get("stream_output") is not False, wake.set)
        limits = Limits(
            _seconds(given, "grace_period_seconds") or GRACE_SECONDS,
            _seconds(given, "pod_watch_timeout_seconds"),
            _seconds(given, "job_watch_timeout_seconds"),
        )
        return Watch(
            self._fleet,
            self._infrastructure,
            handle,
            own,
            limits,
            output,
            auto_remove=given.get("auto_remove") is True,
            is_draining=lambda: self._host.draining,
            wake=wake,
        )

    def _wanted(self, attempt: Attempt) -> tuple[str, Job, dict[str, str]]:
        """A name for people, what is to be started, and labels that say for what."""
        of_run = attempt
        if attempt.task.task_key == HOOKS_CALL:  # of a run whose process was killed: in surroundings like its own
            of_run = attempt_of(self._fleet, str(attempt.args[0]))
        if not isinstance(of_run.task, DeploymentCall):
            raise MissingFlowError(f"no run of a deployment, but of {of_run.task.task_key!r}")
        record, job = job_to_start(of_run, self._pool.name)
        facts = self._fleet.broker.flow_runs.read(attempt.run_id)
        name = facts.get("name", b"").decode("utf-8", "replace") or f"{record.flow_name}-{attempt.task.name}"
        labels = {"flow-run-name": name, "flow-name": record.flow_name, "deployment-name": record.name}
        return name, job, {PREFIX + key: label_value(value) for key, value in labels.items()}

    def _note(self, run_id: str, state: str, message: str) -> None:
        """For people; before anything is started, so that it never comes after what the run itself notes."""
        facts: dict[str, str | bytes] = {
            "type": "PENDING",
            "state": state,
            "message": flow_message(run_id, message),
            "at": f"{time.time():.3f}",
        }
        if self._fleet.broker.flow_runs.read(run_id):  # calls of hooks have no record
            self._fleet.broker.flow_runs.write(run_id, facts)

    # -- until the process inside has the call -----------------------------------------------------------------------

    def _look_after(self, watch: Watch, call: RunningCall, attempt: Attempt) -> Verdict:
        drained_at: float | None = None
        while True:
            standing = watch.standing()
            if standing.holder is Holder.INSIDE:
                watch.until_the_end()
                raise GivenAway
            if standing.holder is Holder.NOBODY_HERE:  # this process was frozen for longer than its lease
                watch.end(0.0)
                watch.close()
                raise GivenAway
            if call.cancelled or standing.is_cancelling:
                if self._withdrawn(watch):
                    cancel = CancelRun("cancelled before it started")
                    return Cancelled(message=str(cancel), data=cancel.as_error())
            elif (trouble := _trouble_of(watch)) is not None and self._withdrawn(watch):
                if trouble.may_pass:
                    self._queue_again(watch.call, trouble.reason)
                    raise GivenAway
                return self._crashed(watch, attempt, trouble.reason)
            elif self._host.draining:
                drained_at = drained_at or time.monotonic()
                patience = self._fleet.settings.shutdown_timeout_seconds * DRAIN_SHARE
                if time.monotonic() - drained_at > patience and self._withdrawn(watch):
                    raise NotBegun
            watch.pause()

    def _withdrawn(self, watch: Watch) -> bool:
        """Whether this worker still has the call; then what was started is ended, and cannot have it any more."""
        if not self._fence(watch.call):
            return False
        watch.end(self._fleet.settings.kill_grace_seconds)
        watch.close()
        return True

    def _queue_again(self, own: OwnCall, reason: str) -> None:
        """What was started was killed: something else is started for it, and after so many times nothing any more."""
        settings = self._fleet.settings
        while True:
            try:
                self._fleet.broker.deliveries.take_over(
                    _out_of_reach(own),
                    running={own.run_id: reason},
                    max_deliveries=settings.max_deliveries,
                    dead_letter_ttl_seconds=settings.dead_letter_ttl_seconds,
                )
                return
            except BrokerError as error:
                log.warning("flow run %s: the store does not answer: %s", own.run_id, error)
                time.sleep(STORE_AGAIN_SECONDS)

    def _fence(self, own: OwnCall) -> bool:
        """Put the call out of reach of what was started for it; whether it was still here. Waits for the store."""
        other = _out_of_reach(own)
        while True:
            try:
                hand_over = self._fleet.broker.deliveries.hand_over
                return hand_over(own.run_id, own.ticket, own.holder, other, even_cancelled=True) is not None
            except BrokerError as error:
                log.warning("flow run %s: the store does not answer: %s", own.run_id, error)
                time.sleep(STORE_AGAIN_SECONDS)

    def _crashed(self, watch: Watch, attempt: Attempt, trouble: str) -> Verdict:
        lines = watch.output.last_lines
        if lines:
            text = f"{watch.handle} wrote last:\n{lines}"
            self._fleet.logs.add(attempt.run_id, "ERROR", text.encode("utf-8", "replace").decode(), time.time())
            trouble = f"{trouble}; its last line: {lines.splitlines()[-1]}"
        return _crashed_state(attempt, RunCrashed(trouble))


def _crashed_state(attempt: Attempt, error: OrchestratorError) -> Verdict:
    if attempt.task.task_key != HOOKS_CALL:
        return crashed(attempt, error)
    attempt.started_at = time.time()  # no flow run, so nothing is noted of one
    return Crashed(message=str(error), data=error)


def _out_of_reach(own: OwnCall) -> str:
    """The consumer that holds a call which is out of reach; orders still come to us: see cancelling.lua."""
    return f"{own.holder}.end"


class Trouble(NamedTuple):
    """Why what was started will not take its call over, and whether it may go better another time."""

    reason: str
    may_pass: bool = False


def _trouble_of(watch: Watch) -> Trouble | None:
    """``None`` as long as it may take it over."""
    condition = watch.look()
    limits, age = watch.limits, watch.age()
    if condition is not None and condition.is_over:
        was_killed = condition.exit_code is None or condition.exit_code > LARGEST_EXIT_CODE
        return Trouble(f"its {watch.handle.kind} ended {ending_of(condition)} before it began", was_killed)
    reason = f": {condition.reason}" if condition is not None and condition.reason else ""
    is_starting = condition is None or condition.phase is Phase.STARTING
    if limits.pod is not None and is_starting and age > limits.pod:
        return Trouble(f"its pod did not run within pod_watch_timeout_seconds={limits.pod:g}{reason}")
    if age > limits.grace:
        return Trouble(f"it did not begin within grace_period_seconds={limits.grace:g}{reason}")
    return None


def _seconds(given: Mapping[str, Any], name: str) -> float | None:
    value = given.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else None
