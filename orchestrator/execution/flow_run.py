"""A run of a flow: what it is called, what is around it, and how the store is notified of its states.

How it runs is in ``local_flows.py`` (in the process that called it) and in ``flow_deliveries.py`` (on a worker).
"""

from __future__ import annotations

import hashlib
import logging
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from orchestrator.client.flow_reports import Report
from orchestrator.execution.child_runs import ChildRuns
from orchestrator.execution.flow_record import record_of
from orchestrator.execution.step import goes_through_from_beside
from orchestrator.execution.storing import storing_of_flow
from orchestrator.observability.run_logs import Keep
from orchestrator.pausing.kept_calls import KeptCalls
from orchestrator.runnables.functions import digest_of_file
from orchestrator.runs.current import current_attempt, current_flow_run, current_tags
from orchestrator.runs.deployed import DeployedRun
from orchestrator.runs.run_ids import RunNameError, run_name_from
from orchestrator.states import Running, State, StateType

if TYPE_CHECKING:
    from orchestrator.execution.attempt import Attempt
    from orchestrator.runnables.runnable import Runnable

log = logging.getLogger("orchestrator.flow_runs")


class FlowRun:
    """One run of a flow; what the code inside can ask about itself (``orchestrator.runtime.flow_run``).

    Attributes:
        id, name, parameters, tags, run_count, state: as their names say.
        task_runner: runs the calls that the flow submits.
    """

    def __init__(
        self,
        flow: Runnable,
        run_id: str,
        parameters: dict[str, Any],
        task_runner: Any,  # see orchestrator.task_runners.TaskRunner
        *,
        delivery: Attempt | None = None,
        is_refused: bool = False,
    ) -> None:
        self.flow = flow
        self.run_id = run_id
        self.parameters = parameters
        self.task_runner = task_runner
        self.parent = cast("FlowRun | None", current_flow_run.get())
        self.start_time = datetime.now(UTC)
        self.is_over = False
        self.delivery = delivery  # the attempt of a worker's delivery, if the flow was sent to one
        self.ticket = delivery.ticket if delivery is not None else ""
        self.deployed = delivery.deployed if delivery is not None else None  # of a run of a deployment
        self.name_error: RunNameError | None = None
        self.refusal: State[Any] | None = None  # how it ends without being begun
        self.is_known = False  # others can see it in the store
        self.shown_parameters: bytes | None = None  # as the record has them, see flow_record.py
        self._process = os.getpid()
        self.children = ChildRuns()
        self.pauses = 0  # how many this attempt has come to
        # of a run that a worker got, which can be suspended
        self.kept_calls = KeptCalls(run_id) if self.ticket else None
        self.cancelled_with_it: set[str] = set()  # runs of deployments that it started
        self.tags = frozenset(flow.options.tags) | current_tags.get()
        self.run_count = 0
        caller = current_attempt.get()
        self.called_in = caller  # the attempt whose code has called the flow
        self.undo_log: Any = None  # of the run on a worker, see undo_log_of
        self.parent_task_run_id: str | None = caller.run_id if caller is not None else None
        if delivery is not None:
            self.tags |= frozenset(delivery.tags)
            self.run_count = delivery.run_count - 1
            self.parent_task_run_id = delivery.parent_task_run_id
        self.state: State[Any] = Running(flow_run_id=run_id)
        self.storing = delivery.storing if delivery is not None else storing_of_flow(flow, self.parent)
        self.known_before = self._completed_before()
        self.name = self._default_name() if is_refused or self.known_before else self._make_name()
        self._hash: str | None = None

    @property
    def id(self) -> str:
        """Its id."""
        return self.run_id

    @property
    def flow_name(self) -> str:
        """The name of its flow."""
        return self.flow.name

    @property
    def what(self) -> str:
        """What runs, for messages."""
        return f"flow {self.flow.name}"

    @property
    def retries(self) -> int:
        """How often it has failed and was tried again."""
        return self.run_count - 1 if self.delivery is None else self.delivery.retries

    def _make_name(self) -> str:
        """As a task run's: a template that fails costs the name only; one that returns no text is the flow's error."""
        template = self.flow.options.flow_run_name
        if self.deployed is not None and self.deployed.run_name:  # whoever started it has named it
            return self.deployed.run_name
        try:
            if isinstance(template, str):
                return template.format(**self.flow.signature.masked(self.parameters))
            if template is not None:
                return run_name_from(template, self.parameters, "flow_run_name")
        except RunNameError as error:
            self.name_error = error
        except BaseException as error:
            if goes_through_from_beside(error, self):
                raise
            log.warning("flow_run_name of flow %s failed: %r (run %s)", self.flow.name, error, self.run_id)
        return self._default_name()

    def _default_name(self) -> str:
        given = self.deployed.run_name if self.deployed is not None else None
        return given or f"{self.flow.name}-{self.run_id[-4:]}"

    def _completed_before(self) -> State[Any] | None:
        """How this child flow completed under an earlier attempt of its parent: it is not run again then."""
        if self.parent is None or self.parent.run_count < 2 or self.flow.options.persist_result is False:
            return None
        return self.parent.children.completed_before(self.flow, self.parameters)

    @property
    def log_prints(self) -> bool | None:
        """The option of the flow, else that of the surroundings of its sender; ``None``: as around it."""
        option = self.flow.options.log_prints
        return self.delivery.log_prints if option is None and self.delivery is not None else option

    @property
    def keep_log(self) -> Keep | None:
        """Where log lines of this run and its local tasks are kept; nowhere when no server is in use."""
        fleet = _fleet_in_use()
        return fleet.logs.add if fleet is not None else None

    @property
    def state_type(self) -> StateType:
        """Type of its state."""
        return self.state.type

    @property
    def state_name(self) -> str:
        """Name of its state."""
        return self.state.name

    @property
    def expected_start_time(self) -> datetime:
        """When it was to begin."""
        deployed = self.deployed
        if deployed is None or deployed.expected_at is None:
            return self.start_time
        return datetime.fromtimestamp(deployed.expected_at, UTC)

    @property
    def end_time(self) -> datetime | None:
        """When it ended; ``None``: it has not."""
        return self.state.timestamp if self.state.is_final() else None

    @property
    def total_run_time(self) -> timedelta:
        """From its start in this process to its end, or to now."""
        return (self.end_time or datetime.now(UTC)) - self.start_time

    def parameters_hash(self) -> str:
        """A hash of the parameters, for the cache policy FLOW_PARAMETERS."""
        if self._hash is None:
            from orchestrator.cache_policies import stable_hash

            try:
                self._hash = stable_hash(self.parameters)
            except ValueError:
                self._hash = hashlib.sha256(self.run_id.encode()).hexdigest()
        return self._hash

    @property
    def flow_version(self) -> str:
        """The version of its flow; a digest of the file it is written in, unless the flow was given one."""
        return self.flow.options.version or digest_of_file(self.flow.fn)

    @property
    def parent_flow_run_id(self) -> str | None:
        """The flow run that called this one."""
        if self.parent is None:
            return self.delivery.flow_run_id if self.delivery is not None else None
        return self.parent.run_id

    @property
    def root_flow_run_id(self) -> str:
        """The outermost flow run around this one: itself, if nothing is around it.

        On a worker it is that of the sender: what is around that is not known there.
        """
        if self.parent is None:
            root = self.deployed.root_flow_run_id if self.deployed is not None else None
            return root or self.parent_flow_run_id or self.run_id
        return self.parent.root_flow_run_id

    @property
    def deployment_id(self) -> str | None:
        """The deployment that it is a run of."""
        return self.deployed.deployment_id if self.deployed is not None else None

    @property
    def deployment_name(self) -> str | None:
        """That deployment's own name."""
        return self.deployed.name if self.deployed is not None else None

    @property
    def job_variables(self) -> dict[str, Any] | None:
        """Those of the deployment, with the run's own over them."""
        deployed = self.deployment_here
        return dict(deployed.job_variables) if deployed is not None and deployed.job_variables else None

    @property
    def auto_scheduled(self) -> bool:
        """Whether a schedule has made it."""
        return self.deployed is not None and self.deployed.schedule_id is not None

    @property
    def parent_deployment_id(self) -> str | None:
        """The deployment that the flow run around this one is a run of."""
        if self.parent is not None:
            around = self.parent.deployment_here
            return around.deployment_id if around is not None else None
        return self.deployed.parent_deployment_id if self.deployed is not None else None

    @property
    def deployment_here(self) -> DeployedRun | None:
        """The deployment that it, or the nearest run around it in this process, is a run of."""
        if self.deployed is None and self.parent is not None:
            return self.parent.deployment_here
        return self.deployed

    # -- for others to see ---------------------------------------------------------------------------------------

    def note(self, state: State[Any], *, is_over: bool = False) -> None:
        """The run is in this state now; the store is notified soon, if one is in use or this flow's calls go to it."""
        self.state, self.is_over = state, is_over
        fleet = self._fleet()
        if fleet is not None:
            # Of a flow that was sent to a worker the lease of its delivery says whether it goes on.
            goes_on = not is_over and not self.ticket
            fleet.flow_reports.write_soon(Report(self.run_id, record_of(self, state), goes_on))

    def make_known(self) -> None:
        """Wait until the store knows what was noted; not for long, and not while it is away."""
        self.is_known = True
        fleet = self._fleet()
        if fleet is not None:
            fleet.flow_reports.flush()

    def _fleet(self) -> Any:
        from orchestrator.client.fleet import current_fleet

        if os.getpid() != self._process:  # a fork of the process that runs it: what ends there is not the flow
            return None
        return current_fleet() if hasattr(self.task_runner, "prepare") else _fleet_in_use()

    def begin_attempt(self) -> None:
        """The function is about to be called, for the first time or again."""
        self.run_count += 1
        self.pauses = 0
        self.children.begin_attempt()


def _fleet_in_use() -> Any:
    from orchestrator.client import fleet

    current = fleet._current
    return current if current is not None and current.ready else None


def record_of_sent(
    flow: Runnable, run_id: str, parameters: dict[str, Any], runner: Any, state: State[Any]
) -> dict[str, str | bytes]:
    """What the record says of a run that was sent to a worker and has not begun."""
    record = record_of(FlowRun(flow, run_id, parameters, runner, is_refused=True), state)
    del record["began"]
    return record
