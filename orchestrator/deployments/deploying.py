"""``deploy``: deployments whose runs the workers of a work pool take; and the second generation's ``Deployment``."""

from __future__ import annotations

import warnings
from asyncio import to_thread
from typing import Any
from uuid import UUID

from orchestrator.client.async_dispatch import async_dispatch
from orchestrator.client.fleet import current_fleet
from orchestrator.deployments.applying import apply_deployment
from orchestrator.deployments.image_building import DockerImage
from orchestrator.deployments.pools import queue_in_pool
from orchestrator.deployments.runner_deployment import RunnerDeployment
from orchestrator.errors import ConfigurationError
from orchestrator.runnables.loading import is_loading
from orchestrator.settings import current

__all__ = ["Deployment", "DockerImage", "adeploy", "deploy"]


@async_dispatch("adeploy")
def deploy(
    *deployments: RunnerDeployment,
    work_pool_name: str | None = None,
    image: str | DockerImage | None = None,
    build: bool = True,
    push: bool = True,
    print_next_steps_message: bool = True,
    ignore_warnings: bool = False,
) -> list[UUID]:
    """Write deployments whose runs the workers of a work pool take; returns their ids, on an event loop an awaitable.

    Args:
        deployments: what ``to_deployment`` makes.
        work_pool_name: of those that name none; unless given, the setting ``default_work_pool``.
        image: that has the flows' code, for pools that start containers.
        build: build it with docker's command line; say ``build=False`` for an image that is there.
        push: push what was built.
        print_next_steps_message: print how to start a worker and a run.
        ignore_warnings: accepted.

    Raises:
        ConfigurationError: no deployments, one names no pool, or docker cannot build or push the image.
        ObjectNotFound: there is no such pool. BrokerError: the server does not answer.

    Follows Prefect 3 (``prefect.deploy``).
    """
    if not deployments:
        raise ConfigurationError("deploy() needs at least one deployment: deploy(my_flow.to_deployment('nightly'))")
    work_pool_name = work_pool_name or current().default_work_pool
    for each in deployments:
        if each.work_pool_name is None and work_pool_name is None:
            raise ConfigurationError(
                f"{each.full_name!r} names no work pool: deploy(..., work_pool_name='my-pool'), or serve it; "
                "ORCHESTRATOR_DEFAULT_WORK_POOL names one for all"
            )
    made = DockerImage(image) if isinstance(image, str) else image
    named = made.reference if made is not None else None
    if made is not None and not is_loading():
        _have_image(made, deployments, work_pool_name, build, push)
    reference = image if isinstance(image, str) else named
    ids = [UUID(apply_deployment(each, each.work_pool_name or work_pool_name, reference)) for each in deployments]
    if print_next_steps_message and not is_loading():
        _print_next_steps(deployments, work_pool_name)
    return ids


async def adeploy(*deployments: RunnerDeployment, **options: Any) -> list[UUID]:
    """:func:`deploy` for event loops, which it never blocks."""
    made: list[UUID] = await to_thread(deploy, *deployments, **options)
    return made


def _have_image(
    image: DockerImage, deployments: tuple[RunnerDeployment, ...], pool: str | None, build: bool, push: bool
) -> None:
    """Build it, once all pools are known to be there: that takes minutes."""
    broker = current_fleet().broker
    for each in deployments:
        queue_in_pool(broker, each.work_pool_name or pool or "", each.work_queue_name)
    if build:
        image.build()
        if push:
            image.push()


def _print_next_steps(deployments: tuple[RunnerDeployment, ...], pool: str | None) -> None:
    first = deployments[0]
    print(
        f"Deployed {', '.join(repr(each.full_name) for each in deployments)}.\n"
        f"\nTo execute runs, start a worker:\n\n        $ orchestrator worker start --pool "
        f"{first.work_pool_name or pool!r}\n\nTo trigger a run:\n\n        $ orchestrator deployment run "
        f"{first.full_name!r}\n"
    )


class Deployment:
    """The second generation's way to make a deployment: what ``my_flow.to_deployment`` makes, under its old name."""

    @classmethod
    def build_from_flow(cls, flow: Any, name: str, apply: bool = False, **options: Any) -> RunnerDeployment:
        """A deployment of a flow.

        Args:
            flow: the flow.
            name: of the deployment.
            apply: write it at once.
            options: those of :meth:`orchestrator.flows.Flow.to_deployment`; ``infra_overrides`` are job variables.
        """
        warnings.warn(
            "Deployment.build_from_flow() is the second generation's: write my_flow.to_deployment(...)",
            DeprecationWarning,
            stacklevel=2,
        )
        for old in ("infrastructure", "storage", "path", "entrypoint", "skip_upload", "output", "ignore_file"):
            options.pop(old, None)  # a work pool and its workers stand for them now
        if "infra_overrides" in options:
            options["job_variables"] = options.pop("infra_overrides")
        made: RunnerDeployment = flow.to_deployment(name, **options)
        if apply:
            apply_deployment(made)
        return made
