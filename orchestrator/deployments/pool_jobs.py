"""What a run of a deployment is given by its work pool, put together of all that says something about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

from orchestrator.blocks.errors import BlockLoadError, BlockNotFound
from orchestrator.blocks.plain_values import plain_value
from orchestrator.client.fleet import Fleet
from orchestrator.deployments.record import DeploymentRecord
from orchestrator.deployments.stored_values import check_no_places, with_variables
from orchestrator.errors import ConfigurationError, SerializationError
from orchestrator.runs.deployed import DeployedRun
from orchestrator.variables import value_named
from orchestrator.work_pools.base_templates import PROCESS
from orchestrator.work_pools.job import Job, check_variables, job_of
from orchestrator.work_pools.record import WorkPool

NO_JOB: Final = Job({}, None)


def job_in_pool(
    fleet: Fleet,
    pool: WorkPool | None,
    record: DeploymentRecord,
    of_run: Mapping[str, Any] | None = None,
    *,
    image: str | None = None,
    with_blocks: bool = False,
) -> Job:
    """The job of a run: defaults of the template under the deployment's job variables under those of the run.

    Args:
        fleet: whose blocks and variables are put in.
        pool: whose template; ``None``: it has been deleted, then the type's own.
        record: the deployment.
        of_run: job variables that came with this run: blocks and variables are not put into them.
        image: of the version that runs, where it is not the deployment's.
        with_blocks: put in the values of blocks, secrets included: for the process that starts it only.

    Raises:
        ConfigurationError: a variable or block cannot be read, a job variable has another type, or one that came with
            the run names a block or variable.
        BrokerError: the server does not answer.
    """
    kind = pool.type if pool is not None else PROCESS
    template = pool.base_job_template if pool is not None else None
    image = image or record.image
    of_deployment = {**({"image": image} if image and kind != PROCESS else {}), **record.job_variables}
    read_block = partial(_block, fleet) if with_blocks else None
    template, of_deployment = with_variables([template, of_deployment], partial(value_named, fleet), read_block)
    check_no_places(of_run or {})
    variables = {**of_deployment, **(of_run or {})}
    if kind != PROCESS:
        check_variables(template, variables, kind)
    return job_of(template, variables, kind)


def job_of_run(
    fleet: Fleet, pool: WorkPool | None, record: DeploymentRecord, deployed: DeployedRun, *, image: str | None = None
) -> Job:
    """The job of a run that was made, with the values of blocks; the deployment's job variables are as they were then.

    Raises as :func:`job_in_pool`.
    """
    every, own = deployed.job_variables or {}, deployed.own_job_variables
    if own is None:  # made by an earlier version, which did not say: what the deployment has not came with the run
        own = tuple(name for name, value in every.items() if record.job_variables.get(name) != value)
    of_deployment = {name: value for name, value in every.items() if name not in own}
    of_run = {name: value for name, value in every.items() if name in own}
    record = replace(record, job_variables=of_deployment)
    return job_in_pool(fleet, pool, record, of_run, image=image, with_blocks=True)


def _block(fleet: Fleet, name: str, keys: list[str]) -> Any:
    try:
        return plain_value(fleet, name, keys)
    except (BlockNotFound, BlockLoadError, SerializationError) as error:
        raise ConfigurationError(f"a job variable is a block: {error}") from None
