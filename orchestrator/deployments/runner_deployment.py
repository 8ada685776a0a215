"""A deployment as code declares it, before it is written to the store."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from orchestrator.client.async_dispatch import async_dispatch
from orchestrator.concurrency.deployment_limits import config_of
from orchestrator.deployments.names import check_name, full_name
from orchestrator.deployments.parameter_schema import check_parameters, plain_parameters, schema_of
from orchestrator.deployments.schedule_list import schedules_from
from orchestrator.errors import ConfigurationError
from orchestrator.runnables.options import check_priority
from orchestrator.schedules import Schedule


class Unset:
    """Stands for what was not given, where ``None`` means something."""

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset()


class freeze:
    """A parameter of a deployment that no run of it may change: ``parameters={"table": freeze("orders")}``.

    Follows Prefect 3 (``prefect.utilities.annotations.freeze``).
    """

    def __init__(self, value: Any) -> None:
        self.value = value

    def unfreeze(self) -> Any:
        """The value."""
        return self.value

    def __repr__(self) -> str:
        return f"freeze({self.value!r})"


@dataclass
class RunnerDeployment:
    """What ``to_deployment`` makes. ``apply()`` writes it; what is ``None`` here stays there as it was.

    Attributes:
        flow: the flow; ``None`` for one whose code is elsewhere.
        name, flow_name: it is called ``flow_name/name``.
        parameters: of runs that give no others, as JSON has them; ``frozen`` names those that runs must not change.
        schedules: all of its schedules; an empty list removes those that there are.
        triggers: all of its triggers, each of which becomes an automation that runs it; likewise.
    """

    name: str
    flow_name: str
    flow: Any = None
    parameters: dict[str, Any] | None = None
    frozen: tuple[str, ...] = ()
    schedules: list[Schedule] | None = None
    paused: bool | None = None
    description: str | None = None
    tags: list[str] | None = None
    version: str | None = None
    version_type: str | None = None
    enforce_parameter_schema: bool | None = None
    work_pool_name: str | None = None
    work_queue_name: str | None = None
    job_variables: dict[str, Any] | None = None
    concurrency_limit: Any = UNSET
    triggers: list[Any] | None = None
    entrypoint_type: Any = None
    image: str | None = None
    priority: str | None = None
    max_deliveries: int | None = None
    parameter_schema: dict[str, Any] = field(default_factory=dict)

    @property
    def full_name(self) -> str:
        """``flow/deployment``."""
        return full_name(self.flow_name, self.name)

    @property
    def entrypoint(self) -> str | None:
        """Where the flow is written; ``None`` for one in no file."""
        from orchestrator.deployments.code_origin import origin_of

        version = origin_of(self.flow)[0]
        return version.entrypoint if version.place is not None else None

    def __await__(self) -> Generator[Any, Any, RunnerDeployment]:
        """Itself: Prefect's ``await my_flow.to_deployment(...)`` on an event loop; nothing is waited for."""

        async def itself() -> RunnerDeployment:
            return self

        return itself().__await__()

    @async_dispatch("aapply")
    def apply(self, work_pool_name: str | None = None, image: str | None = None) -> UUID:
        """Write it to the store: create it, or change what it gives; returns its id.

        Args:
            work_pool_name: instead of its own.
            image: that has the flow's code.

        Raises:
            ParameterBindError, ParameterTypeError: parameters do not fit the flow.
            ConfigurationError: there is no such work pool, or the flow cannot be found by other processes.
            BrokerError: the server does not answer.
        """
        from orchestrator.deployments.applying import apply_deployment

        return UUID(apply_deployment(self, work_pool_name, image))

    async def aapply(self, work_pool_name: str | None = None, image: str | None = None) -> UUID:
        """:meth:`apply` for event loops."""
        from asyncio import to_thread

        from orchestrator.deployments.applying import apply_deployment

        return UUID(await to_thread(apply_deployment, self, work_pool_name, image))


_OF_SCHEDULES: Final = ("interval", "cron", "rrule", "schedule", "schedules", "timezone", "anchor_date")


def deployment_of_flow(flow: Any, name: str, parameters: Mapping[str, Any] | None, **options: Any) -> RunnerDeployment:
    """See :meth:`orchestrator.flows.Flow.to_deployment`. Raises TypeError: there is no such option."""
    check_name(name)
    check_name(flow.name, "flow with a deployment")
    schedules = schedules_from(**{key: options.pop(key, None) for key in _OF_SCHEDULES})
    made = RunnerDeployment(
        name,
        flow.name,
        flow,
        schedules=schedules,
        parameter_schema=schema_of(flow.signature, flow.description),
        **_checked(options),
    )
    _take_parameters(made, parameters)
    return made


def _checked(options: dict[str, Any]) -> dict[str, Any]:
    if unknown := [key for key in options if key not in RunnerDeployment.__dataclass_fields__]:
        raise TypeError(f"a deployment has no option {unknown[0]!r}")
    queue, pool = options.get("work_queue_name"), options.get("work_pool_name")
    if queue is not None and pool is None:
        raise ValueError(f"work_queue_name={queue!r} is a queue of a work pool: give work_pool_name, too")
    if options.get("priority") is not None:
        check_priority(options["priority"])
    if not isinstance(options.get("concurrency_limit", UNSET), Unset):
        config_of(options["concurrency_limit"])
    for key, convert in (("tags", _tags), ("triggers", _triggers), ("job_variables", plain_parameters)):
        if options.get(key) is not None:
            options[key] = convert(options[key])
    return options


def _take_parameters(made: RunnerDeployment, parameters: Mapping[str, Any] | None) -> None:
    """Parameters of the deployment and of its schedules, checked against the flow's."""
    if parameters is not None:
        made.frozen = tuple(name for name, value in parameters.items() if isinstance(value, freeze))
        given = {name: value.value if isinstance(value, freeze) else value for name, value in parameters.items()}
        made.parameters = plain_parameters(given)
    if made.enforce_parameter_schema is False:
        return
    what = f"deployment {made.full_name!r}"
    check_parameters(made.parameter_schema, made.parameters or {}, what)
    for schedule in made.schedules or ():
        check_parameters(made.parameter_schema, plain_parameters(schedule.parameters), f"a schedule of {what}")


def _triggers(triggers: Iterable[Any]) -> list[Any]:
    """As :func:`read_deployment_trigger` reads them. Raises ValueError: one cannot be one."""
    from orchestrator.events.schemas.deployment_triggers import read_deployment_trigger

    return [read_deployment_trigger(trigger) for trigger in triggers]


def _tags(tags: Iterable[str]) -> list[str]:
    found = [tags] if isinstance(tags, str) else list(tags)
    if not all(isinstance(tag, str) and tag for tag in found):
        raise ConfigurationError(f"tags={found!r}: tags are texts")
    return found
