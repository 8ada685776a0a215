"""``orchestrator task``: send a call."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click

from task_workers.cli.numbers import Number
from task_workers.cli.session import import_apps, the_fleet
from task_workers.cli.terminal import as_json as with_json
from task_workers.cli.terminal import echo_json, json_of, json_or_text, refused_values, say, text_of, with_apps


@click.group("task")
def command() -> None:
    """Send a call, or list the tasks of an app."""


_OPTIONS = (
    click.argument("name"),
    click.argument("values", nargs=-1, metavar="[ARG]..."),
    with_apps,
    click.option("-p", "--param", "params", multiple=True, metavar="NAME=VALUE", help="A named argument."),
    click.option("--args", "args", default="[]", metavar="JSON", help="Positional arguments as a list: '[1, 2]'."),
    click.option("--kwargs", "kwargs", default="{}", metavar="JSON", help="Named arguments: '{\"a\": 1}'."),
    click.option("-Q", "--queue", help="Another queue than the task's."),
    click.option("--priority", type=click.Choice(["high", "default", "low"]), help="Another priority than the task's."),
    click.option("--countdown", type=Number(), metavar="SECONDS", help="Not to be started before."),
    click.option("--idempotency-key", help="A call with this key is made once."),
)


def _with_call(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say what is called, and how."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@command.command()
@_with_call
@click.option("--wait", is_flag=True, help="Wait for its end, and write the result.")
def delay(wait: bool, **call: Any) -> None:
    """Queue a call of the task NAME and write the id of its run.

    \b
    orchestrator task delay shop.tasks.greet Ann -A shop.tasks
    orchestrator task delay shop.tasks.resize photo.png -p width=300 -A shop.tasks
    orchestrator task delay shop.tasks.greet --args '["Ann"]' --countdown 60 -A shop.tasks

    Arguments are JSON where they are that, else text: 3 is a number, Ann is a text, '"3"' is a text.
    """
    with the_fleet():
        future = _sent(**call)
        say(future.run_id)
        if wait:
            _write_result(future, None)


@command.command()
@_with_call
@click.option("--timeout", type=Number(0), metavar="SECONDS", help="Wait no longer; the call goes on.")
def submit(timeout: float | None, **call: Any) -> None:
    """Queue a call of the task NAME, wait for its end and write its result as JSON.

    The id of the run goes to standard error. The exit code is 1 when it did not complete, 124 after the timeout.
    """
    with the_fleet():
        future = _sent(**call)
        say(future.run_id, err=True)
        _write_result(future, timeout)


def _write_result(future: Any, timeout: float | None) -> None:
    future.wait(timeout)
    if not future.settled:
        say(f"it has not ended: orchestrator watch {future.run_id}", err=True)
        sys.exit(124)
    try:
        result = future.result()
    except (Exception, SystemExit) as error:  # whatever the task has raised
        say(f"{type(error).__name__}: {text_of(error)}", err=True)
        sys.exit(1)
    echo_json(result)


def _sent(
    name: str,
    values: tuple[str, ...],
    apps: tuple[str, ...],
    params: tuple[str, ...],
    args: str,
    kwargs: str,
    **options: Any,
) -> Any:
    from orchestrator.runnables import registry

    positional, named = json_of("--args", args, list), json_of("--kwargs", kwargs, dict)
    positional += [json_or_text(value) for value in values]
    for text in params:
        parameter, equals, value = text.partition("=")
        if not equals:
            raise click.BadParameter(f"{text!r}: write NAME=VALUE", param_hint="--param")
        named[parameter] = json_or_text(value)
    import_apps(apps)
    with refused_values():
        return registry.find(name).apply_async(positional, named, **options)


@command.command("ls")
@with_apps
@with_json
def list_tasks(apps: tuple[str, ...], as_json: bool) -> None:
    """List the tasks of an app; without -A those that the live workers know."""
    from brokers.schema import is_flow_call
    from orchestrator.runnables import registry

    if apps:
        import_apps(apps)
        keys = registry.keys()
    else:
        from orchestrator.inspection import workers_of

        with the_fleet() as fleet:
            keys = sorted({task for worker in workers_of(fleet) for task in worker.tasks})
    keys = [key for key in keys if not is_flow_call(key)]
    if as_json:
        return echo_json(keys)
    for key in keys:
        say(key)
    return None
