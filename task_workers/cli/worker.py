"""``orchestrator worker``."""

from __future__ import annotations

import sys
from typing import Any

import click

LEVELS = ["debug", "info", "warning", "error", "critical"]


@click.command(
    "worker",
    context_settings={"auto_envvar_prefix": "ORCHESTRATOR_WORKER"},
    epilog="Every option is also a variable: --threads is ORCHESTRATOR_WORKER_THREADS.",
)
@click.option(
    "-A",
    "--app",
    "apps",
    multiple=True,
    envvar="ORCHESTRATOR_WORKER_APP",
    help="Module (shop.tasks), file or package whose tasks are run; may be given several times.",
)
@click.option(
    "-c",
    "--concurrency",
    type=int,
    envvar="ORCHESTRATOR_WORKER_CONCURRENCY",
    help="Child processes.  [default: one per core]",
)
@click.option(
    "-Q", "--queues", envvar="ORCHESTRATOR_WORKER_QUEUES", help="Queues, best first: high,default.  [default: default]"
)
@click.option(
    "--threads",
    type=int,
    default=1,
    show_default=True,
    envvar="ORCHESTRATOR_WORKER_THREADS",
    help="Sync calls at once in each child.",
)
@click.option(
    "--async-concurrency",
    type=int,
    default=100,
    show_default=True,
    envvar="ORCHESTRATOR_WORKER_ASYNC_CONCURRENCY",
    help="Async calls at once in each child.",
)
@click.option(
    "-n", "--name", envvar="ORCHESTRATOR_WORKER_NAME", help="The worker's name for people.  [default: the machine's]"
)
@click.option(
    "--max-tasks-per-child",
    type=int,
    envvar="ORCHESTRATOR_WORKER_MAX_TASKS_PER_CHILD",
    help="Replace a child after so many calls.",
)
@click.option(
    "--max-memory-per-child",
    type=float,
    metavar="MB",
    envvar="ORCHESTRATOR_WORKER_MAX_MEMORY_PER_CHILD",
    help="Replace a child whose resident memory exceeds so many MiB.",
)
@click.option(
    "--shutdown-timeout",
    type=float,
    metavar="SECONDS",
    envvar="ORCHESTRATOR_WORKER_SHUTDOWN_TIMEOUT",
    help="How long running calls may go on after SIGTERM.  [default: 25]",
)
@click.option("--burst", is_flag=True, envvar="ORCHESTRATOR_WORKER_BURST", help="Exit when the queues are empty.")
@click.option(
    "--reload", is_flag=True, envvar="ORCHESTRATOR_WORKER_RELOAD", help="Restart when source files change (watchfiles)."
)
@click.option(
    "-l",
    "--loglevel",
    type=click.Choice(LEVELS, case_sensitive=False),
    envvar="ORCHESTRATOR_WORKER_LOGLEVEL",
    help="What is logged.  [default: info]",
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"], case_sensitive=False),
    envvar="ORCHESTRATOR_WORKER_LOG_FORMAT",
    help="How lines are written.  [default: text]",
)
@click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    envvar="ORCHESTRATOR_WORKER_METRICS_PORT",
    help="Count calls, and show figures for Prometheus at /metrics; 0: a free port.",
)
@click.option(
    "--health-port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    envvar="ORCHESTRATOR_WORKER_HEALTH_PORT",
    help="Answer probes at /live and /ready; may be the same port; 0: a free one.",
)
@click.option(
    "--listen",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    envvar="ORCHESTRATOR_WORKER_LISTEN",
    help="Address of these ports; 0.0.0.0 in a container.",
)
@click.option("--check", is_flag=True, help="Import the app, list its tasks, test the server, and exit.")
def command(check: bool, **told: Any) -> None:
    """Run tasks in worker processes.

    \b
    orchestrator worker -A shop.tasks -c 4
    orchestrator worker -A tasks.py -Q high,default --threads 8

    SIGTERM and Ctrl-C finish what runs, a second one kills; SIGHUP restarts the children.
    """
    from orchestrator.fleet import current_fleet
    from orchestrator.settings import current

    options = options_from(told)
    if options.reload:
        from task_workers.reload import check_installed

        check_installed()
    if check:
        return _check(options)
    if current().carried:
        from task_workers.celery_app.command import become_celery_worker

        become_celery_worker(options)
    from task_workers import logs
    from task_workers.supervisor import supervise

    logs.set_up(options.log_level, options.log_format, "worker", worker=options.name)
    fleet = current_fleet()
    try:
        code = supervise(fleet, options)
    finally:
        fleet.close()
    sys.exit(code)


def options_from(told: dict[str, Any]) -> Any:
    """The options, with the settings' values where a flag is not given. Raises ConfigurationError."""
    from orchestrator.settings import current
    from task_workers.options import WorkerOptions, queues_from

    settings = current()
    timeout = told["shutdown_timeout"]
    given = {
        "processes": told["concurrency"],
        "name": told["name"],
        "max_tasks_per_child": told["max_tasks_per_child"],
        "max_memory_per_child_mb": told["max_memory_per_child"],
    }
    return WorkerOptions(
        apps=tuple(told["apps"]),
        queues=queues_from(told["queues"], settings),
        threads=told["threads"],
        async_concurrency=told["async_concurrency"],
        shutdown_timeout_seconds=settings.shutdown_timeout_seconds if timeout is None else timeout,
        burst=told["burst"],
        reload=told["reload"],
        log_level=(told["loglevel"] or settings.log_level).lower(),
        log_format=(told["log_format"] or settings.log_format).lower(),
        metrics_port=told["metrics_port"],
        health_port=told["health_port"],
        listen=told["listen"],
        **{name: value for name, value in given.items() if value is not None},
    )


def _check(options: Any) -> None:
    from orchestrator import registry
    from orchestrator.errors import ConfigurationError
    from orchestrator.fleet import current_fleet
    from task_workers import banner
    from task_workers.app import import_app

    for app in options.apps:
        import_app(app)
    if not registry.known():
        raise ConfigurationError(f"the app {', '.join(options.apps)} has no tasks")
    fleet = current_fleet()
    try:
        fleet.broker.wires.commands([("PING",)])
        click.echo(banner.text(fleet, options, registry.keys()))
    finally:
        fleet.close()
    click.echo("all is well")
