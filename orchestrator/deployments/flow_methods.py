"""What flows can do about deployments: thin doors to the rest of this room, which is loaded when it is used."""

from __future__ import annotations

from asyncio import to_thread
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orchestrator.automations.action_call  # workers of a script do actions, too
import orchestrator.deployments.tick_calls  # noqa: F401  # a schedule is triggered by hand, too
from brokers.schema import DEPLOYMENT_CALL, HOOKS_CALL
from orchestrator.client.async_dispatch import async_dispatch
from orchestrator.runnables import registry
from orchestrator.runnables.runnable import Runnable

if TYPE_CHECKING:
    from orchestrator.deployments.runner_deployment import RunnerDeployment
    from orchestrator.deployments.shown_schema import ParameterSchema


class DeployableFlow(Runnable):
    """A flow, as far as deployments of it are concerned."""

    def to_deployment(
        self,
        name: str,
        interval: Any = None,
        cron: str | Iterable[str] | None = None,
        rrule: str | Iterable[str] | None = None,
        paused: bool | None = None,
        schedule: Any = None,
        schedules: Iterable[Any] | None = None,
        parameters: Mapping[str, Any] | None = None,
        description: str | None = None,
        tags: Iterable[str] | None = None,
        version: str | None = None,
        enforce_parameter_schema: bool | None = None,
        work_pool_name: str | None = None,
        work_queue_name: str | None = None,
        job_variables: Mapping[str, Any] | None = None,
        timezone: str | None = None,
        anchor_date: datetime | None = None,
        **more: Any,
    ) -> RunnerDeployment:
        """A deployment of this flow: to be served, or applied to a work pool. What is not given stays as it was.

        Args:
            name: of the deployment, 1 to 200 characters without ``/ % & < >``.
            interval, cron, rrule: when it runs: one, or a list for several schedules.
            timezone, anchor_date: of these.
            schedule, schedules: the same as values; ``schedules=[]`` removes those that there are.
            paused: whether its schedules are left alone.
            parameters: of runs that give no others; ``freeze(value)`` keeps runs from changing one.
            description: for people; the flow's docstring unless given.
            tags: of the deployment and of its runs.
            version: label of the version; the flow's, else the commit, unless given.
            enforce_parameter_schema: whether parameters are checked before a run is made; they are unless given.
            work_pool_name, work_queue_name: whose workers run it; without, it is served.
            job_variables: over the work pool's.
            more: ``concurrency_limit`` (a number or ConcurrencyLimitConfig; ``None`` lifts it), ``triggers``
                (events that run it: :mod:`orchestrator.events.schemas.deployment_triggers`), ``version_type``,
                ``entrypoint_type``, ``image``, ``priority`` ("high", "default", "low") and ``max_deliveries``
                (how often a run may lose its process before it is Crashed).

        Raises:
            ValueError: a name or schedule that is not allowed.
            ParameterBindError, ParameterTypeError: parameters that the flow does not take.

        >>> from orchestrator import flow
        >>> @flow
        ... def etl(city: str, days: int = 1): ...
        >>> nightly = etl.to_deployment("nightly", cron="0 2 * * *", parameters={"city": "Oslo"})
        >>> nightly.full_name, nightly.schedules[0].cron
        ('etl/nightly', '0 2 * * *')

        Follows Prefect 3 (``Flow.to_deployment``); ``timezone`` and ``anchor_date`` are ours.
        """
        from orchestrator.deployments.runner_deployment import deployment_of_flow

        given = {key: value for key, value in locals().items() if key not in ("self", "more", "deployment_of_flow")}
        return deployment_of_flow(self, **given, **more)

    async def ato_deployment(self, name: str, **options: Any) -> RunnerDeployment:
        """:meth:`to_deployment` for scripts that await it."""
        return self.to_deployment(name, **options)

    @async_dispatch("adeploy")
    def deploy(
        self,
        name: str,
        work_pool_name: str | None = None,
        image: Any = None,
        build: bool = True,
        push: bool = True,
        print_next_steps: bool = True,
        ignore_warnings: bool = False,
        **options: Any,
    ) -> UUID:
        """Write a deployment of this flow whose runs the workers of a work pool take; returns its id.

        On an event loop it returns an awaitable.

        Args:
            name: of the deployment.
            work_pool_name: of the pool, which must be there.
            image, build, push, ignore_warnings: see :func:`orchestrator.deployments.deploy`.
            print_next_steps: print how to start a worker and a run.
            options: those of :meth:`to_deployment`.

        Raises:
            ObjectNotFound: there is no such pool. See also :meth:`to_deployment`.

        Follows Prefect 3 (``Flow.deploy``).
        """
        from orchestrator.deployments.deploying import deploy
        from orchestrator.settings import current

        work_pool_name = work_pool_name or current().default_work_pool
        made: list[UUID] = deploy(
            self.to_deployment(name, work_pool_name=work_pool_name, **options),
            work_pool_name=work_pool_name,
            image=image,
            build=build,
            push=push,
            print_next_steps_message=print_next_steps,
            ignore_warnings=ignore_warnings,
        )
        return made[0]

    async def adeploy(self, name: str, **options: Any) -> UUID:
        """:meth:`deploy` for event loops, which it never blocks."""
        made: UUID = await to_thread(self.deploy, name, **options)
        return made

    @classmethod
    @async_dispatch("afrom_source")
    def from_source(cls, source: Any, entrypoint: str) -> Any:
        """A flow of a folder, or of a git repository, which is cloned; on an event loop it returns an awaitable.

        Args:
            source: a path, a URL with or without ``@`` and a branch (``https://host/shop.git@v1``), or a
                :class:`orchestrator.runner.storage.GitRepository`, which has credentials, or what fsspec reaches
                (``s3://bucket/flows``), or a :class:`orchestrator.runner.storage.RemoteStorage`, which has those.
            entrypoint: ``path/in/it.py:function``, or ``module.in.it.function``.

        Raises:
            MissingFlowError, ScriptError, ConfigurationError: there is none, or it cannot be had.

        Follows Prefect 3 (``Flow.from_source``).
        """
        from orchestrator.deployments.flow_sources import flow_from_source

        return flow_from_source(source, entrypoint)

    @classmethod
    async def afrom_source(cls, source: Any, entrypoint: str) -> Any:
        """:meth:`from_source` for event loops, which it never blocks."""
        return await to_thread(cls.from_source, source, entrypoint)

    @property
    def parameters(self) -> ParameterSchema:
        """The schema of its parameters: ``my_flow.parameters.properties["city"]``. Follows Prefect 3."""
        from orchestrator.deployments.parameter_schema import schema_of
        from orchestrator.deployments.shown_schema import ParameterSchema

        return ParameterSchema(**schema_of(self.signature, self.description))

    def validate_parameters(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters as the function's annotations want them.

        Raises:
            ParameterBindError, ParameterTypeError: they do not fit.

        Follows Prefect 3 (``Flow.validate_parameters``).
        """
        from orchestrator.deployments.parameter_schema import call_arguments

        args, named = call_arguments(self.signature, parameters)
        valid, named = self.signature.validated(args, named)
        return {name: value for name, value in self.signature.given(valid, named).items() if name in parameters}


def _deployment_call() -> Any:
    from orchestrator.deployments.call import deployment_call

    return deployment_call()


def _hooks_call() -> Any:
    from orchestrator.deployments.hooks_call import hooks_call

    return hooks_call()


registry.add_built_in(DEPLOYMENT_CALL, _deployment_call)  # every worker that knows flows runs deployments
registry.add_built_in(HOOKS_CALL, _hooks_call)
