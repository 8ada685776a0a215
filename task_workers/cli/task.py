"""``orchestrator task``: send a call."""

from __future__ import annotations

import click

from task_workers.cli.at_work import echo_json, import_apps, json_of, the_fleet, with_apps


@click.group("task")
def command() -> None:
    """Send a call, or list the tasks of an app."""


@command.command()
@click.argument("name")
@with_apps
@click.option("--args", "args", default="[]", metavar="JSON", help="Positional arguments: '[1, 2]'.")
@click.option("--kwargs", "kwargs", default="{}", metavar="JSON", help="Named arguments: '{\"a\": 1}'.")
@click.option("-Q", "--queue", help="Another queue than the task's.")
@click.option("--priority", type=click.Choice(["high", "default", "low"]), help="Another priority than the task's.")
@click.option("--countdown", type=float, metavar="SECONDS", help="Not to be started before.")
@click.option("--idempotency-key", help="A call with this key is made once.")
@click.option("--wait", is_flag=True, help="Wait for its end, and write the result.")
def delay(
    name: str,
    apps: tuple[str, ...],
    args: str,
    kwargs: str,
    queue: str | None,
    priority: str | None,
    countdown: float | None,
    idempotency_key: str | None,
    wait: bool,
) -> None:
    """Queue a call of the task NAME and write the id of its run.

    \b
    orchestrator task delay shop.tasks.greet --args '["Ann"]' -A shop.tasks
    """
    from orchestrator import registry

    positional, named = json_of("--args", args, list), json_of("--kwargs", kwargs, dict)
    import_apps(apps)
    task = registry.find(name)
    with the_fleet():
        future = task.apply_async(
            positional, named, queue=queue, priority=priority, countdown=countdown, idempotency_key=idempotency_key
        )
        click.echo(future.run_id)
        if wait:
            echo_json(future.result())


@command.command("ls")
@with_apps
def list_tasks(apps: tuple[str, ...]) -> None:
    """List the tasks of an app."""
    from orchestrator import registry

    import_apps(apps)
    for task in registry.known():
        click.echo(task.task_key)
