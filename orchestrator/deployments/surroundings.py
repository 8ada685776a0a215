"""What the process of a pool's run is given before the flow is loaded: environment, working directory, module path."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from orchestrator.deployments.versions import Version
from orchestrator.errors import ConfigurationError
from orchestrator.work_pools.job import Job

log = logging.getLogger("orchestrator.deployments")
_process: dict[str, bool] = {"of_flow_runs": False}


def run_flows_only() -> None:
    """This process exists for flow runs, one after the other: each may have surroundings of its own."""
    _process["of_flow_runs"] = True


@contextmanager
def surroundings(job: Job, version: Version, folder: str | None) -> Iterator[None]:
    """While a run of this version goes on, the process is as its job says.

    In a process that runs other things, too, nothing is changed: it would be changed for these as well.

    Args:
        job: what the pool gives.
        version: whose modules are to be found.
        folder: where the run begins unless the job says; left alone if this machine does not have it.

    Raises:
        ConfigurationError: the job's working directory cannot be entered.
    """
    if not _process["of_flow_runs"]:
        if job.env or job.working_dir:
            log.warning("the job variables of %r have no effect in a process of tasks", version.deployment_name)
        yield
        return
    before, environment, path = _folder(), dict(os.environ), list(sys.path)
    _enter(job.working_dir, folder, version.deployment_name)
    if os.path.isdir(version.root) and version.root not in sys.path:
        sys.path.insert(0, version.root)
    _set(job.env)
    try:
        yield
    finally:  # a run that waits for this one goes on in this process
        _set({name: environment.get(name) for name in job.env})
        sys.path[:] = path
        if before:
            with suppress(OSError):  # it was deleted meanwhile; the run has ended all the same
                os.chdir(before)


def _folder() -> str:
    try:
        return os.getcwd()
    except OSError:
        return ""


def _enter(wanted: str | None, folder: str | None, deployment_name: str) -> None:
    if wanted is None:
        if folder and os.path.isdir(folder):
            os.chdir(folder)
        return
    try:
        os.chdir(wanted)
    except OSError as error:
        raise ConfigurationError(
            f"the working directory {wanted!r} of {deployment_name!r} cannot be entered "
            f"({error.strerror}): correct its job variable 'working_dir'"
        ) from None


def _set(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
