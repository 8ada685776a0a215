"""``orchestrator worker``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

import click

from task_workers.cli.numbers import Number, Whole
from task_workers.cli.pool_worker import start
from task_workers.cli.terminal import say
from task_workers.flags import Takes, flags_of, values_from
from task_workers.options import WorkerOptions

VARIABLES: Final = "ORCHESTRATOR_WORKER"


class Word(click.Choice[str]):
    """One of some words, in any case; also with hyphens: ``fork-server``."""

    def __init__(self, choices: Sequence[str]) -> None:
        super().__init__(choices, case_sensitive=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return super().convert(value.replace("-", ""), param, ctx)


def with_flags(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a command that are fields of ``WorkerOptions``."""
    for name, flag in reversed(flags_of(WorkerOptions).items()):
        function = click.option(
            *flag.names,
            name,
            envvar=flag.variable(VARIABLES),
            allow_from_autoenv=False,
            metavar=flag.metavar,
            help=f"{flag.help}  [default: {flag.default}]" if flag.default else flag.help,
            **_shape(flag.takes),
        )(function)
    return function


def _shape(takes: Takes) -> dict[str, Any]:
    if takes is bool:
        return {"is_flag": True}
    if takes is tuple:
        return {"multiple": True}
    if isinstance(takes, range):
        return {"type": Whole(takes.start, takes.stop - 1)}
    if isinstance(takes, tuple):
        return {"type": Word(takes)}
    return {"type": Whole() if takes is int else Number() if takes is float else takes}


@click.group(
    "worker",
    invoke_without_command=True,
    context_settings={"auto_envvar_prefix": VARIABLES},
    epilog="Every option is also a variable: --threads is ORCHESTRATOR_WORKER_THREADS.",
)
@with_flags
@click.option("--check", is_flag=True, help="Import the app, list its tasks, test the server, and exit.")
@click.pass_context
def command(context: click.Context, /, check: bool, **given: Any) -> None:
    """Run tasks in worker processes; `worker start` runs the flows of a work pool.

    \b
    orchestrator worker -A shop.tasks -c 4
    orchestrator worker -A tasks.py -Q high,default --threads 8
    orchestrator worker start --pool my-pool

    SIGTERM and Ctrl-C finish what runs, a second one kills; SIGHUP restarts the children.
    """
    if context.invoked_subcommand is None:
        _work(check, given)


command.add_command(start)


def _work(check: bool, given: dict[str, Any]) -> None:
    from orchestrator.client.fleet import current_fleet
    from orchestrator.client.project import begin_at, pass_to_children
    from orchestrator.settings import current

    begin_at(given["apps"])
    pass_to_children()
    options = options_from(given)
    if options.reload:
        from task_workers.supervisor.reload import check_installed

        check_installed()
    if check:
        return _check(options)
    if current().carried:
        from task_workers.celery.command import become_celery_worker

        if not options.burst:
            wait_for_store(options)
        become_celery_worker(options)
    from task_workers.supervisor.child_starter import ChildStarter

    starter = ChildStarter(options)  # first of all: while it imports the app, this process gets ready
    try:
        from task_workers import logs
        from task_workers.supervisor.supervisor import supervise

        logs.set_up(options.log_level, options.log_format, "worker", worker=options.name)
        fleet = current_fleet()
        try:
            code = supervise(fleet, options, starter)
        finally:
            fleet.close()
    finally:
        starter.close()
    sys.exit(code)


def wait_for_store(options: WorkerOptions) -> None:
    """Celery waits for its broker by itself; the store is waited for before it is asked to begin."""
    from orchestrator.client.fleet import current_fleet, use_fleet
    from orchestrator.client.server_wait import wait_for_server
    from task_workers import logs

    logs.set_up(options.log_level, options.log_format, "worker", worker=options.name)
    wait_for_server(current_fleet())
    if (used := use_fleet(None)) is not None:
        used.close()


def options_from(given: dict[str, Any]) -> WorkerOptions:
    """The options, with the settings' values where a flag is not given. Raises ConfigurationError."""
    from orchestrator.settings import current

    return WorkerOptions(**values_from(WorkerOptions, given, current()))


def _check(options: WorkerOptions) -> None:
    from orchestrator.client.fleet import current_fleet
    from orchestrator.errors import ConfigurationError
    from orchestrator.runnables import registry
    from task_workers import banner
    from task_workers.app import import_app

    for app in options.apps:
        import_app(app)
    if not registry.known():
        raise ConfigurationError(f"the app {', '.join(options.apps)} has no tasks")
    fleet = current_fleet()
    try:
        fleet.broker.health.ping()
        say(banner.text(fleet, options, registry.keys()))
    finally:
        fleet.close()
    say("all is well")
