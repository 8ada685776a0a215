"""``orchestrator run``: run a flow."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from task_workers.cli.terminal import json_or_text, say


@click.command("run")
@click.argument("flow", metavar="MODULE:FLOW")
@click.option(
    "-p", "--param", "params", multiple=True, metavar="NAME=VALUE", help="A parameter; JSON where it is that."
)
def command(flow: str, params: tuple[str, ...]) -> None:
    """Run a flow in this process; its tasks run where its task runner says.

    \b
    orchestrator run shop.flows:nightly --param day=3 --param 'shops=["a", "b"]'
    orchestrator run flows.py:nightly

    The result goes to standard output as JSON (or its repr); the exit code is 1 unless it completed.
    """
    from orchestrator.client.fleet import use_fleet
    from orchestrator.settings import current
    from task_workers import logs

    settings = current()
    logs.set_up(settings.log_level, settings.log_format, "run", states=False)
    found = find_flow(flow)
    state = _state_of(found, dict(parameter(text) for text in params))
    if (used := use_fleet(None)) is not None:
        used.close()
    _print(state, found.fn.__code__.co_filename)
    sys.exit(0 if state.is_completed() else 1)


def parameter(text: str) -> tuple[str, Any]:
    """Name and value of ``--param``."""
    name, equals, value = text.partition("=")
    if not equals:
        raise click.BadParameter(f"{text!r}: write NAME=VALUE", param_hint="--param")
    return name, json_or_text(value)


def find_flow(name: str) -> Any:
    """The flow that ``module:name`` means; the name may be left out when the module has one flow.

    Raises:
        ConfigurationError: there is no such module or flow.
    """
    from orchestrator.client.project import begin_at
    from orchestrator.errors import ConfigurationError
    from orchestrator.flows import Flow
    from task_workers.app import import_app

    module_name, _, attribute = name.partition(":")
    begin_at([module_name])
    module = import_app(module_name)
    flows = {key: value for key, value in vars(module).items() if isinstance(value, Flow)}
    if not attribute and len(flows) == 1:
        return next(iter(flows.values()))
    if attribute not in flows:
        known = ", ".join(flows) or "none"
        if not attribute:
            raise ConfigurationError(f"which flow of {module_name}? Write {module_name}:NAME; its flows: {known}")
        raise ConfigurationError(f"{module_name} has no flow {attribute!r}; its flows: {known}")
    return flows[attribute]


def _state_of(flow: Any, parameters: dict[str, Any]) -> Any:
    if not flow.isasync:
        return flow(**parameters, return_state=True)
    import asyncio

    return asyncio.run(flow(**parameters, return_state=True))


def _print(state: Any, module: str) -> None:
    from orchestrator.errors import ParameterBindError, ParameterTypeError

    if state.is_completed():
        if (value := state.result()) is not None:
            say(_written(value))
        return
    say(f"{state.name}: {state.message or ''}", err=True)
    error = state.error()
    if isinstance(error, ParameterBindError | ParameterTypeError) and not _is_inside(error, module):
        return  # the flow was not called: the lines are ours alone
    if error is not None and error.__traceback__ is not None:
        import traceback

        say("".join(traceback.format_exception(error)).rstrip(), err=True)


def _is_inside(error: BaseException, file: str) -> bool:
    """Whether a line of the file took part in the error."""
    import traceback

    return any(frame.filename == file for frame in traceback.extract_tb(error.__traceback__))


def _written(value: Any) -> str:
    try:
        return json.dumps(value, indent=2)
    except (TypeError, ValueError):
        return repr(value)
