"""The schedules of deployments: written when a deployment is, and the runs that their ticks make."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from brokers.errors import BrokerConflict
from brokers.messages import ASYNC_LANE, SYNC_LANE, Envelope, Route
from orchestrator.client.fleet import Fleet
from orchestrator.deployments.envelope import RunWishes, envelope_for_run
from orchestrator.deployments.parameter_schema import plain_parameters
from orchestrator.deployments.record import KIND, DeploymentRecord, record_of
from orchestrator.deployments.run_parameters import parameters_for_run
from orchestrator.errors import ConfigurationError, ParameterBindError, ParameterTypeError, SerializationError
from orchestrator.schedules import Schedule
from orchestrator.schedules.spec import schedule_id
from orchestrator.scheduling import edit
from orchestrator.scheduling.calls import TickRun
from orchestrator.scheduling.record import ScheduleRecord
from orchestrator.serializers.documents import pack_document, unpack_document
from orchestrator.variables import value_named

TRIES: Final = 10
LONGEST_PAUSE_SECONDS: Final = 0.5
_TEMPLATE: Final = "schedule-parameters"


def owner_of(deployment_id: str) -> str:
    """The owner of a deployment's schedules."""
    return f"d:{deployment_id}"


def write_schedule(
    fleet: Fleet,
    record: DeploymentRecord,
    schedule: Schedule,
    *,
    active: bool | None = None,
    the_id: str | None = None,
    who: str = "",
) -> edit.Applied:
    """Create a schedule of a deployment, or change it; people's pause of it stays unless ``active`` is given.

    Its id is made of what it says, unless ``the_id`` names one that is there.

    Raises:
        BrokerError: the server does not answer. SerializationError: its parameters cannot be kept.
    """
    owner = owner_of(record.id)
    the_id = the_id or schedule_id(owner, schedule)
    template = pack_document(_TEMPLATE, the_id, {"parameters": plain_parameters(schedule.parameters)})
    route = str(Route(record.run_queue, record.priority, ASYNC_LANE if record.isasync else SYNC_LANE))
    return edit.apply(fleet, owner, schedule, template, route, schedule_id=the_id, active=active, who=who)


def write_schedules(fleet: Fleet, record: DeploymentRecord, schedules: Sequence[Schedule], who: str = "") -> None:
    """Have a deployment have these schedules and no others.

    Others may do the same with theirs meanwhile: those of whoever comes last are there then.

    Raises:
        BrokerConflict: others change them all the time; and as :func:`write_schedule`.
    """
    owner = owner_of(record.id)
    for tries in range(TRIES):
        time.sleep(random.uniform(0, LONGEST_PAUSE_SECONDS * tries / TRIES))
        kept = {write_schedule(fleet, record, schedule, who=who).id for schedule in schedules}
        before = [found.id for found in edit.of_owner(fleet, owner)]
        edit.delete(fleet, [schedule for schedule in before if schedule not in kept], who=who)
        if kept.issubset(fleet.broker.schedules.of(owner)):
            return
    raise BrokerConflict(f"the schedules of {record.full_name!r} are being changed by others all the time: try again")


def parameters_of(schedule: ScheduleRecord) -> tuple[dict[str, Any], str]:
    """The parameters of the runs that a deployment's schedule makes, and why there are none if they cannot be read."""
    plain, trouble = unpack_document(_TEMPLATE, schedule.id, schedule.template)
    given = plain.get("parameters")
    if isinstance(given, dict):
        return {str(name): value for name, value in given.items()}, trouble
    return {}, trouble or "its parameters are damaged"


def calls_of_deployment(fleet: Fleet, schedule: ScheduleRecord, runs: Sequence[TickRun]) -> list[Envelope]:
    """The runs of some ticks. Raises SerializationError: the deployment or the parameters are none; BrokerError."""
    deployment_id = schedule.owner.partition(":")[2]
    (document,) = fleet.broker.documents.read(KIND, [deployment_id])
    record = record_of(document)
    if record is None:
        raise SerializationError(f"its deployment {deployment_id} has been deleted")
    given, trouble = parameters_of(schedule)
    if trouble:
        raise SerializationError(trouble)
    return [_call(fleet, record, schedule.id, given, run) for run in runs]


def _call(fleet: Fleet, record: DeploymentRecord, the_id: str, given: dict[str, object], run: TickRun) -> Envelope:
    wishes = RunWishes(
        expected_at=run.tick_ms / 1000,
        message=run.note,
        schedule_id=the_id,
        tick_ms=run.tick_ms,
        missed=run.missed,
    )
    try:
        parameters = parameters_for_run(record, given, variable=partial(value_named, fleet))
        return envelope_for_run(fleet, record, run.run_id, parameters, wishes)
    except (ParameterBindError, ParameterTypeError, ConfigurationError) as error:
        raise SerializationError(f"a run of {record.full_name!r} cannot be made: {error}") from error
