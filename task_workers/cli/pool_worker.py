"""``orchestrator worker start``: a worker of a work pool."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from task_workers.cli.numbers import Whole
from task_workers.cli.terminal import say
from task_workers.flags import PORTS
from task_workers.options import LOG_LEVELS, cores, default_name

if TYPE_CHECKING:
    from orchestrator.client.fleet import Fleet
    from orchestrator.runner.host import ServedFlows
    from orchestrator.work_pools.record import WorkPool

FEWEST = 5  # as many flow runs at once as `serve`, if there are fewer cores


@click.command("start")
@click.option("--pool", "-p", "pool_name", required=True, metavar="NAME", help="The work pool whose runs it takes.")
@click.option(
    "--work-queue", "-q", "work_queues", multiple=True, metavar="NAME", help="Only this queue of it; several times."
)
@click.option("--name", "-n", metavar="NAME", help="The worker's name for people.  [default: the machine's]")
@click.option("--type", "-t", "kind", metavar="TYPE", help="Of the pool; a pool that is not there is made with it.")
@click.option("--limit", "-l", type=Whole(1), help="Flow runs at once.  [default: one per core, at least 5]")
@click.option("--run-once", is_flag=True, help="End as soon as nothing that is due is left to run.")
@click.option("--prefetch-seconds", type=float, hidden=True, help="Accepted: a run is taken when it can start.")
@click.option(
    "--loglevel", "--log-level", "loglevel", type=click.Choice(LOG_LEVELS, case_sensitive=False), help="What is logged."
)
@click.option("--with-healthcheck", "health_port", flag_value=8080, type=int, help="The same as --health-port 8080.")
@click.option("--health-port", type=Whole(PORTS.start, PORTS.stop - 1), help="Answer probes at /live and /ready.")
@click.option(
    "--listen",
    metavar="ADDRESS",
    default="127.0.0.1",
    show_default=True,
    help="Address of that port; 0.0.0.0 in a container.",
)
def start(
    pool_name: str,
    work_queues: tuple[str, ...],
    name: str | None,
    kind: str | None,
    limit: int | None,
    run_once: bool,
    prefetch_seconds: float | None,
    loglevel: str | None,
    health_port: int | None,
    listen: str,
) -> None:
    """Run the flows of a work pool's deployments, each run in a process, container or Kubernetes Job of its own.

    \b
    orchestrator worker start --pool my-pool
    orchestrator worker start --pool my-pool --type process --limit 2 --work-queue urgent
    orchestrator worker start --pool my-cluster --type kubernetes --limit 50

    Flows are loaded from where they were deployed, or from the code that their version has kept. SIGTERM and Ctrl-C
    finish what runs, a second one kills; runs of a worker that is killed go to the others. Containers and Jobs that
    have begun go on without their worker, and the next one looks after them.
    """
    from orchestrator.client.fleet import current_fleet
    from orchestrator.client.server_wait import wait_for_server
    from orchestrator.runner.host import ServedFlows as Served
    from orchestrator.work_pools.base_templates import PROCESS
    from task_workers import logs
    from task_workers.flow_host import FlowHost

    fleet = current_fleet()
    settings = fleet.settings
    worker = name or default_name()
    logs.set_up(loglevel or settings.log_level, settings.log_format, "worker", worker=worker)
    if not run_once:
        wait_for_server(fleet)
    pool = _pool(fleet, pool_name, kind)
    served = Served(
        worker,
        queues=_queues(pool, work_queues),
        limit=limit or max(cores(), FEWEST),
        run_once=run_once,
        health_port=health_port,
        listen=listen,
        pool_name=pool.name,
    )
    say(f"Worker {worker!r} started: it runs up to {served.limit} flow runs at once of the work pool {pool.name!r}.")
    try:
        clean = FlowHost(served).run() if pool.type == PROCESS else _run_infrastructure(fleet, served, pool)
    finally:
        fleet.close()
    sys.exit(0 if clean else 1)


def _run_infrastructure(fleet: Fleet, served: ServedFlows, pool: WorkPool) -> bool:
    import orchestrator.flows  # noqa: F401 - what runs of deployments are
    from orchestrator.work_pools.members import PoolMembers
    from task_workers.flow_host import ServedMark
    from task_workers.infrastructure.worker import InfrastructureWorker, infrastructure_of

    mark = ServedMark(fleet, PoolMembers(fleet.broker, pool.name))
    return InfrastructureWorker(fleet, served, pool, infrastructure_of(pool.type), mark).run()


def _pool(fleet: Fleet, name: str, kind: str | None) -> WorkPool:
    """The pool; the first worker that names one with a type makes it, as in Prefect."""
    from orchestrator.errors import BrokerConflict
    from orchestrator.work_pools.editing import create_pool
    from orchestrator.work_pools.lookup import find_pool, pool_named

    pool = pool_named(fleet.broker, name)
    if pool is None and kind is not None:
        try:
            pool = create_pool(fleet, name, kind)
            say(f"Created work pool {name!r}.")
        except BrokerConflict:  # by another worker, at the same moment
            pool = None
        except ValueError as error:
            raise click.UsageError(str(error)) from None
    pool = pool or find_pool(fleet.broker, name)
    if kind is not None and pool.type != kind:
        raise click.ClickException(f"the work pool {name!r} is of type {pool.type!r}, not {kind!r}")
    return pool


def _queues(pool: WorkPool, work_queues: tuple[str, ...]) -> tuple[str, ...]:
    from orchestrator.work_pools.queue_editing import queue_named

    wanted = [queue_named(pool, name) for name in dict.fromkeys(work_queues)]
    return tuple(each.queue for each in pool.queues if not wanted or each in wanted)
